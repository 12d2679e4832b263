# make sweep      set up .venv and run the default sweep
# make test       set up .venv and run ruff, mypy and the fast tests
# make test-all   the same, then the slow tests
# The Python to set up with (3.11 or newer): make sweep PYTHON=/path/to/python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: sweep test test-all constraints

sweep: $(VENV)/.installed
	$(BIN)/python tune_dd/search.py

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -m "not slow" -n 2 --dist loadfile

test-all: test
	$(PYTEST) -m slow

# uv installs in a fraction of pip's time, but it does not read pip's settings (a company's index, say):
# where it cannot be had or cannot install, pip does the work.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "$(PYTHON) is missing or older than Python 3.11: install a newer one, or name it: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@command -v uv >/dev/null || test -x $(BIN)/uv || $(BIN)/pip install --quiet uv || true
	@uv=$$(command -v uv || echo $(BIN)/uv); \
	$$uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '$(1)' || { \
	  echo "uv could not install; trying pip" >&2; \
	  $(BIN)/pip install --quiet --constraint constraints.txt --editable '$(1)'; }
	@touch $(2)
endef

$(VENV)/.installed: pyproject.toml constraints.txt
	$(call install,.,$@)

$(VENV)/.installed-dev: pyproject.toml constraints.txt
	$(call install,.[dev],$@ $(VENV)/.installed)

$(VENV)/.installed-cluster: pyproject.toml constraints.txt
	$(call install,.[cluster],$@ $(VENV)/.installed)

# Newest versions that pyproject.toml allows, for every platform and Python from 3.11 up.
constraints: $(VENV)/.installed-dev
	@{ echo "# The versions this project is tested with, for Python 3.11 and up. Made anew by: make constraints"; \
	  $$(command -v uv || echo $(BIN)/uv) pip compile --quiet --upgrade --universal --python-version 3.11 \
	    --all-extras --no-header --no-annotate pyproject.toml; } > constraints.new && mv constraints.new constraints.txt
