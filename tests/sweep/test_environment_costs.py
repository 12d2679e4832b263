"""What a dry run says a sweep of environments costs: held against what meta-iterations were seen to cost."""

from __future__ import annotations

import re
from typing import Any

import pytest

from trainables.environment.config import EnvironmentConfig
from trainables.environment.tasks import open_task
from tune_dd import search
from tune_dd.sweeps.environment.costs import distillation_s, simulated_s
from tune_dd.sweeps.environment.settings import EnvironmentSweep

PONG = {"env": "Pong", "num_envs": 10, "rollout_steps": 20, "minibatch_size": 100, "epochs": 2}
TEN = {"learners": 10, "minibatch_size": 1024}
UNLIKE = {
    "env": "CartPole2D-v1",
    "batch_size": 512,
    "families": "+".join(["same", "ortho1", *["xe"] * 5, "random_size", "random_hidden"]),
}
# Settings, CPU seconds of an environment step alone, and medians of those of a meta-iteration of RLlib, as on
# the machine of the first row, which was timed beside the others.
SEEN: list[tuple[dict[str, Any], float, float]] = [
    ({"learners": 25}, 1e-6, 0.109),
    ({"learners": 25, "epochs": 1, "minibatch_size": 1024}, 1e-6, 0.044),
    ({"batch_size": 512, "learners": 1}, 1e-6, 0.109),
    ({"batch_size": 512, "learners": 25}, 1e-6, 0.800),
    ({"env": "CartPole5D-v1", "learner_groups": 1}, 1e-6, 0.224),
    ({"env": "CartPole5D-v1"}, 1e-6, 0.176),
    ({"env": "CartPole5D-v1", "batch_size": 512}, 1e-6, 0.173),
    ({"env": "CartPole5D-v1", "batch_size": 512, "learner_groups": 1}, 1e-6, 0.255),
    ({**UNLIKE, "learner_groups": 1}, 1e-6, 1.50),
    (UNLIKE, 1e-6, 0.67),
    ({"env": "Hopper-v5", **TEN}, 1.3e-4, 0.697),
    ({"env": "Ant-v5", **TEN}, 2.7e-4, 1.286),
    ({**PONG, "learners": 1}, 3.1e-4, 1.182),
    ({**PONG, "learners": 5}, 3.1e-4, 2.718),
    ({"env": "Pong"}, 3.4e-4, 8.74),
    ({"env": "Pong", "encoder_level": "l2"}, 3.4e-4, 6.16),
    ({"env": "Pong", "encoder_level": "l4"}, 3.4e-4, 3.33),
    ({"env": "Pong", "encoder_level": "l4", "batch_size": 64}, 3.4e-4, 4.19),
]


def cost_s(settings: dict[str, Any], step_s: float, **more: Any) -> float:
    parsed = EnvironmentConfig.parse({**settings, **more})
    return distillation_s(parsed, open_task(parsed.distilled.env), step_s)


@pytest.mark.parametrize(("settings", "step_s", "seen_s"), SEEN)
def test_meta_iterations_cost_what_they_were_seen_to(
    settings: dict[str, Any], step_s: float, seen_s: float
) -> None:
    one, many = (cost_s(settings, step_s, iterations=number, iterations_per_report=11) for number in (1, 11))
    assert (many - one) / 10 == pytest.approx(seen_s, rel=0.25)


def test_a_probe_costs_its_learners_episodes() -> None:
    """As measured: 100 learners that balance a cart-pole to the end take 0.13 s, and there are two modes."""
    costs = [cost_s({}, 1e-6, iterations=20, iterations_per_report=every) for every in (10, 20)]
    assert costs[0] - costs[1] == pytest.approx(2 * 0.13, rel=0.5)
    reacher = {"env": "Reacher-v5", "probe_learners": 100}
    short = [cost_s(reacher, 4e-5, iterations=20, iterations_per_report=n) for n in (10, 20)]
    assert short[0] - short[1] == pytest.approx(2 * 100 * 50 * 4e-5, rel=0.2), "episodes of 50 steps"


def test_simulating_is_timed() -> None:
    carts, hopper = simulated_s(open_task("CartPole-v1")), simulated_s(open_task("Hopper-v5"))
    assert 0 < 10 * carts < hopper < 0.01


def test_trials_of_large_sets_and_slow_tasks_cost_more() -> None:
    few, many = EnvironmentSweep(name="x", batch_sizes=(2, 512), settings={"learners": 25}).cells
    kind = EnvironmentSweep(name="x", env=("CartPole-v1", "Hopper-v5"), settings={"learners": 25}).open()
    trial_s = {
        cell: kind.trial_s(kind.config.trial_settings(cell, {})) for cell in (few, many, kind.config.cells[1])
    }
    assert trial_s[many] > 2 * trial_s[few]  # probes cost both the same, the more the slower the machine
    assert trial_s[kind.config.cells[1]] > 5 * trial_s[few]


def test_dry_run_prices_what_would_be_tried(capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for words in ("--batch-sizes 2", "--batch-sizes 512", "--batch-sizes 512 --learners 50"):
        assert search.main(["environment", "--dry-run", "--num-trials", "2", *words.split()]) == 0
        said = capsys.readouterr().out
        assert re.search(r"task CartPole-v1: simulates [\d,]+ steps a CPU s", said)
        assert "an estimate (trials that are stopped early take less)" in said
        told += [int(seconds) for seconds in re.findall(r"2 trials of roughly (\d+) s", said)]
    assert told[2] > 3 * max(told[:2])


def test_dry_run_of_one_configuration_says_that_nothing_is_searched(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = (
        "environment --dry-run --outer-lr 1e-2 --inner-lr 0.3 --critic-lr 1e-2 --learners 5 --learner-life 1 "
        "--epochs 1 --minibatch-size 512 --entropy 0 --final-lr-factor 1 --clip 0.2 --ema-decay 0"
    )
    assert search.main(words.split()) == 0
    assert "nothing is left to search" in capsys.readouterr().out
