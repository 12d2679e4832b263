"""Loss terms, the probe that is pulled along, and the codec's Jacobians, against slower ways to the same."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy

from tests.latent.gaussians import gaussian_latents
from trainables.latent.distill_config import DistillConfig
from trainables.latent.full_probe import full_probe
from trainables.latent.initialisation import cluster_centroids
from trainables.latent.latents import LatentData
from trainables.latent.methods import start_run
from trainables.latent.probe import fit_probe, one_hot
from trainables.latent.prototypes.implicit import SolvedProbe
from trainables.latent.shaping.actor_critic import ActorCritic
from trainables.latent.shaping.prototype_task import PrototypeTask
from trainables.latent.shaping.task import Outcome
from trainables.latent.shaping.terms import LossTerms, cycle_around
from trainables.latent.shaping.tracked_probe import TrackedProbe
from trainables.seeds import generator


class BendingCodec:
    """E(D(x)) = x + sin(x)^2 / 4: smooth, with a Jacobian that is easy to write down."""

    image_shape = (1, 1, 8)

    def roundtrip(self, x: Tensor) -> Tensor:
        return x + 0.25 * x.sin().square()


def starting_points(data: LatentData, m: int) -> Tensor:
    return cluster_centroids(data.train_x, data.train_y, len(data.class_names), m, 0).float()


@pytest.mark.parametrize("m", [1, 4])
def test_gradients_are_those_of_the_values(m: int) -> None:
    data = gaussian_latents()
    start = starting_points(data, m)
    terms = LossTerms(start, data, full_probe(data))
    x = start + 0.3 * torch.randn(5, *start.shape, generator=torch.Generator().manual_seed(0))
    x.requires_grad_()
    assert terms.names == ("matching", "diversity", "margin", "realism", "cycle")
    for name, value, written in zip(terms.names, terms.values(x), terms.gradients(x.detach()), strict=True):
        if name == "diversity" and m == 1:  # a single point is near to nobody
            assert not value.any() and not written.any()
            continue
        assert value.shape == (5,)
        (gradient,) = torch.autograd.grad(value.sum(), x, retain_graph=True)
        assert torch.allclose(gradient, written, rtol=1e-4, atol=1e-6), name


def test_terms_of_points_worked_out_by_hand() -> None:
    data = gaussian_latents(classes=2, d=2, codec=False)
    # The real latents: two classes at (+1, 0) and (-1, 0), each a square of side 2 around its mean.
    square = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    means = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    data.train_x.resize_(8, 2).copy_(torch.cat([square + means[0], square + means[1]]))
    data.train_y.resize_(8).copy_(torch.arange(2).repeat_interleave(4))
    start = means.repeat_interleave(2, 0)
    terms = LossTerms(start, data, full_probe(data))
    assert terms.names == ("matching", "diversity", "margin", "realism"), "no round trip of features"
    x = start + torch.tensor([[0.0, 2.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    matching, diversity, _, realism = (float(value) for value in terms.values(x[None]))
    # The first class's mean is off by (0, 1), the second's not: 1 / (classes * d).
    assert matching == pytest.approx(1 / 4)
    # Pairs at distances 2 and 0: (exp(-4 / 4) + 1) / 2.
    assert diversity == pytest.approx((torch.tensor(-1.0).exp().item() + 1) / 2)
    # The covariance is the identity, but for its ridge; one point is off by 2: 4 / (points * d).
    assert realism == pytest.approx(4 / 8, rel=2e-3)


def test_the_codec_is_linearised_around_the_start() -> None:
    start = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    codec: Any = BendingCodec()
    error, changes = cycle_around(start, codec)
    assert torch.allclose(error, 0.25 * start.sin().square())
    derivative = 0.25 * (2 * start).sin()  # of sin^2 x / 4
    assert torch.allclose(changes, torch.diag_embed(derivative), atol=1e-6)
    moved = start + 0.01
    assert torch.allclose(
        error + (0.01 * torch.ones(6, 1, 8) @ changes)[:, 0], codec.roundtrip(moved) - moved, atol=1e-4
    )


def exact_gradient(x: Tensor, targets: Tensor, l2: float, data: LatentData) -> Tensor:
    """Through a probe that is solved to convergence."""
    x = x.double().requires_grad_()
    weights = SolvedProbe.apply(x, targets, l2, None, 1e-8)
    loss = cross_entropy(data.train_x.double() @ weights[:-1] + weights[-1], data.train_y)
    (gradient,) = torch.autograd.grad(loss + 0.5 * l2 * weights[:-1].square().sum(), x)
    return gradient


@pytest.mark.parametrize("m", [1, 5])
def test_the_probe_that_is_pulled_along_gives_the_implicit_gradient(m: int) -> None:
    """After a hundred steps on which points went their ways, as after a solve to convergence."""
    data, l2 = gaussian_latents(per_class=200, separation=2.0), 1e-2
    start, targets = starting_points(data, m), one_hot(torch.arange(3).repeat_interleave(m), 3)
    probe = TrackedProbe(start, targets, l2, data.train_x, data.train_y)
    drift = 0.005 * torch.randn(2, *start.shape, generator=torch.Generator().manual_seed(0))
    tracked = probe.begin(2)
    for step in range(101):
        x = start + step * drift
        found = probe.gradient(x, tracked, data.train_x, data.train_y)
    for own, gradient in zip(x, found, strict=True):
        exact = exact_gradient(own, targets, l2, data)
        assert cosine_similarity(exact.flatten(), gradient.double().flatten(), 0) > 0.98
        assert float(gradient.norm() / exact.norm()) == pytest.approx(1, abs=0.2)


def test_at_the_start_a_few_latents_tell_as_much_as_all() -> None:
    """What they are by chance is taken off, so that good prototypes are not led astray by it."""
    data, l2 = gaussian_latents(per_class=200, separation=2.0), 1e-2
    start, targets = starting_points(data, 2), one_hot(torch.arange(3).repeat_interleave(2), 3)
    probe = TrackedProbe(start, targets, l2, data.train_x, data.train_y)
    tracked = probe.begin(1)
    for _ in range(10):
        found = probe.gradient(start[None], tracked, data.train_x[:8], data.train_y[:8])
    exact = exact_gradient(start, targets, l2, data)
    assert torch.allclose(found[0].double(), exact, atol=0.02 * float(exact.abs().max()))


def test_the_reward_is_the_protocols_round_trip_on_the_reward_half() -> None:
    """What training says of a set and what is said of it afterwards: less than 0.2 points apart."""
    data = gaussian_latents(separation=1.5)
    config = DistillConfig(method="rl_shaping", m_per_class=2, shape_loss_weight=0.0, shape_lr=0.1)
    task = PrototypeTask(starting_points(data, 2), config, data)
    rollout = task.play(torch.randn(12, 8, len(task.terms), generator=torch.Generator().manual_seed(0)))
    assert data.codec is not None
    for x, told in zip(rollout.episodes.x, rollout.outcome.accuracies, strict=True):
        reencoded = data.codec.roundtrip(x)
        probe = fit_probe(reencoded, one_hot(task.reward.y, 3), data.reward_x, data.reward_y)
        assert float(told) == pytest.approx(probe.reward_accuracy, abs=0.002)
    assert rollout.outcome.scores.equal(rollout.outcome.accuracies)


def test_points_that_are_no_numbers_are_worth_nothing_and_spoil_nobody_else() -> None:
    data = gaussian_latents()
    task = PrototypeTask(starting_points(data, 1), DistillConfig(method="rl_shaping", m_per_class=1), data)
    episodes = task.begin(3)
    episodes.x[1] = float("nan")
    task.advance(episodes, torch.zeros(3, len(task.terms)))
    outcome = task.judge(episodes)
    assert outcome.scores[1] == -torch.inf and outcome.accuracies[1] == 0
    assert (outcome.scores[[0, 2]] > 0.5).all()


def test_episodes_do_not_depend_on_their_company() -> None:
    data = gaussian_latents()
    task = PrototypeTask(starting_points(data, 2), DistillConfig(method="rl_shaping", m_per_class=2), data)
    actions = torch.randn(4, 8, len(task.terms), generator=torch.Generator().manual_seed(0))
    together = task.play(actions).episodes.x
    alone = task.play(actions[2:3]).episodes.x
    assert torch.allclose(together[2], alone[0], atol=1e-4)


def test_looking_on_changes_nothing() -> None:
    """An episode that a policy played is the one that its schedule gives without it."""
    data = gaussian_latents()
    task = PrototypeTask(starting_points(data, 2), DistillConfig(method="rl_shaping", m_per_class=2), data)
    rollout, _ = ActorCritic(task, 0.01, 1e-3, 0).play(4, generator(0, "test"))
    again = task.play(rollout.actions)
    assert torch.equal(rollout.episodes.x, again.episodes.x)
    assert torch.equal(rollout.outcome.scores, again.outcome.scores)


def test_what_diverged_is_seen_as_numbers_and_spoils_no_policy() -> None:
    data = gaussian_latents()
    config = DistillConfig(method="rl_shaping", m_per_class=2, shape_lr=1e20)
    task = PrototypeTask(starting_points(data, 2), config, data)
    learner = ActorCritic(task, 0.01, 1e-3, 0)
    rollout, observations = learner.play(4, generator(0, "test"))
    assert torch.isfinite(observations).all()
    for scores in ([-torch.inf] * 4, [-torch.inf, 0.5, 0.4, 0.3]):
        worth = torch.tensor(scores, dtype=torch.float64)
        learner.learn(dataclasses.replace(rollout, outcome=Outcome(worth, worth)), observations)
        assert all(torch.isfinite(p).all() for p in learner.state_dict()["parameters"])


def test_an_observation_is_zero_at_the_start_but_for_the_progress() -> None:
    data = gaussian_latents()
    task = PrototypeTask(starting_points(data, 2), DistillConfig(method="rl_shaping", m_per_class=2), data)
    seen = task.observe(task.begin(2))
    assert seen.shape == (2, task.observed)
    assert seen[:, 0].tolist() == [-1, -1] and float(seen[:, 1:].abs().max()) < 0.1


def test_start_run_knows_the_method() -> None:
    run = start_run(DistillConfig(method="rl_shaping", m_per_class=1), gaussian_latents())
    assert type(run).__name__ == "ShapingRun"
