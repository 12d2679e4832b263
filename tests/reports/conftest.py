"""A real sweep of some seconds, which all tests of reports read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import run_python
from tests.toy_features import DATA, write_toy_features

SWEEP = (
    "--searcher random --num-trials 24 --prototypes 1 2 --methods implicit kernel_ridge "
    "--proto-steps-base 30 --steps-per-iteration 5 --name toy --cache cache --datasets features"
)


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """A finished sweep with two cells, of which some trials were stopped early; its folder."""
    place = tmp_path_factory.mktemp("reported")
    write_toy_features(place, train=60, test=30, d=8, separation=1.0)
    words = [*SWEEP.split(), *DATA.split()]
    done = run_python("-m", "tune_dd.cli", "search", *words, cwd=place)
    assert done.returncode == 0, done.stderr
    return place / "results" / "toy"
