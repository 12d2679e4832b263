"""Influence of a point against the implicit gradient, which another method computes."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.latent.gaussians import gaussian_latents
from trainables.latent.initialisation import choose_points
from trainables.latent.probe import one_hot
from trainables.latent.prototypes.implicit import SolvedProbe
from trainables.latent.selection import influence
from trainables.latent.selection.influence import Influence
from trainables.latent.selection.reward import SubsetReward


@pytest.mark.parametrize(("budget", "d"), [(2, 12), (8, 6)], ids=["fewer points than dimensions", "more"])
def test_moving_a_point_changes_the_loss_as_its_influence_says(
    budget: int, d: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(influence, "TOLERANCE", 1e-9)
    data = gaussian_latents(3, d=d, separation=1.5, codec=False)
    rows = choose_points("random", data.train_x, data.train_y, 3, budget, 0)
    reward = SubsetReward(data, budget)
    judged = reward.judge(rows[None])

    x = data.train_x[rows].double().requires_grad_()
    weights = SolvedProbe.apply(x, one_hot(reward.y, 3), float(judged.penalties), None, 1e-10)
    loss = cross_entropy(data.train_x.double() @ weights[:-1] + weights[-1], data.train_y)
    (exact,) = torch.autograd.grad(loss, x)

    points = data.train_x[rows].clone().requires_grad_()
    told = Influence(judged, data.train_x, data.train_y).of(points, reward.y)
    (gradient,) = torch.autograd.grad(told.sum() / len(rows), points)
    torch.testing.assert_close(-gradient.double(), exact, rtol=2e-3, atol=2e-5 * float(exact.abs().max()))
    assert exact.abs().max() > 1e-4
