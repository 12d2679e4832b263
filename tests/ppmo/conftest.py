"""What tests of learning with RLlib share: one Ray for each file, and runs that are closed in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from trainables.environment.config import EnvironmentConfig
from trainables.ppmo.run import PpmoRun
from tune_dd.sweeps.ray_session import local_session


@pytest.fixture(scope="module", autouse=True)
def ray() -> Iterator[None]:
    """One instance of Ray for all tests of a file."""
    with local_session(cpus=6):
        yield


@pytest.fixture
def started() -> Iterator[Callable[..., PpmoRun]]:
    """Start runs that are closed after the test."""
    runs: list[PpmoRun] = []

    def start(**settings: Any) -> PpmoRun:
        runs.append(PpmoRun(EnvironmentConfig.parse(settings)))
        return runs[-1]

    yield start
    for run in runs:
        run.close()
