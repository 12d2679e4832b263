"""What every file of the project keeps to: one idea, a name that says it, no address of a package index."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("tune_dd", "search_spaces", "trainables", "tests", "benchmarks")
PYTHON_FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
LONGEST = 350
SAYS_NOTHING = re.compile(r"(utils?|helpers?|misc|common)\.py")
ADDRESS = re.compile(r"://|--(extra-)?index|--find-links|--trusted-host", re.IGNORECASE)


def test_files_are_short_enough_to_hold_one_idea() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in PYTHON_FILES}
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}


def test_file_names_say_what_is_inside() -> None:
    assert [path for path in PYTHON_FILES if SAYS_NOTHING.fullmatch(path.name)] == []


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", "Makefile", ".ci/run"])
def test_set_up_names_no_package_index(name: str) -> None:
    # Where packages come from is the user's to configure.
    assert ADDRESS.findall((ROOT / name).read_text()) == []


def test_every_dependency_has_an_exact_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0] for line in lines if "==" in line}
    assert {re.split(r"[\[<>=]", requirement)[0] for requirement in wanted} <= pinned
    assert [line for line in lines if line and not re.match(r"#|[a-z0-9.-]+==", line)] == []
