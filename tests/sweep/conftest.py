"""No sweep outlives the test that started it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sweep import sweeps


@pytest.fixture(autouse=True)
def _no_sweep_left_behind() -> Iterator[None]:
    yield
    for process in sweeps.STARTED:
        if process.poll() is None:
            process.kill()
            process.wait()
    sweeps.STARTED.clear()
