"""The command itself, with tiny budgets."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Command
from tests.sweep import sweeps
from trainables.latent.artifacts import load_artifacts
from tune_dd.sweeps.live_display import LiveDisplay
from tune_dd.sweeps.resuming import resumed_config
from tune_dd.sweeps.runner import run_sweep
from tune_dd.sweeps.tables import print_outcome

TINY = "--prototypes 2 --ae-epochs 2 --proto-steps-base 8 --steps-per-iteration 2".split()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished sweep of 6 trials: its folder and what it printed."""
    storage = tmp_path_factory.mktemp("first") / "results"
    log = storage.parent / "log"
    words = ["--name", "first", "--num-trials", "6", "--budgets", "5", *TINY]
    return storage / "first", sweeps.finish(sweeps.start(storage, *words, log=log), log)


def test_summary_holds_every_trial_and_the_controls(first: tuple[Path, str]) -> None:
    folder, _ = first
    sweeps.check_each_trial_once(folder, 6)
    summary = sweeps.summary(folder)
    assert summary["state"] == "finished"
    [cell] = summary["cells"]
    assert {"full_data", "random", "herding", "random@5"} <= cell["controls"].keys()
    assert "random_teacher_labels" not in cell["controls"], "the hard track has no soft labels"
    by_id = {trial["trial_id"]: trial for trial in summary["trials"]}
    best = by_id[cell["best"]]
    assert best["scores"]["probe_accuracy"] == max(
        trial["scores"]["probe_accuracy"] for trial in by_id.values() if trial["status"] == "completed"
    )
    artifacts = load_artifacts(folder / best["run"] / "distillation_artifacts.pt")
    assert artifacts.config == best["config"]
    assert artifacts.sets[best["config"]["method"]].x.shape[0] == 20
    assert (folder / "tensorboard" / cell["best"]).is_dir()


def test_split_lies_beside_the_results(first: tuple[Path, str]) -> None:
    folder, _ = first
    with np.load(folder / "splits" / "digits" / "conv" / "seed0.npz") as split:
        parts = [split[name] for name in ("train", "reward", "selection")]
        digest = str(split["digest"])
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(1200))
    assert digest == sweeps.summary(folder)["data"]["digits/conv/seed0"]["split_digest"]


def test_screen_shows_results_and_next_steps_and_no_noise(first: tuple[Path, str]) -> None:
    folder, text = first
    best = sweeps.summary(folder)["cells"][0]["best"]
    for words in (best, "control", "full_data", "k_center", f"tune-dd evaluate {folder}", "6 of 6 trials"):
        assert words in text
    assert not re.search(r"ray::|raylet|WARNING|[│╭]", text)
    assert max(map(len, text.splitlines())) < 200


def test_finished_sweep_resumes_to_the_same(first: tuple[Path, str], command: Command) -> None:
    folder, _ = first
    before = sweeps.summary(folder)
    (folder / "evaluation.json").write_text('{"cells": []}')  # as evaluate leaves it
    again = command("search", "--resume", "--name", "first", cwd=folder.parent.parent)
    assert again.returncode == 0, again.stderr
    assert "starting Ray" not in again.stdout
    after = sweeps.summary(folder)
    assert after["trials"] == before["trials"]
    assert after["evaluation"] == {"cells": []}
    assert after["state"] == "finished"


@pytest.mark.slow
def test_warm_start_knows_the_old_trials(first: tuple[Path, str], command: Command) -> None:
    folder, _ = first
    # As the first sweep's last lines say: its settings are taken over, so that nothing else is needed.
    words = ["--name", "second", "--warm-start", "first", "--num-trials", "2"]
    done = command("search", *words, cwd=folder.parent.parent)
    assert done.returncode == 0, done.stderr
    assert "warm start: 6 of 6 trials of first are known" in done.stdout
    second = folder.with_name("second")
    assert sweeps.summary(second)["config"]["settings"] == sweeps.summary(folder)["config"]["settings"]
    sweeps.check_each_trial_once(second, 2)
    old = [trial["params"] for trial in sweeps.summary(folder)["trials"]]
    assert not any(trial["params"] in old for trial in sweeps.summary(second)["trials"])


class _Filling(io.StringIO):
    """A screen that fills a disk as soon as a line of the sweep is shown on it."""

    def __init__(self, disk: Path) -> None:
        super().__init__()
        self.filler = disk / "filler"

    def write(self, text: str) -> int:
        if not self.filler.exists():
            with self.filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
                while True:
                    stream.write(bytes(1 << 12))
        return super().write(text)


def test_full_disk_outside_of_trials_is_one_line(
    first: tuple[Path, str], small_disk: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    disk = small_disk("48m")
    shutil.copytree(first[0], disk / "first")
    config = resumed_config(str(disk), "first", {})
    screen = _Filling(disk)
    outcome = run_sweep(config, resume=True, display=LiveDisplay(screen))
    assert print_outcome(outcome) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert re.search(f"the disk of {disk}/first is full after 6 trials.*--resume --name first", line)
    screen.filler.unlink()
    resumed = run_sweep(config, resume=True, display=LiveDisplay(io.StringIO()))
    assert resumed.state == "finished"
    sweeps.check_each_trial_once(disk / "first", 6)


def test_dry_run_tells_and_leaves_nothing(command: Command, tmp_path: Path) -> None:
    done = command("search", "--dry-run", "--name", "planned", "--init", "random", "--prototypes", "3")
    assert done.returncode == 0, done.stderr
    for words in ("implicit.lr", "0.01 to 0.3, logarithmic", "where method = unrolled", "fixed: init=random",
                  "digits/conv/seed0/m3", "trials at a time", "28 trials of roughly"):  # fmt: skip
        assert words in done.stdout
    assert len(re.findall(r"^  digits/conv/seed0/m3: method=", done.stdout, re.MULTILINE)) == 5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_time_budget_ends_a_sweep_in_order(command: Command, tmp_path: Path) -> None:
    steps = "--prototypes 2 --ae-epochs 2 --proto-steps-base 400 --steps-per-iteration 5".split()
    done = command("search", "--name", "short", "--time-budget-s", "12", "--searcher", "grid", *steps)
    assert done.returncode == 0, done.stderr
    summary = sweeps.summary(tmp_path / "results" / "short")
    assert summary["state"] == "time budget spent"
    assert "unfinished" in {trial["status"] for trial in summary["trials"]}
    assert "The time budget is spent; the rest: tune-dd search --resume --name short" in done.stdout
    # What was under way is shown with what it has, and has no place in the ranking.
    by_id = {trial["trial_id"]: trial for trial in summary["trials"]}
    [cell] = summary["cells"]
    assert {by_id[trial]["status"] for trial in cell["under_way"]} == {"unfinished"}
    assert not set(cell["under_way"]) & set(cell["ranking"])
    best = cell["under_way"][0]
    assert by_id[best]["scores"]["probe_accuracy"] > 0
    assert re.search(rf"{best} .*unfinished, after {by_id[best]['iterations']} iterations", done.stdout)


@pytest.mark.slow
def test_diverged_trials_are_results(command: Command, tmp_path: Path) -> None:
    done = command("search", "--name", "odd", "--num-trials", "3", "--lr", "1e30", *TINY)
    assert done.returncode == 0, done.stderr
    trials = sweeps.summary(tmp_path / "results" / "odd")["trials"]
    assert {trial["status"] for trial in trials} <= {"diverged", "completed", "stopped_early"}
    assert "diverged" in {trial["status"] for trial in trials}
    for trial in trials:
        if trial["status"] == "diverged":
            assert trial["scores"]["probe_accuracy"] == pytest.approx(0.1)
            assert json.dumps(trial["scores"], allow_nan=False)
