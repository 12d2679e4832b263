"""Plain PPO: it learns what learners of a set learn, with their network, and repeats itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from trainables.environment.families import learners
from trainables.environment.imitation import returns_of
from trainables.environment.tasks import open_task
from trainables.ppmo.direct import DirectRun, direct_settings

pytestmark = pytest.mark.timeout(300)
TINY = {"num_envs": 10, "rollout_steps": 20, "minibatch_size": 50, "iterations": 2}


@pytest.fixture
def started() -> Iterator[Callable[..., DirectRun]]:
    """Start runs that are closed after the test."""
    runs: list[DirectRun] = []

    def start(**settings: Any) -> DirectRun:
        runs.append(DirectRun(direct_settings(settings)))
        return runs[-1]

    yield start
    for run in runs:
        run.close()


def test_it_learns_cart_pole_with_the_learners_network(started: Callable[..., DirectRun]) -> None:
    run = started()
    before = run.returns(20)
    while not run.done:
        run.step()
    assert before.mean < 100
    assert run.returns(20).mean > 400
    assert run.returns(20, greedy=True).mean > 400
    assert run.env_steps == 75 * 50 * 40
    assert 0 < run.learning_cpu_s < 20
    expert, task = run.policy(), open_task("CartPole-v1")
    assert (expert.learner,) == learners("same", task)
    assert returns_of(task, expert, 20, seed=1).mean > 400


@pytest.mark.parametrize(
    "settings", [{}, {"env": "Reacher-v5", "normalise": True}], ids=["choices", "vectors"]
)
def test_same_seed_same_learner(started: Callable[..., DirectRun], settings: dict[str, Any]) -> None:
    runs = [started(**TINY, **settings, seed=seed) for seed in (0, 0, 1)]
    first = runs[0].policy()
    for run in runs:
        while not run.done:
            run.step()
    one, two, other = (run.policy() for run in runs)
    returns = [run.returns(5).by_learner for run in runs]
    assert np.array_equal(returns[0], returns[1])
    assert not np.array_equal(returns[0], returns[2])
    assert all(torch.equal(p, two.parameters[name]) for name, p in one.parameters.items())
    # What was handed out before is not changed by learning; all of it is learned.
    assert not any(torch.equal(p, first.parameters[name]) for name, p in one.parameters.items())
    assert not torch.equal(one.parameters["weight0"], other.parameters["weight0"])
    if settings:
        assert first.perception.mean is not None and one.perception.mean is not None
        assert not first.perception.mean.any()
        assert one.perception.mean.abs().max() > 0


def test_settings_of_a_distillation_are_taken_for_one_learner() -> None:
    settings = direct_settings({"env": "CartPole2D-v1", "num_envs": 100, "learners": 20, "clip": 0.1})
    assert (settings.outer.learners, settings.outer.num_envs, settings.outer.clip) == (1, 100, 0.1)
    assert settings.outer.iterations == 75
    assert direct_settings({"families": "same+xe"}).distilled.family_names == ("same",)


def test_the_learner_and_the_critic_are_clipped_on_their_own(started: Callable[..., DirectRun]) -> None:
    run = started(**TINY, grad_clip=0.1)
    learner = run._algorithm.learner_group._learner
    assert {name.removeprefix(f"{DEFAULT_MODULE_ID}_") for name in learner._named_optimizers} == {
        "learner",
        "critic",
    }
    norms = []
    inner = learner.apply_gradients

    def listen(gradients: dict[Any, torch.Tensor]) -> None:
        norms.append(
            [
                torch.stack([gradients[p].norm() for p in group if p in gradients]).norm().item()
                for group in learner._optimizer_parameters.values()
            ]
        )
        inner(gradients)

    learner.apply_gradients = listen
    run.step()
    assert np.allclose(norms[0], 0.1, rtol=1e-3)


def test_gradients_that_are_not_finite_are_left_out(started: Callable[..., DirectRun]) -> None:
    run = started(**TINY)
    learner = run._algorithm.learner_group._learner
    poisoned, sound = (
        learner._named_optimizers[f"{DEFAULT_MODULE_ID}_{name}"].param_groups[0]["params"]
        for name in ("critic", "learner")
    )
    before = [[p.detach().clone() for p in group] for group in (poisoned, sound)]
    for p in (*poisoned, *sound):
        p.grad = torch.ones_like(p)
    poisoned[0].grad[..., 0] = torch.inf
    learner.apply_gradients(learner.postprocess_gradients({p: p.grad for p in (*poisoned, *sound)}))
    assert all(torch.equal(p, old) for p, old in zip(poisoned, before[0], strict=True))
    assert all((p != old).all() for p, old in zip(sound, before[1], strict=True))
