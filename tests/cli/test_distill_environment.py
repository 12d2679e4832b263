"""``tune-dd distill environment``: the real command with tiny budgets."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.conftest import Command
from trainables.environment.distilled_set import load_distilled_set

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
        (["--inner-lr", "nan"], "finite"),
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
