"""Controls from an expert: known states and labels, one step with the best rate, cloning with more data."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from trainables.environment.imitation import (
    INNER_LRS,
    Policy,
    clone,
    demonstrate,
    labelled_set,
    returns_of,
)
from trainables.environment.learners import LOG_STD, Dense, NetworkLearner
from trainables.environment.perception import Perception
from trainables.environment.tasks import open_task
from trainables.environment.validation import untrained, validate
from trainables.seeds import derive_seed

CART_POLE = open_task("CartPole-v1")


@pytest.fixture
def balancer() -> Policy:
    """Pushes to where the pole leans and falls, and back to the middle; its logits are not centred."""
    gains = torch.tensor([0.5, 1.0, 10.0, 3.0])
    return Policy(
        NetworkLearner((Dense(4, 2),)),
        {"weight0": torch.stack([-gains, gains], 1).unsqueeze(0), "bias0": torch.full((1, 2), 5.0)},
        Perception(),
    )


def test_the_expert_of_these_tests_balances(balancer: Policy) -> None:
    assert returns_of(CART_POLE, balancer, 20, seed=0).mean > 480


def test_demonstrations_are_the_experts_states_and_labels(balancer: Policy) -> None:
    shown = demonstrate(CART_POLE, balancer, 500, seed=0)
    assert shown.x.shape == (500, 4)
    assert shown.x.unique(dim=0).shape == (500, 4)
    logits = balancer.learner(balancer.parameters, shown.x.unsqueeze(0))[0]
    assert torch.allclose(shown.y, logits - 5, atol=1e-5)
    # An expert's carts are far from where they start; a random policy's poles would have fallen.
    assert shown.x[:, 0].abs().max() > 0.1
    assert shown.x[:, 2].abs().mean() < 0.1
    again, other = (demonstrate(CART_POLE, balancer, 500, seed) for seed in (0, 1))
    assert torch.equal(shown.x, again.x)
    assert not torch.equal(shown.x, other.x)


def test_demonstrations_are_seen_as_the_expert_sees(balancer: Policy) -> None:
    raw = demonstrate(CART_POLE, balancer, 8, seed=0)
    mean, variance = torch.tensor([1.0, 0, 0, 0]), torch.full((4,), 4.0)
    # Undoing the normalisation in its weights makes it the same expert, so its states are the same as well.
    weight = balancer.parameters["weight0"] * 2
    bias = balancer.parameters["bias0"] + mean @ balancer.parameters["weight0"][0]
    seeing = Policy(
        balancer.learner, {"weight0": weight, "bias0": bias}, Perception(mean=mean, variance=variance)
    )
    shown = demonstrate(CART_POLE, seeing, 8, seed=0)
    assert torch.allclose(shown.x, (raw.x - mean) / 2, atol=1e-4)
    made = labelled_set(CART_POLE, shown, 0, (1.0,), learners=2)
    assert made.mean is mean
    assert made.variance is variance


def test_a_labelled_set_has_the_best_rate_of_its_grid(balancer: Policy) -> None:
    shown = demonstrate(CART_POLE, balancer, 64, seed=0)
    made = labelled_set(CART_POLE, shown, seed=0)
    judges = derive_seed(0, "inner learning rate")
    scores = {
        rate: validate(
            dataclasses.replace(made, inner_lr=torch.tensor(rate)), CART_POLE, 20, 1, seed=judges
        ).mean
        for rate in INNER_LRS
    }
    assert scores[min(scores, key=lambda rate: abs(rate - float(made.inner_lr)))] == max(scores.values())
    assert max(scores.values()) > 2 * min(scores.values())
    assert validate(made, CART_POLE, 20, 2).mean > 2 * untrained(CART_POLE, 20, 2).mean
    assert torch.equal(made.x, shown.x)
    assert torch.equal(made.y, shown.y)


def test_clones_are_as_good_as_their_data(balancer: Policy) -> None:
    shown = demonstrate(CART_POLE, balancer, 512, seed=0)
    few = dataclasses.replace(shown, x=shown.x[:1], y=shown.y[:1])
    cloned = [clone(CART_POLE, data, learners=3, seed=0, steps=200) for data in (few, shown)]
    poor, good = (returns_of(CART_POLE, policy, 5, seed=0) for policy in cloned)
    assert good.by_learner.shape == (3,)
    assert good.mean > 400 > 200 > poor.mean
    probabilities = [
        policy.learner(policy.parameters, shown.x.expand(len(policy.parameters["bias0"]), -1, -1)).softmax(-1)
        for policy in (cloned[1], balancer)
    ]
    assert (probabilities[0] - probabilities[1]).abs().mean() < 0.05
    again = clone(CART_POLE, shown, learners=3, seed=0, steps=200)
    assert all(torch.equal(again.parameters[name], p) for name, p in cloned[1].parameters.items())


def test_vectors_of_actions_are_imitated_with_their_deviations() -> None:
    task = open_task("Reacher-v5")
    (seen,) = task.observation_shape
    learner = NetworkLearner((Dense(seen, task.actions),), log_std=True)
    drawn = learner.draw(1, torch.Generator().manual_seed(0))
    log_std = torch.tensor([[-1.0, -2.0]])
    expert = Policy(learner, {**drawn, "bias0": torch.tensor([[0.4, -0.3]]), LOG_STD: log_std}, Perception())
    shown = demonstrate(task, expert, 256, seed=0)
    assert np.allclose(shown.y, learner(expert.parameters, shown.x.unsqueeze(0))[0], atol=1e-5)
    made = labelled_set(task, shown, 0, (0.1, 1.0), learners=2)
    made.check_fits(task, "the labelled set")
    assert made.y_log_std is not None
    assert torch.equal(made.y_log_std, log_std)
    cloned = clone(task, shown, learners=2, seed=0, steps=300)
    assert torch.equal(cloned.parameters[LOG_STD], log_std.expand(2, -1))
    means = cloned.learner(cloned.parameters, shown.x.expand(2, -1, -1))
    assert (means - shown.y).abs().mean() < 0.05
