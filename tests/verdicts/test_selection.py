"""Contenders of the question about selection spend the same, and claim what the protocol finds."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.latent.gaussians import gaussian_latents
from tune_dd.verdicts.objectives import OBJECTIVES
from tune_dd.verdicts.questions import QUESTIONS

QUESTION = QUESTIONS["selection"]
CONTENDERS = QUESTION.contenders()
FREE = ("herding", "kmeans_medoids")


@pytest.mark.parametrize("name", CONTENDERS)
def test_each_spends_what_it_is_given_and_claims_what_is_found(name: str) -> None:
    data = gaussian_latents(separation=1.0, codec=False)
    made = CONTENDERS[name].make(QUESTION.configure(2, 12), data)
    assert made.evaluations == (0 if name in FREE else 12)
    assert made.distilled.indices is not None
    assert torch.equal(made.distilled.x, data.train_x[made.distilled.indices])
    assert made.distilled.y.bincount().tolist() == [2, 2, 2]
    if name in FREE:
        assert made.claimed_reward is None
        return
    found = OBJECTIVES["probe_accuracy"].fit(made.distilled, data, data)
    assert made.claimed_reward == pytest.approx(found.reward_accuracy, abs=0.002)


@pytest.mark.parametrize("name", CONTENDERS)
def test_seeds_matter_where_they_are_said_to(name: str) -> None:
    data = gaussian_latents(separation=1.0, codec=False)
    config = QUESTION.configure(3, 24)
    sets = [CONTENDERS[name].make(dataclasses.replace(config, seed=seed), data) for seed in (0, 0, 1)]
    first, again, other = (made.distilled.x for made in sets)
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (not CONTENDERS[name].seeded)


def test_the_method_on_trial_stands_first() -> None:
    for question in QUESTIONS.values():
        assert next(iter(question.contenders())) == question.rl
        assert set(question.objectives) <= set(OBJECTIVES)
        assert len(question.contenders()) > 1
