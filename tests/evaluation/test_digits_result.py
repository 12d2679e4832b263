"""What the default sweep must reach on digits: thresholds of the project, held with the real commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_default_sweep_reaches_what_it_must(command: Command, tmp_path: Path) -> None:
    for words in (["search", "--name", "default"], ["evaluate", "results/default"]):
        done = command(*words, timeout_s=600)
        assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "results" / "default" / "sweep_summary.json").read_text())
    assert sum(trial["status"] in ("completed", "stopped_early") for trial in summary["trials"]) >= 24
    one, ten = summary["evaluation"]["cells"]
    assert [cell["seeds"] for cell in (one, ten)] == [[1000, 1001, 1002, 1003, 1004]] * 2

    def test_scores(cell: dict[str, Any], name: str) -> Any:
        return next(row for row in cell["rows"] if row["name"] == name)["test"]

    at_one, at_ten = (test_scores(cell, cell["chosen"]) for cell in (one, ten))
    full = test_scores(ten, "full_data")["probe_accuracy"]["mean"]
    assert at_one["probe_accuracy"]["mean"] >= 0.94
    assert at_ten["probe_accuracy"]["mean"] >= max(0.96, full - 0.01)
    assert at_ten["roundtrip_accuracy"]["mean"] >= 0.90
    # Ten prototypes differ from seed to seed, at least in what decoding makes of them.
    found = at_ten["roundtrip_accuracy"]
    assert found["n"] == 5 and found["low"] < found["mean"] < found["high"]
    for cell in (one, ten):
        differences = [row["chosen_minus_this_on_test"] for row in cell["rows"]]
        assert differences.count(None) == 1  # the chosen one's own
        assert all(d["low"] <= d["mean"] <= d["high"] for d in differences if d)
