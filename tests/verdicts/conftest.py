"""No verdict outlives the test that started it."""

from __future__ import annotations

from tests.sweep.conftest import _no_sweep_left_behind as _no_sweep_left_behind
