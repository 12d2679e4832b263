"""Sweeps of environment distillations, with tiny budgets: the command, its parts, and the verbs after it."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command
from tests.sweep import sweeps
from trainables.environment.config import EnvironmentConfig
from trainables.environment.distilled_set import load_distilled_set
from trainables.environment.tasks import open_task
from trainables.errors import InputError
from tune_dd import cli, search
from tune_dd.sweeps.checkpoints import Checkpoints
from tune_dd.sweeps.environment.controls import random_returns
from tune_dd.sweeps.environment.settings import EnvironmentCell, EnvironmentSweep
from tune_dd.sweeps.environment.task_facts import task_facts
from tune_dd.sweeps.journal import Journal, TrialRecord, read_records
from tune_dd.sweeps.live_display import LiveDisplay, Standing, progress_line
from tune_dd.sweeps.proposals import CellStudy, MismatchError, Proposals
from tune_dd.sweeps.results import KINDS, ranking, recorded_config
from tune_dd.sweeps.resuming import check_same_sources, resumed_config
from tune_dd.sweeps.runner import run_sweep
from tune_dd.sweeps.searcher import opens

pytestmark = pytest.mark.timeout(300)
TRIALS = 3


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished sweep: its folder and what it printed."""
    storage = tmp_path_factory.mktemp("environments") / "results"
    log = storage.parent / "log"
    words = ["--name", "first", "--num-trials", str(TRIALS), "--scheduler", "none", *sweeps.ENVIRONMENT]
    sweep = sweeps.start(storage, *words, log=log, kind="environment")
    return storage / "first", sweeps.finish(sweep, log)


@pytest.fixture
def copied(first: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of the sweep, which a test may change."""
    copy = tmp_path / "copied"
    shutil.copytree(first[0], copy)
    return copy


OWN_FILES = (("/a/net.py:Net", "0" * 64), ("/b/net.py:Net", "0" * 64), ("/a/net.py:Net", "1" * 64))


def test_summary_holds_every_trial_and_the_controls(first: tuple[Path, str]) -> None:
    folder, _ = first
    sweeps.check_each_trial_once(folder, TRIALS)
    summary = sweeps.summary(folder)
    assert (summary["state"], summary["kind"], summary["objective"]) == (
        "finished",
        "environment",
        "probe_return",
    )
    [cell] = summary["cells"]
    assert (cell["cell"], cell["env"], cell["batch_size"]) == ("CartPole-v1/seed0/b2", "CartPole-v1", 2)
    assert 5 < cell["controls"]["untrained"]["probe_return"] < 60
    assert 5 < cell["controls"]["random actions"]["probe_return"] < 60
    assert "gymnasium" in summary["data"]["CartPole-v1"]["key"]
    assert {trial["iterations"] for trial in summary["trials"]} == {4}


def test_a_trial_leaves_set_summary_and_curve(first: tuple[Path, str]) -> None:
    folder, _ = first
    summary = sweeps.summary(folder)
    for trial in summary["trials"]:
        place = folder / trial["run"]
        assert place.relative_to(folder).parts[:2] == ("CartPole-v1", "mlp")
        curve = list(csv.DictReader((place / "learning_curve.csv").open()))
        assert [float(row["iteration"]) for row in curve] == [1, 2, 3, 4]
        assert float(curve[-1]["probe_return"]) == trial["scores"]["probe_return"]
        assert (place / "learning_curve.png").stat().st_size > 10_000
        distilled = load_distilled_set(place / "distilled_set.pt")
        assert tuple(distilled.x.shape) == (2, 4)
        assert float(distilled.inner_lr) == pytest.approx(trial["scores"]["inner_lr"])
        content = json.loads((place / "experiment_summary.json").read_text())
        control = summary["cells"][0]["controls"]["untrained"]
        assert content["untrained_return"] == control["probe_return"]
        assert EnvironmentConfig.parse(content["config"]).flat() == trial["config"]


def test_screen_shows_results_and_next_steps_and_no_noise(first: tuple[Path, str]) -> None:
    folder, text = first
    [cell] = sweeps.summary(folder)["cells"]
    words = (cell["best"], "control", "untrained", "random actions", "CartPole-v1, seed 0, 2 states",
             "mean return ± standard error of 4 fresh learners", f"tune-dd reproduce {folder}",
             f"b2-seed0-{cell['best']}/distilled_set.pt --env CartPole-v1",
             "tune-dd search environment --warm-start first", "3 of 3 trials")  # fmt: skip
    for word in words:
        assert word in text
    assert not re.search(r"ray::|raylet|WARNING|[│╭%]", text)
    assert re.search(r"best \d+\.\d ± \d+\.\d at 2 states", text)


def resume(folder: Path) -> str:
    """Go on with a sweep in this process; what it said."""
    screen = io.StringIO()
    config = resumed_config(str(folder.parent), folder.name, {})
    assert run_sweep(config, resume=True, display=LiveDisplay(screen)).state == "finished"
    return screen.getvalue()


def test_interrupted_it_goes_on_and_reproduces(
    first: tuple[Path, str], copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one trial that goes on from its checkpoint and one that had been proposed and never ran."""
    kept = [
        event
        for event in sweeps.events(copied)
        if (event["trial"], event["event"]) != ("00001", "ended")
        and (event["trial"] != "00002" or event["event"] == "proposed")
    ]
    (copied / "journal.jsonl").write_text("".join(json.dumps(event) + "\n" for event in kept))
    said = resume(copied)
    assert "resumed: 1 trial has ended, 1 goes on from a checkpoint, 1 starts" in said
    sweeps.check_each_trial_once(copied, TRIALS)
    restored = {trial["trial_id"]: trial["restored"] for trial in sweeps.summary(copied)["trials"]}
    assert restored == {"00000": 0, "00001": 1, "00002": 0}
    assert sweeps.scores(copied)["00002"] == sweeps.scores(first[0])["00002"]

    assert cli.main(["reproduce", str(copied), "--trial", "00002"]) == 0
    assert "\nreproduced: " in capsys.readouterr().out
    path = copied / "sweep_summary.json"
    summary = sweeps.summary(copied)
    for trial in summary["trials"]:
        trial["scores"]["probe_return"] += 1.0
    path.write_text(json.dumps(summary))
    assert cli.main(["reproduce", str(copied), "--trial", "00001"]) == 1
    assert "probe_return differ; the trial was resumed, and episodes" in capsys.readouterr().out


def test_evaluate_names_what_does_it(first: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = first
    assert cli.main(["evaluate", str(folder)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert re.search(r"kind environment.*use tune-dd validate .*distilled_set.pt --env CartPole-v1\.$", line)
    assert cli.main(["reproduce", str(folder), "--cache", "x"]) == 2
    assert "--cache is x" in capsys.readouterr().err


def test_warm_start_takes_over_settings_and_trials(first: tuple[Path, str]) -> None:
    folder, _ = first
    config = recorded_config(folder / "sweep.json", json.loads((folder / "sweep.json").read_text()))
    records = read_records(folder, EnvironmentCell)
    proposals = Proposals(config)
    for record in records.values():
        proposals.learn(record.cell, record)
    known = [record.params for record in records.values()]
    proposed = [proposals.propose(number, str(number)) for number in range(2)]
    assert not any(proposal is None or proposal.params in known for proposal in proposed)
    other = EnvironmentSweep(name="x", settings={**config.settings, "iterations": 5})
    with pytest.raises(MismatchError, match=r"other --iterations$"):
        CellStudy(other, other.cells[0]).learn(records["00000"])


def test_plain_search_resumes_any_kind(
    first: tuple[Path, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(first[0].parent.parent)
    took = sweeps.summary(first[0])["timings"]
    assert search.main(["--resume", "--name", "first"]) == 0
    assert "3 trials have ended" in capsys.readouterr().out
    # There was nothing left to run: what the trials took is still told, and the rest added to it.
    takes = sweeps.summary(first[0])["timings"]
    assert (takes["trials_wall_s"], takes["first_result_s"]) == (
        took["trials_wall_s"],
        took["first_result_s"],
    )
    assert takes["controls_wall_s"] > took["controls_wall_s"]
    assert search.main(["--resume", "--name", "first", "--prototypes", "3"]) == 2
    assert "--prototypes is 3 with --resume" in capsys.readouterr().err
    assert search.main(["--warm-start", "first"]) == 2
    assert "use tune-dd search environment --warm-start first" in capsys.readouterr().err
    assert search.main(["environment", "--warm-start", "first", "--dry-run"]) == 0
    assert "warm start: 3 of 3 trials of first are known" in capsys.readouterr().out


def test_a_damaged_checkpoint_is_not_gone_on_from(first: tuple[Path, str], copied: Path) -> None:
    kind = EnvironmentSweep(name="x").open()
    [whole, *_] = (path.parent for path in copied.glob("tune/*/*/*/distilled_set.pt"))
    checkpoints = Checkpoints(copied)
    assert opens(kind, checkpoints, str(whole.relative_to(copied)))
    for name in ("distilled_set.pt", "ppmo_state.pt", "progress.json"):
        damaged = copied / name
        shutil.copytree(whole, damaged)
        (damaged / name).write_bytes(b"garbage")
        with pytest.warns(UserWarning, match="its trial starts again"):
            assert not opens(kind, checkpoints, name)


def test_a_set_that_nobody_can_open_is_left_out(copied: Path) -> None:
    kind = EnvironmentSweep(name="x").open()
    kind.prepare(print)
    record = read_records(copied, EnvironmentCell)["00000"]
    assert record.checkpoint is not None
    checkpoint, place = copied / record.checkpoint, copied / "place"
    (checkpoint / "distilled_set.pt").write_bytes(b"garbage")
    place.mkdir()
    with pytest.warns(UserWarning, match="set cannot be used and is left out"):
        kind.fill_run(place, record, checkpoint, {"status": "completed"})
    left = {path.name for path in place.iterdir()}
    assert left == {"experiment_summary.json", "learning_curve.csv", "learning_curve.png"}
    assert json.loads((place / "experiment_summary.json").read_text())["untrained_return"] > 0


def test_dry_run_tells_and_leaves_nothing(command: Command, tmp_path: Path) -> None:
    words = "--dry-run --env CartPole-v1 CartPole2D-v1 --batch-sizes 3 512 --seeds 0 1 --epochs 2".split()
    done = command("search", "environment", *words)
    assert done.returncode == 0, done.stderr
    for told in (
        "for CartPole-v1",
        "for CartPole2D-v1",
        "0.01 to 3, logarithmic",
        "where with_entropy = True",
        "fixed: epochs=2",
        "CartPole2D-v1/seed1/b512",
        "task CartPole2D-v1",
        "28 trials",
    ):
        assert told in done.stdout
    assert len(re.findall(r"^  CartPole\S+: outer_lr=", done.stdout, re.MULTILINE)) == 5
    assert list(tmp_path.iterdir()) == []


class TestSettings:
    def test_cells_and_what_is_filled_up(self) -> None:
        config = EnvironmentSweep(name="x", env=("CartPole-v1", "CartPole5D-v1", "Hopper-v5"))
        assert list(map(str, config.cells)) == [
            "CartPole-v1/seed0/b2", "CartPole5D-v1/seed0/b6", "Hopper-v5/seed0/b64",
        ]  # fmt: skip
        settings = [config.trial_settings(cell, {"learners": 5}) for cell in config.cells]
        assert [flat["num_envs"] for flat in settings] == [50, 100, 50]
        assert [config.cell_of(flat) for flat in settings] == list(config.cells)
        fixed = EnvironmentSweep(name="x", seeds=(3,), cpus_per_trial=2, settings={"num_envs": 20})
        [cell] = fixed.cells
        flat = fixed.trial_settings(cell, {"learners": 4})
        assert (flat["num_envs"], flat["seed"], flat["threads"]) == (20, 3, 2)

    def test_the_smallest_batch_has_one_cell_and_its_own_objective(self) -> None:
        config = EnvironmentSweep(name="x", space="smallest_batch", settings={"target_return": 475.0})
        [cell] = config.cells
        assert (str(cell), cell.size, config.metric) == ("CartPole-v1/seed0", None, "compactness")
        assert config.context(cell).batch_sizes == (2, 512)
        flat = config.trial_settings(cell, {"batch_size": 7, "learners": 5})
        assert config.cell_of(flat) == cell
        bounded = EnvironmentSweep(
            name="x", space="smallest_batch", batch_sizes=(4, 16), settings={"target_return": 475.0}
        )
        assert bounded.context(bounded.cells[0]).batch_sizes == (4, 16)

    def test_to_json_and_back(self) -> None:
        config = EnvironmentSweep(name="x", batch_sizes=(2, 8), seeds=(0, 1), settings={"epochs": 3})
        assert KINDS["environment"].from_json(json.loads(json.dumps(config.to_json()))) == config

    @pytest.mark.parametrize(
        ("env", "name"),
        [("CartPole-v1", "cartpole-v1"), ("ALE/Pong-v5", "pong-v5"), (" odd? ", "odd"), ("", "environment")],
    )
    def test_default_names_are_folders(self, env: str, name: str) -> None:
        assert EnvironmentSweep.default_name({"env": (env,)}) == name


def trial(trial_id: str, cell: EnvironmentCell, drawn: float, greedy: float, **more: float) -> TrialRecord:
    scores = {"probe_return": drawn, "probe_return_sem": 2.13, "greedy_return": greedy, **more}
    states = cell.batch_size or 3
    return TrialRecord(trial_id, cell, {}, {"batch_size": states}, {1: scores}, status="completed")


class TestWords:
    def test_live_line(self) -> None:
        config = EnvironmentSweep(name="x", batch_sizes=(2, 512))
        records = [
            trial("0", config.cells[0], 487.31, 490.0), trial("1", config.cells[1], 1499.0, 490.0)
        ]  # fmt: skip
        line = progress_line(Standing(config, records), config.open().score_words, 9, None, workers=1)
        assert line.endswith("| best 487.3 ± 2.1 at 2, 1,499.0 ± 2.1 at 512 states")

    def test_live_line_of_the_smallest_batch(self) -> None:
        config = EnvironmentSweep(name="x", space="smallest_batch", settings={"target_return": 475.0})
        records = [trial("0", config.cells[0], 487.31, 490.0, compactness=1.25)]
        line = progress_line(Standing(config, records), config.open().score_words, 9, None, workers=1)
        assert line.endswith("| best 487.3 ± 2.1 with 3 states")

    def test_equal_returns_are_ranked_by_the_other(self) -> None:
        config = EnvironmentSweep(name="x")
        [cell] = config.cells
        records = [
            trial("0", cell, 500.0, 480.0), trial("1", cell, 500.0, 490.0), trial("2", cell, 499.0, 500.0)
        ]  # fmt: skip
        assert [record.trial_id for record in ranking(records, cell, config)] == ["1", "0", "2"]

    def test_rows_tell_how_far_the_target_is(self) -> None:
        config = EnvironmentSweep(name="x", space="smallest_batch", settings={"target_return": 475.0})
        kind, [cell] = config.open(), config.cells
        scores = {"probe_return": 480.0, "probe_return_sem": 1.0, "greedy_return": 490.0, "inner_lr": 0.5}
        columns = kind.columns(cell)
        for compactness, words in ((1.25, "reached"), (0.25, "25% of the way")):
            row = kind.row(cell, "4 states", {**scores, "compactness": compactness, "cpu_s": 3.0})
            assert dict(zip(columns, row, strict=True))["target"] == words
        control = kind.row(cell, "untrained", {"probe_return": 20.0, "probe_return_sem": 1.0})
        assert len(control) == len(columns)
        assert kind.heading(cell) == "CartPole-v1, seed 0, as few states as reach 475"


def test_journal_keeps_cells_of_open_size(tmp_path: Path) -> None:
    journal = Journal(tmp_path, EnvironmentCell)
    cell = EnvironmentCell("CartPole-v1", 0)
    journal.proposed("00000", cell, {"batch_size": 3}, {})
    journal.restored("00000")
    journal.close()
    record = read_records(tmp_path, EnvironmentCell)["00000"]
    assert (record.cell, record.restored) == (cell, 1)


def test_the_key_names_what_simulates_the_task(tmp_path: Path) -> None:
    keys = {
        env: task_facts(open_task(env), {})["key"] for env in ("CartPole-v1", "CartPole2D-v1", "Hopper-v5")
    }
    assert len(set(keys.values())) == 3
    assert ["mujoco" in key for key in keys.values()] == [False, False, True]
    own = [task_facts(open_task("Pong"), {family: digest})["key"] for family, digest in OWN_FILES]
    assert own[0] == own[1] != own[2], "wherever the file lies, but not if it is another one"
    assert "ale-py" in task_facts(open_task("Pong"), {})["key"]


def test_another_simulation_is_told(copied: Path) -> None:
    config: Any = EnvironmentSweep(name="copied")
    facts = {"CartPole-v1": {"key": "CartPole-v1, gymnasium 0.0"}}
    with pytest.raises(InputError, match=r"is now CartPole-v1, gymnasium 0\.0, but the sweep began with"):
        check_same_sources(copied, config, facts)


def test_random_actions_balance_a_cart_pole_for_22_steps() -> None:
    returns = random_returns(open_task("CartPole-v1"), 400, seed=0)
    assert returns.shape == (400,)
    assert abs(returns.mean() - 22.3) < 4 * returns.std() / math.sqrt(400)
