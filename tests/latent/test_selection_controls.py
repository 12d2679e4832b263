"""The searches that RL-Selection is compared with spend what they are given, and find what is there."""

from __future__ import annotations

import pytest
import torch

from tests.latent.gaussians import gaussian_latents
from tests.latent.test_selection_run import config, planted
from trainables.latent.initialisation import choose_points
from trainables.latent.selection.controls import CONTROLS
from trainables.latent.selection.reward import SubsetReward


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize(("budget", "evaluations"), [(1, 50), (4, 30)])
def test_evaluations_are_those_given(name: str, budget: int, evaluations: int) -> None:
    data = gaussian_latents(separation=1.0, codec=False)
    reward = SubsetReward(data, budget)
    rows = CONTROLS[name](config(m_per_class=budget, sel_evaluations=evaluations), data, reward)
    assert reward.evaluations == evaluations
    assert len(set(rows.tolist())) == 3 * budget
    assert torch.equal(data.train_y[rows], torch.arange(3).repeat_interleave(budget))


@pytest.mark.parametrize("name", CONTROLS)
def test_searches_find_what_herding_does_not(name: str) -> None:
    data = planted()
    start = choose_points("herding", data.train_x, data.train_y, 2, 1, 0)
    found = CONTROLS[name](config(), data, SubsetReward(data, 1))
    before, after = SubsetReward(data, 1)(torch.stack([start, found])).tolist()
    assert before < 0.1
    assert after > 0.6


@pytest.mark.parametrize("name", CONTROLS)
def test_the_same_seed_gives_the_same_points(name: str) -> None:
    data = gaussian_latents(separation=1.0, codec=False)
    settings = config(m_per_class=2, sel_evaluations=24)
    first, second = (CONTROLS[name](settings, data, SubsetReward(data, 2)) for _ in range(2))
    assert torch.equal(first, second)


def test_swap_search_keeps_a_class_that_is_chosen_whole() -> None:
    data = gaussian_latents(2, per_class=3, codec=False)
    found = CONTROLS["swap_search"](config(m_per_class=3, sel_evaluations=9), data, SubsetReward(data, 3))
    assert sorted(found.tolist()) == list(range(6))
