"""The command itself, with tiny budgets."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import Command
from tests.sweep import sweeps
from trainables.latent.artifacts import load_artifacts
from trainables.latent.distill_config import PROTOTYPE_METHODS
from tune_dd import cli
from tune_dd.sweeps.live_display import LiveDisplay
from tune_dd.sweeps.resuming import resumed_config
from tune_dd.sweeps.runner import run_sweep
from tune_dd.sweeps.tables import print_outcome

TINY = (
    "--prototypes 2 --ae-epochs 2 --proto-steps-base 8 --steps-per-iteration 2 --sel-evaluations 20 "
    "--shape-episodes 4 --shape-steps 2"
).split()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished sweep of 6 trials: its folder and what it printed."""
    storage = tmp_path_factory.mktemp("first") / "results"
    log = storage.parent / "log"
    methods = ["--methods", *PROTOTYPE_METHODS]  # rl_selection has cells of its own for --budgets
    words = ["--name", "first", "--num-trials", "6", "--budgets", "5", *methods, *TINY]
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
    (folder / "evaluation.json").write_text('{"cells": [], "trials_ended": 6}')  # as evaluate leaves it
    again = command("search", "--resume", "--name", "first", cwd=folder.parent.parent)
    assert again.returncode == 0, again.stderr
    assert "starting Ray" not in again.stdout
    after = sweeps.summary(folder)
    assert after["trials"] == before["trials"]
    assert after["evaluation"] == {"cells": [], "trials_ended": 6, "outdated": False}
    assert after["state"] == "finished"


@pytest.fixture
def copied(first: tuple[Path, str]) -> Iterator[Path]:
    """A copy of the sweep in the same storage, which a test may change."""
    copy = first[0].with_name("copied")
    shutil.copytree(first[0], copy)
    yield copy
    shutil.rmtree(copy)


def resume(folder: Path) -> str:
    """Go on with a sweep in this process; what it said."""
    screen = io.StringIO()
    config = resumed_config(str(folder.parent), folder.name, {})
    assert run_sweep(config, resume=True, display=LiveDisplay(screen)).state == "finished"
    return screen.getvalue()


def test_a_copied_sweep_goes_on_by_itself(first: tuple[Path, str], copied: Path) -> None:
    """With one trial that can go on from its checkpoint and one that had been proposed and never ran."""
    original, journal = first[0], copied / "journal.jsonl"
    before = {path: path.read_bytes() for path in original.rglob("*") if path.is_file()}
    kept = [
        event
        for event in sweeps.events(copied)
        if (event["trial"], event["event"]) != ("00004", "ended")
        and (event["trial"] != "00005" or event["event"] == "proposed")
    ]
    journal.write_text("".join(json.dumps(event) + "\n" for event in kept))
    said = resume(copied)
    assert "resumed: 4 trials have ended, 1 goes on from a checkpoint, 1 starts" in said
    assert "warning" not in said
    assert said.startswith("sweep copied: 6 trials in 1 cell")
    sweeps.check_each_trial_once(copied, 6)
    for path in (copied / "sweep.json", copied / "sweep_summary.json"):
        assert json.loads(path.read_text())["config"]["name"] == "copied"
    assert sweeps.summary(copied)["name"] == "copied"
    assert {path: path.read_bytes() for path in original.rglob("*") if path.is_file()} == before


def test_removed_result_folders_are_told(copied: Path) -> None:
    trials = sweeps.summary(copied)["trials"]
    for number, words in ((1, "1 ended trial lacks its result folder"), (4, "2 ended trials lack")):
        shutil.rmtree(copied / trials[number]["run"])
        [line] = [line for line in resume(copied).splitlines() if "result folder" in line]
        assert re.search(rf"^warning: {words}.*, the first {trials[1]['run']}; scores stay", line)
    summary = sweeps.summary(copied)
    assert [trial["run"] is None for trial in summary["trials"]] == [False, True, False, False, True, False]
    assert [trial["scores"] for trial in summary["trials"]] == [trial["scores"] for trial in trials]


def test_dry_run_tells_what_a_warm_start_knows(
    first: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    storage = first[0].parent
    before = {path: path.stat().st_mtime_ns for path in storage.rglob("*")}
    assert cli.main(["search", "--storage", str(storage), "--warm-start", "first", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "warm start: 6 of 6 trials of first are known to the searcher" in said
    assert "28 trials of roughly" in said, "the 6 of the first sweep are no setting of this one"
    other = ["--proto-steps-base", "9", "--num-trials", "1", "--max-concurrent", "1"]
    assert cli.main(["search", "--storage", str(storage), "--warm-start", "first", "--dry-run", *other]) == 0
    said = capsys.readouterr().out
    assert (
        "warm start: 0 of 6 trials of first are known to the searcher; not: 6 (other --proto-steps-base)"
        in said
    )
    assert re.search(r"1 trial of roughly .* on 1 worker, an estimate", said)
    assert {path: path.stat().st_mtime_ns for path in storage.rglob("*")} == before
    with pytest.raises(SystemExit):
        cli.main(["search", "--help"])
    assert "hold unless given, but for --num-trials" in " ".join(capsys.readouterr().out.split())


def test_every_session_s_versions_stay_on_record(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copied / "sweep.json"
    content = json.loads(path.read_text())
    assert content.pop("kind") == "latent"  # which earlier versions did not write
    began_with = {**content.pop("versions"), "torch": "0.0"}
    path.write_text(json.dumps({**content, "versions": began_with}))
    current = torch.__version__.split("+")[0]
    for _ in range(2):
        # Somebody may commit while this test runs, which is told, too.
        assert re.search(f"differ between this sweep's sessions: .*torch 0.0 and {current}", resume(copied))
    for recorded in (json.loads(path.read_text()), sweeps.summary(copied)):
        assert recorded["kind"] == "latent"
        assert recorded["versions"] == began_with
        assert {session["versions"]["torch"] for session in recorded["sessions"]} == {current}
        assert len({str(session["versions"]) for session in recorded["sessions"]}) == len(
            recorded["sessions"]
        )
        assert datetime.fromisoformat(recorded["sessions"][0]["started"]).tzinfo is not None

    summary = sweeps.summary(copied)
    for trial in summary["trials"]:
        trial["scores"]["ridge_accuracy"] -= 1e-9
    # The start of another encoder's name, as that of seed 1 is of seed 10's.
    summary["data"] = {"digits/conv/seed": {"key": "k", "code_version": "other"}, **summary["data"]}
    (copied / "sweep_summary.json").write_text(json.dumps(summary))
    assert cli.main(["reproduce", str(copied)]) == 1
    said = capsys.readouterr().out
    assert f"torch was 0.0 and {current}, is {current}" in said
    assert "code_version was other" not in said


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
                  "digits/conv/seed0/m3", " at a time with 1 CPU each", "28 trials of roughly"):  # fmt: skip
        assert words in done.stdout
    assert len(re.findall(r"^  digits/conv/seed0/m3: method=", done.stdout, re.MULTILINE)) == 5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_time_budget_ends_a_sweep_in_order(command: Command, tmp_path: Path) -> None:
    # Trials too long for any machine, and time enough for workers to start on a busy one.
    steps = "--prototypes 2 --ae-epochs 2 --proto-steps-base 40000 --steps-per-iteration 5".split()
    done = command("search", "--name", "short", "--time-budget-s", "30", "--searcher", "grid", *steps)
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
    assert re.search(rf"{best} .*unfinished, after {by_id[best]['iterations']} iterations?", done.stdout)


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
