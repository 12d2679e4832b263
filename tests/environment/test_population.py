"""Learners of several architectures as one batch."""

from __future__ import annotations

import pytest
import torch

from tests.environment.test_learners import draws
from trainables.environment.choices import FAMILIES
from trainables.environment.inner_step import inner_step
from trainables.environment.learners import Initialisation, NetworkLearner, mlp_layers
from trainables.environment.population import Population, training_population
from trainables.environment.tasks import open_task

CART_POLE = open_task("CartPole2D-v1")
MIXED = Population(
    (
        NetworkLearner(mlp_layers((8, 6, 4)), "tanh", Initialisation(last_gain=1.0)),
        NetworkLearner(mlp_layers((8, 5, 5, 4)), "relu", Initialisation("xavier", last_gain=1.0)),
        NetworkLearner(mlp_layers((8, 16, 16, 4)), "tanh", widths=(2, 16)),
    ),
    (2, 1, 3),
)


def test_outputs_are_those_of_each_group() -> None:
    assert MIXED.count == 6
    x, y = torch.randn(5, 8, generator=draws(1)), torch.randn(5, 4, generator=draws(2))
    initial = MIXED.draw(draws())
    stepped = MIXED.step(initial, x, y, torch.tensor(0.3), steps=2, create_graph=False)
    seen = torch.randn(6, 7, 8, generator=draws(3))
    outputs = MIXED.outputs(stepped, seen)
    assert outputs.shape == (6, 7, 4) and MIXED.log_std(stepped) is None
    first = 0
    for architecture, count, start, own in zip(
        MIXED.architectures, MIXED.counts, initial, stepped, strict=True
    ):
        expected = inner_step(architecture, start, x, y, torch.tensor(0.3), steps=2, create_graph=False)
        assert all(torch.equal(own[name], expected[name]) for name in own)
        part = slice(first, first + count)
        assert torch.equal(outputs[part], architecture(expected, seen[part]))
        first += count


@pytest.mark.parametrize("which", [[0, 1, 2, 3, 4, 5], [0], [2], [1, 2, 4], [3, 5]])
def test_a_part_acts_as_it_does_among_all(which: list[int]) -> None:
    initial, seen = MIXED.draw(draws()), torch.randn(6, 7, 8, generator=draws(3))
    part, parameters = MIXED.part(torch.tensor(which), initial)
    assert part.count == len(which) and min(part.counts) > 0
    torch.testing.assert_close(part.outputs(parameters, seen[which]), MIXED.outputs(initial, seen)[which])


def test_draws_follow_the_generator() -> None:
    first, again = MIXED.draw(draws(4)), MIXED.draw(draws(4))
    assert all(torch.equal(a[name], b[name]) for a, b in zip(first, again, strict=True) for name in a)
    assert [len(parameters["weight0"]) for parameters in first] == [2, 1, 3]


def test_deviations_of_all_learners_in_order() -> None:
    hopper = open_task("Hopper-v5")
    population = training_population(["same", "xe"], hopper, "none", 5)
    x, y = torch.randn(4, 11), torch.randn(4, 3)
    target = torch.tensor([[1.0, 2.0, 3.0]])
    stepped = population.step(population.draw(draws()), x, y, torch.tensor(0.75), y_log_std=target)
    # From 0, by rate * 2 * target / 3.
    found = population.log_std(stepped)
    assert found is not None
    torch.testing.assert_close(found, 0.5 * target.expand(5, 3))


def sizes(families: list[str], count: int) -> list[tuple[int, str, int]]:
    population = training_population(families, CART_POLE, "none", count)
    return [
        (len(learner.layers), learner.initialisation.scheme, number)
        for learner, number in zip(population.architectures, population.counts, strict=True)
    ]


def test_shares_of_families() -> None:
    assert sizes(["same"], 10) == [(3, "orthogonal", 10)]
    assert sizes(["same", "xe"], 10) == [(3, "orthogonal", 5), (3, "xavier", 5)]
    assert sizes(["same", "xe", "ortho1"], 10) == [
        (3, "orthogonal", 3), (3, "xavier", 3), (3, "orthogonal", 4)
    ]  # fmt: skip
    assert sizes(["xe", "same", "xe"], 10) == [(3, "xavier", 6), (3, "orthogonal", 4)]
    assert sizes(["random_size"], 12) == [(layers, "orthogonal", 2) for layers in range(2, 8)]
    # Fewer than there are sizes: some of them, spread evenly, and not the deep ones alone.
    assert sizes(["random_size"], 3) == [(layers, "orthogonal", 1) for layers in (2, 4, 6)]
    assert sizes(["random_size"], 5) == [(layers, "orthogonal", 1) for layers in (2, 3, 4, 6, 7)]


@pytest.mark.parametrize("count", [1, 2, 5, 7, 50])
def test_a_population_has_as_many_learners_as_were_asked_for(count: int) -> None:
    population = training_population(FAMILIES, CART_POLE, "none", count)
    assert population.count == count and min(population.counts) > 0
    parameters = population.draw(draws())
    assert population.outputs(parameters, torch.zeros(count, 2, 8)).shape == (count, 2, 4)
