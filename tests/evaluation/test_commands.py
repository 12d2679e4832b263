"""``evaluate`` and ``reproduce`` on a real sweep of a few trials."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Command, run_python
from tests.toy_features import DATA, write_toy_features
from trainables.latent.config import LatentConfig
from trainables.latent.latents import prepare_latents
from trainables.latent.prototypes.run import PrototypeRun
from tune_dd import cli
from tune_dd.runs.folder import write_json
from tune_dd.sweeps.latent.settings import LatentSweep

SWEEP = "--searcher grid --prototypes 2 --methods implicit kernel_ridge --proto-steps-base 20 --name toy"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """A finished sweep on features that lie on disk; returns the folder it was started from."""
    place = tmp_path_factory.mktemp("swept")
    write_toy_features(place, train=80, test=30, d=8, separation=2.0)
    data = f"--datasets features {DATA} --cache cache"
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
    evaluation = json.loads((sweep / "evaluation.json").read_text())
    assert summary["evaluation"] == {**evaluation, "outdated": False}
    assert evaluation["trials_ended"] == len(summary["trials"])
    scores = [trial["scores"] for trial in summary["trials"]] + list(summary["cells"][0]["controls"].values())
    assert not any("roundtrip_accuracy" in row for row in scores)  # features have no decoder
    [cell] = summary["evaluation"]["cells"]
    learned = [row for row in cell["rows"] if row["kind"] == "learned"]
    assert [row["trial_id"] for row in learned] == [summary["cells"][0]["ranking"][0]]
    assert cell["test_items"] == 90


def test_a_choice_that_an_earlier_one_did_not_make_is_told(sweep: Path, command: Command) -> None:
    words = ("evaluate", str(sweep), "--fresh-seeds", "1", "--top-k", "1")
    first = command(*words)
    assert first.returncode == 0 and "an earlier evaluation" not in first.stdout
    content = json.loads((sweep / "evaluation.json").read_text())
    content["cells"][0]["chosen"] = "implicit (99999)"
    write_json(sweep / "evaluation.json", content)
    assert "an earlier evaluation chose implicit (99999), and test was read" in command(*words).stdout


def test_no_control_stands_twice(sweep: Path, command: Command) -> None:
    """Where a budget of real points is the number of prototypes."""
    edit_summary(sweep, lambda summary: summary["config"].update(budgets=[2, 3]))
    done = command("evaluate", str(sweep), "--fresh-seeds", "1", "--top-k", "1", "--no-test")
    assert done.returncode == 0, done.stderr
    content = json.loads((sweep / "evaluation_without_test.json").read_text())
    names = [row["name"] for row in content["cells"][0]["rows"]]
    assert "herding@3" in names and "herding@2" not in names


def test_every_trial_is_reproduced(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trials = json.loads((sweep / "sweep_summary.json").read_text())["trials"]
    for trial in trials:
        assert cli.main(["reproduce", str(sweep), "--trial", trial["trial_id"]]) == 0
        assert "\nreproduced: " in capsys.readouterr().out


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


@pytest.mark.parametrize("state", ["interrupted", "Ray died"])
def test_test_stays_closed_while_a_search_may_choose_otherwise(
    sweep: Path, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_summary(sweep, lambda summary: summary.update(state=state))
    words = ["evaluate", str(sweep), "--fresh-seeds", "1", "--top-k", "1"]
    assert cli.main(words) == 2
    complaint = capsys.readouterr().err
    assert re.fullmatch(
        rf"tune-dd evaluate: the sweep toy is not finished \({state}, \d+ trials? ended\), .*"
        rf"--resume --name toy --storage {sweep.parent}, .*--no-test\.\n",
        complaint,
    )
    assert cli.main([*words, "--no-test"]) == 0
    assert "the sweep toy is not finished" in capsys.readouterr().out
    assert not (sweep / "test_access.jsonl").exists()
    assert (sweep / "evaluation_without_test.json").exists() and not (sweep / "evaluation.json").exists()


def test_a_time_budget_is_an_end_that_was_set_beforehand(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_summary(sweep, lambda summary: summary.update(state="time budget spent"))
    assert cli.main(["evaluate", str(sweep), "--fresh-seeds", "1", "--top-k", "1"]) == 0
    out = capsys.readouterr().out
    assert "the sweep toy is not finished (time budget spent, " in out and "on test" in out


def test_an_evaluation_of_fewer_trials_is_marked(sweep: Path, swept: Path, command: Command) -> None:
    """The sweep is resumed after its evaluation: first with nothing left to do, then as if there had been."""
    storage = swept / "again"
    shutil.copytree(sweep, storage / "toy")
    words = ["--fresh-seeds", "1", "--top-k", "1"]
    assert command("evaluate", "again/toy", *words, cwd=swept).returncode == 0
    for ended, outdated in ((0, False), (-1, True)):
        path = storage / "toy" / "evaluation.json"
        evaluation = json.loads(path.read_text())
        path.write_text(json.dumps({**evaluation, "trials_ended": evaluation["trials_ended"] + ended}))
        done = command("search", "--resume", "--name", "toy", "--storage", "again", cwd=swept)
        assert done.returncode == 0, done.stderr
        summary = json.loads((storage / "toy" / "sweep_summary.json").read_text())
        assert summary["evaluation"]["outdated"] is outdated


@pytest.mark.parametrize("damage", [{}, {"hits": "AA=="}, {"hits": "no base64"}, {"items": None}])
def test_damaged_scores_on_test_get_one_line(
    sweep: Path, damage: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(sweep), "--fresh-seeds", "1", "--top-k", "1"]
    assert cli.main(words) == 0
    path = next((sweep / "test_scores").iterdir())
    content = {**json.loads(path.read_text()), **damage} if damage else {}
    path.write_text(json.dumps(content))
    capsys.readouterr()
    assert cli.main(words) == 2
    complaint = capsys.readouterr().err
    assert re.fullmatch(
        rf"tune-dd evaluate: {path} is damaged \(.*\), but scores on test must .*\n", complaint
    )


def test_a_trial_is_reproduced_where_it_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the CPU without a GPU's share, also where there is a GPU that ``--device auto`` would take."""
    config = LatentSweep(
        name="s",
        storage=str(tmp_path),
        cache=str(tmp_path / "cache"),
        prototypes=(1,),
        settings={"ae_epochs": 1, "proto_steps_base": 2},
    )
    [cell] = config.cells
    settings = config.trial_settings(cell, {"method": "implicit"})
    parsed = LatentConfig.parse(settings)
    data = prepare_latents(parsed.data, parsed.encoder, config.cache_folder, print)
    scores = PrototypeRun(parsed.distill, data).step()
    del scores["optimise_cpu_s"]
    trial = {"trial_id": "0", "cell": str(cell), "status": "completed", "iterations": 1, "config": settings}
    summary = {
        "schema_version": 1,
        "name": "s",
        "state": "finished",
        "objective": config.objective,
        "config": config.to_json(),
        "versions": {},
        "data": {},
        "cells": [{"cell": str(cell), "best": "0", "ranking": ["0"], "under_way": []}],
        "trials": [{**trial, "scores": scores}],
    }
    folder = tmp_path / "s"
    folder.mkdir()
    write_json(folder / "sweep_summary.json", summary)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert cli.main(["reproduce", str(folder)]) == 0, capsys.readouterr().err
