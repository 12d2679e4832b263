"""Policies of RL-Selection: their probabilities add up, and what pays becomes likelier."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.latent.gaussians import gaussian_latents
from trainables.latent.selection.candidates import FEATURES, Candidates
from trainables.latent.selection.policies import (
    POLICIES,
    OneShotPolicy,
    Policy,
    SequentialPolicy,
    _at_least_one,
)
from trainables.latent.selection.reward import SubsetReward

INFLUENCE = FEATURES.index("influence")


def small(policy: str, budget: int = 1, per_class: int = 3, lr: float = 0.1) -> tuple[Policy, list[Tensor]]:
    """A policy over 2 classes of ``per_class`` points, and what it is asked with."""
    data = gaussian_latents(2, d=4, per_class=per_class, codec=False)
    candidates = Candidates(data, budget, seed=0)
    subset = torch.cat([torch.nonzero(data.train_y == c)[:budget, 0] for c in range(2)])
    judged = SubsetReward(data, budget).judge(subset[None])
    made = POLICIES[policy](candidates, len(subset), lr, 0.0)
    return made, [subset, *candidates.features(subset, judged)]


@pytest.mark.parametrize("policy", POLICIES)
def test_probabilities_of_all_that_can_be_drawn_add_up_to_one(policy: str) -> None:
    made, asked = small(policy, budget=2 if policy == "one_shot" else 1)
    if isinstance(made, OneShotPolicy):
        made._parameters[0].data[0] = 1.0  # less sure of its start, so that all that it can draw is drawn
    drawn = made.propose(*asked, 4000, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    # By what was drawn, in its order, which two points of a class have: so often, with this probability.
    found: dict[tuple[int, ...], tuple[int, float]] = {}
    for subset, log_probability in zip(drawn.subsets.tolist(), drawn.log_probability.tolist(), strict=True):
        times, probability = found.get(tuple(subset), (0, math.exp(log_probability)))
        assert probability == pytest.approx(math.exp(log_probability), rel=1e-4)
        found[tuple(subset)] = times + 1, probability
    missed = 1 - sum(probability for _, probability in found.values())
    assert -1e-4 < missed < 0.01
    for times, probability in found.values():
        deviation = math.sqrt(probability * (1 - probability) / 4000)
        assert abs(times / 4000 - probability) < 5 * deviation + 3 / 4000


@pytest.mark.parametrize("policy", POLICIES)
def test_subsets_hold_each_point_once_and_keep_to_its_class(policy: str) -> None:
    data = gaussian_latents(3, per_class=6, codec=False)
    candidates = Candidates(data, 4, seed=0)
    subset = torch.cat([torch.nonzero(data.train_y == c)[:4, 0] for c in range(3)])
    judged = SubsetReward(data, 4).judge(subset[None])
    made = POLICIES[policy](candidates, 12, 0.1, 0.0)
    features, free = candidates.features(subset, judged)
    drawn = made.propose(subset, features, free, 64, torch.Generator().manual_seed(1)).subsets
    assert all(len(set(rows)) == 12 for rows in drawn.tolist())
    assert torch.equal(data.train_y[drawn], torch.arange(3).repeat_interleave(4).expand(64, -1))
    assert (drawn != subset).any(1).float().mean() > 0.5


def test_a_class_that_is_chosen_whole_stays_as_it_is() -> None:
    for policy in POLICIES:
        made, asked = small(policy, budget=3, per_class=3)
        drawn = made.propose(*asked, 8, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
        assert torch.isfinite(drawn.log_probability).all()
        assert all(sorted(rows) == sorted(asked[0].tolist()) for rows in drawn.subsets.tolist())


@pytest.mark.parametrize("policy", [SequentialPolicy, OneShotPolicy])
def test_what_pays_becomes_likelier(policy: type[Policy]) -> None:
    name = next(name for name, made in POLICIES.items() if made is policy)
    learner, asked = small(name, per_class=40)
    subset, features, free = asked
    randomness = torch.Generator().manual_seed(0)
    worth = {
        int(row): float(features[slot, place, INFLUENCE])
        for slot, rows in enumerate(learner._candidates.rows)  # type: ignore[attr-defined]
        for place, row in enumerate(rows)
    }
    means = []
    for _ in range(30):
        drawn = learner.propose(subset, features, free, 16, randomness)
        gains = torch.tensor([sum(worth[row] for row in rows) for rows in drawn.subsets.tolist()])
        learner.learn(drawn, gains.double())
        means.append(float(gains.mean()))
    assert sum(means[-5:]) / 5 > sum(means[:5]) / 5 + 0.5


def test_a_rate_of_zero_leaves_the_policy_as_it_starts() -> None:
    learner, asked = small("sequential", lr=0.0)
    before = learner.told()
    drawn = learner.propose(*asked, 8, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    learner.learn(drawn, torch.arange(8).double())
    assert learner.told() == before


@pytest.mark.parametrize("name", POLICIES)
def test_a_step_that_leads_nowhere_is_not_taken(name: str) -> None:
    learner, asked = small(name, lr=1e30)
    for seed in range(4):
        drawn = learner.propose(*asked, 8, torch.Generator().manual_seed(seed))  # type: ignore[arg-type]
        learner.learn(drawn, torch.arange(8).double())
    before = learner.told()
    assert all(map(math.isfinite, before.values()))
    drawn = learner.propose(*asked, 8, torch.Generator().manual_seed(4))  # type: ignore[arg-type]
    learner.learn(drawn, torch.full((8,), torch.nan))
    assert learner.told() == before


def test_draws_have_at_least_one_change_even_where_changes_are_rare() -> None:
    drawn = _at_least_one(torch.full((5,), -30.0), 7, torch.Generator().manual_seed(0))
    assert torch.equal(drawn.sum(1), torch.ones(7, dtype=torch.int64))
