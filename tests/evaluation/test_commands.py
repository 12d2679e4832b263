"""``evaluate`` and ``reproduce`` on a real sweep of a few trials."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Command, run_python
from tune_dd import cli

SWEEP = "--searcher grid --prototypes 2 --methods implicit kernel_ridge --proto-steps-base 20 --name toy"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """A finished sweep on features that lie on disk; returns the folder it was started from."""
    place = tmp_path_factory.mktemp("swept")
    rng = np.random.default_rng(0)
    for part, per_class in (("train", 80), ("test", 30)):
        labels = np.repeat(np.arange(3), per_class)
        features = 2.0 * np.eye(3, 8)[labels] + rng.normal(size=(len(labels), 8))
        np.savez(place / f"{part}.npz", features=features.astype(np.float32), labels=labels)
    data = "--datasets features --features-train train.npz --features-test test.npz --cache cache"
    done = run_python("-m", "tune_dd.cli", "search", *SWEEP.split(), *data.split(), cwd=place)
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def sweep(swept: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    copy = tmp_path / "toy"
    shutil.copytree(swept / "results" / "toy", copy)
    return copy


def edit_summary(sweep: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = sweep / "sweep_summary.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_evaluate_adds_to_the_summary_and_reads_test_once(sweep: Path, command: Command) -> None:
    for _ in range(2):
        done = command("evaluate", str(sweep), "--fresh-seeds", "2", "--top-k", "1")
        assert done.returncode == 0, done.stderr
        assert re.search(r"reaches \d+\.\d .*on test", done.stdout)
    assert len((sweep / "test_access.jsonl").read_text().splitlines()) == 1
    summary = json.loads((sweep / "sweep_summary.json").read_text())
    assert summary["evaluation"] == json.loads((sweep / "evaluation.json").read_text())
    [cell] = summary["evaluation"]["cells"]
    learned = [row for row in cell["rows"] if row["kind"] == "learned"]
    assert [row["trial_id"] for row in learned] == [summary["cells"][0]["ranking"][0]]
    assert cell["test_items"] == 90


def test_every_trial_is_reproduced(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trials = json.loads((sweep / "sweep_summary.json").read_text())["trials"]
    for trial in trials:
        assert cli.main(["reproduce", str(sweep), "--trial", trial["trial_id"]]) == 0
        assert "reproduced: all" in capsys.readouterr().out


def test_another_score_is_noticed(sweep: Path, command: Command) -> None:
    def worsen(summary: dict[str, Any]) -> None:
        for trial in summary["trials"]:
            trial["scores"]["ridge_accuracy"] -= 1e-9
        summary["versions"]["torch"] = "0.0"

    edit_summary(sweep, worsen)
    done = command("reproduce", str(sweep))
    assert done.returncode == 1
    # Somebody may commit while this test runs, which is told, too.
    assert re.search(r"not reproduced: ridge_accuracy differ; (commit .*; )?torch was 0\.0", done.stdout)


def test_a_trial_of_another_sweep_gets_one_line(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["reproduce", str(sweep), "--trial", "99999"]) == 2
    complaint = capsys.readouterr().err
    assert "--trial is '99999', but is no trial of this sweep" in complaint and complaint.count("\n") == 1


def test_a_disk_that_fills_gets_one_line_and_keeps_what_was_there(
    sweep: Path, small_disk: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A summary so large that there is room for it once, though not twice."""
    disk = small_disk("8m")
    edit_summary(sweep, lambda summary: summary.update(padding="x" * (4 << 20)))
    on_disk = disk / "toy"
    shutil.copytree(sweep, on_disk, ignore=shutil.ignore_patterns("tune", "tensorboard"))
    before = (on_disk / "sweep_summary.json").read_bytes()
    words = ["evaluate", str(on_disk), "--fresh-seeds", "1", "--top-k", "1"]
    assert cli.main(words) == 1
    assert capsys.readouterr().err == (
        f"tune-dd evaluate: the disk of {on_disk}/sweep_summary.json is full: make room and run it again.\n"
    )
    assert (on_disk / "sweep_summary.json").read_bytes() == before
    assert not (on_disk / "evaluation.json").exists()
    assert not list(on_disk.glob(".*"))
    edit_summary(on_disk, lambda summary: summary.pop("padding"))
    assert cli.main(words) == 0
    assert len((on_disk / "test_access.jsonl").read_text().splitlines()) == 1
