"""``tune-dd distill environment``: the real command with tiny budgets."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.conftest import Command, interrupted_at
from trainables.environment.config import EnvironmentConfig
from trainables.environment.distilled_set import load_distilled_set
from trainables.environment.tasks import open_task
from tune_dd import distill
from tune_dd.environments.distill import describe
from tune_dd.environments.limits import check_target

TINY = "--iterations 2 --iterations-per-report 1 --num-envs 10 --rollout-steps 20 --probe-learners 4".split()


def test_leaves_set_summary_and_curve(command: Command, tmp_path: Path) -> None:
    done = command("distill", "environment", "--env", "CartPole2D-v1", "--batch-size", "3", *TINY)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "2/2  fresh learners" in done.stdout
    (summary_file,) = tmp_path.rglob("experiment_summary.json")
    folder = summary_file.parent
    assert folder.parts[-4:] == ("runs", "CartPole2D-v1", "mlp", "b3-s0")
    summary = json.loads(summary_file.read_text())
    curve = list(csv.DictReader((folder / "learning_curve.csv").open()))
    assert [report["iteration"] for report in curve] == ["1", "2"]
    assert float(curve[-1]["probe_return"]) == summary["scores"]["probe_return"]
    assert summary["config"]["batch_size"] == 3
    assert tuple(load_distilled_set(folder / "distilled_set.pt").x.shape) == (3, 8)
    assert (folder / "learning_curve.png").stat().st_size > 10_000
    again = command("distill", "environment", "--env", "CartPole2D-v1", "--batch-size", "3", *TINY)
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_what_diverged_leaves_no_set_and_says_so(command: Command, tmp_path: Path) -> None:
    done = command("distill", "environment", "--inner-lr-lr", "1e30", *TINY)
    assert done.returncode == 1
    assert "it diverged: the set is no longer finite" in done.stdout
    assert "there is no set: try a lower --outer-lr" in done.stdout
    assert "next:" not in done.stdout and "Traceback" not in done.stderr
    (summary_file,) = tmp_path.rglob("experiment_summary.json")
    assert json.loads(summary_file.read_text())["scores"]["diverged"] == 1.0
    assert {path.name for path in summary_file.parent.iterdir()} == {
        "experiment_summary.json", "learning_curve.csv", "learning_curve.png"
    }  # fmt: skip


@pytest.mark.timeout(240)
def test_an_interrupt_keeps_the_set_of_the_last_report(tmp_path: Path) -> None:
    words = ("distill", "environment", *TINY[2:], "--iterations", "100000", "--run-name", "cut")
    code, out, err = interrupted_at("  2/100000  fresh learners", *words, cwd=tmp_path)
    assert (code, err) == (130, "")
    place = tmp_path / "results" / "runs" / "CartPole-v1" / "mlp" / "cut"
    curve = list(csv.DictReader((place / "learning_curve.csv").open()))
    assert f"interrupted: what is kept is the set of {curve[-1]['iteration']} meta-iterations" in out
    assert "next: tune-dd validate" in out and len(curve) >= 2
    load_distilled_set(place / "distilled_set.pt")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--env", "CartPol-v1"], "did you mean 'CartPole-v1'"),
        (["--env", "FrozenLake-v1"], "shows"),
        (["--batch-size", "0"], "must be at least 1"),
        (["--learners", "7", "--num-envs", "50"], "give --num-envs 56"),
        (["--families", "same+alien"], "names 'alien'"),
        (["--encoder-level", "l2"], "pictures"),
        (["--env", "Hopper-v5", "--targets", "hard"], "its actions are vectors"),
        (["--env", "Pong", "--families", "same+random_hidden"], "cannot be of family 'random_hidden'"),
        (["--target-return", "inf"], "finite"),
        (
            ["--target-return", "501"],
            "--target-return is 501 with --env CartPole-v1, but an episode gives 500",
        ),
        (["--m-per-class", "2"], "did you mean tune-dd distill --m-per-class?"),
        (["--inner-lr", "nan"], "finite"),
        (["--inner-lr", "1e39"], "at most 1e+30"),
        (["--learners", "4", "--num-envs", "4", "--minibatch-size", "2"], "give 4 or more"),
        (["--batch-size", "100000000000"], "at most"),
        (["--btch-size", "2"], "did you mean --batch-size"),
        (["--storage", "/proc/x"], "writable"),
    ],
)
def test_bad_input_is_one_line(command: Command, words: list[str], told: str, tmp_path: Path) -> None:
    done = command("distill", "environment", *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("env", "target"),
    [("CartPole-v1", 500.0), ("CartPole12D-v1", None), ("Hopper-v5", 3_000.0), ("Pong", 21.0)],
)
def test_targets_that_may_be_reached_are_let_pass(env: str, target: float | None) -> None:
    check_target(open_task(env), target)


def test_a_flag_of_environments_leads_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        distill.main(["--env", "CartPole-v1"])
    said = "--env is not a flag of this command: did you mean tune-dd distill environment --env?"
    assert capsys.readouterr().err == f"tune-dd distill: {said}\n"


def test_one_of_each_is_no_plural() -> None:
    names = ("batch_size", "iterations", "num_envs", "rollout_steps", "learners")
    said = describe(EnvironmentConfig.parse(dict.fromkeys(names, 1)), "CartPole-v1")
    assert "1 state, " in said
    assert "1 meta-iteration of 1 x 1 step with 1 learner each" in said
