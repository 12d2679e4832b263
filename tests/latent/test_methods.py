"""What every method of learning prototypes has to do, and what is particular to each."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.latent.gaussians import gaussian_latents
from trainables.latent.distill_config import INITIALISATIONS, LABEL_TRACKS, PROTOTYPE_METHODS, DistillConfig
from trainables.latent.newton import LogisticProblem, solve_logistic, with_bias
from trainables.latent.probe import one_hot
from trainables.latent.prototypes.implicit import SolvedProbe
from trainables.latent.prototypes.run import PrototypeRun
from tune_dd.runs.scored_sets import score_controls


def finish(run: PrototypeRun) -> dict[str, float]:
    scores: dict[str, float] = {}
    while not run.done:
        scores = run.step()
    return scores


@pytest.mark.parametrize("labels", LABEL_TRACKS)
@pytest.mark.parametrize("method", PROTOTYPE_METHODS)
class TestConformance:
    """Every method, on both label tracks."""

    def config(self, method: str, labels: str, **changes: object) -> DistillConfig:
        settings = {"m_per_class": 2, "proto_steps_base": 40, "init": "random", **changes}
        return DistillConfig(method=method, labels=labels, **settings)  # type: ignore[arg-type]

    def test_solves_separable_gaussians(self, method: str, labels: str) -> None:
        scores = finish(PrototypeRun(self.config(method, labels), gaussian_latents()))
        assert scores["probe_accuracy"] >= 0.96
        assert scores["diverged"] == 0

    def test_shapes_types_and_balance(self, method: str, labels: str) -> None:
        run = PrototypeRun(self.config(method, labels, proto_steps_base=3), gaussian_latents())
        finish(run)
        distilled = run.distilled()
        assert distilled.x.shape == (6, 8) and distilled.x.dtype == torch.float32
        assert distilled.y.tolist() == [0, 0, 1, 1, 2, 2]
        if labels == "hard":
            assert distilled.soft_labels is None
        else:
            assert distilled.soft_labels is not None and distilled.soft_labels.shape == (6, 3)
            torch.testing.assert_close(distilled.soft_labels.sum(1), torch.ones(6))
            assert torch.equal(distilled.soft_labels.argmax(1), distilled.y)

    def test_same_seed_same_bits_other_seed_other_points(self, method: str, labels: str) -> None:
        runs = [
            PrototypeRun(self.config(method, labels, proto_steps_base=12, seed=seed), gaussian_latents())
            for seed in (1, 1, 2)
        ]
        scores = [finish(run) for run in runs]
        for entry in scores:
            entry.pop("optimise_cpu_s")
        first, again, other = (run.distilled().x for run in runs)
        assert torch.equal(first, again) and scores[0] == scores[1]
        assert not torch.equal(first, other)

    def test_learns_from_training_data_alone(self, method: str, labels: str) -> None:
        """Neither validation half reaches the prototypes: scrambling both leaves every bit in place."""
        data = gaussian_latents()
        scrambled = dataclasses.replace(
            data,
            reward_x=-3 * data.reward_x,
            reward_y=data.reward_y.flip(0),
            selection_x=5 + data.selection_x,
            selection_y=data.selection_y.roll(1),
        )
        config = self.config(method, labels, proto_steps_base=12)
        runs = [PrototypeRun(config, latents) for latents in (data, scrambled)]
        for run in runs:
            finish(run)
        assert torch.equal(runs[0].distilled().x, runs[1].distilled().x)

    def test_readings_ignore_the_selection_half(self, method: str, labels: str) -> None:
        """What scores are fitted on excludes the data they are taken on."""
        data = gaussian_latents()
        blind = dataclasses.replace(data, selection_y=data.selection_y.roll(1))
        config = self.config(method, labels, proto_steps_base=12)
        seen, unseen = (finish(PrototypeRun(config, latents)) for latents in (data, blind))
        assert seen["reward_accuracy"] == unseen["reward_accuracy"]
        assert seen["probe_accuracy"] != unseen["probe_accuracy"]

    def test_resumes_bit_for_bit(self, method: str, labels: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
        config = self.config(method, labels, proto_steps_base=25, batch_size=50, roundtrip_weight=0.5)
        whole, broken = (PrototypeRun(config, gaussian_latents()) for _ in range(2))
        broken.step()
        torch.save(broken.state_dict(), tmp_path / "state.pt")
        resumed = PrototypeRun(config, gaussian_latents())
        resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        expected, got = finish(whole), finish(resumed)
        expected.pop("optimise_cpu_s"), got.pop("optimise_cpu_s")
        assert expected == got and resumed.iteration == whole.iteration == 3
        assert torch.equal(whole.distilled().x, resumed.distilled().x)

    def test_cycle_term_keeps_prototypes_decodable(self, method: str, labels: str) -> None:
        """The codec forgets half of each latent: with the cycle term the prototypes do not use that half."""
        forgotten = []
        for weight in (0.0, 10.0):
            run = PrototypeRun(
                self.config(method, labels, roundtrip_weight=weight, proto_steps_base=60), gaussian_latents()
            )
            finish(run)
            forgotten.append(float(run.distilled().x[:, 4:].abs().mean()))
        assert forgotten[1] < 0.5 * forgotten[0]


@pytest.mark.parametrize("init", INITIALISATIONS)
def test_every_initialisation_starts_a_run(init: str) -> None:
    scores = finish(
        PrototypeRun(DistillConfig(init=init, m_per_class=3, proto_steps_base=20), gaussian_latents())
    )
    assert scores["probe_accuracy"] >= 0.96


def outer_loss(weights: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(x @ weights[:-1] + weights[-1], y)


class TestImplicitGradient:
    """The implicit gradient against two other ways to the same number."""

    def setup_method(self) -> None:
        data = gaussian_latents(separation=2.0)
        randomness = torch.Generator().manual_seed(4)
        self.x = torch.randn(6, 8, generator=randomness, dtype=torch.float64).requires_grad_()
        logits = torch.randn(6, 3, generator=randomness, dtype=torch.float64)
        self.targets = (one_hot(torch.tensor([0, 0, 1, 1, 2, 2]), 3) * 3 + logits).softmax(1).requires_grad_()
        self.real = (data.train_x.double(), data.train_y)
        self.l2 = 0.05
        weights = SolvedProbe.apply(self.x, self.targets, self.l2, None, 1e-12)
        self.grad_x, self.grad_targets = torch.autograd.grad(
            outer_loss(weights, *self.real), (self.x, self.targets)
        )

    def loss_at(self, x: torch.Tensor, targets: torch.Tensor) -> float:
        return float(outer_loss(solve_logistic(LogisticProblem(with_bias(x), targets, self.l2)), *self.real))

    def test_equals_finite_differences(self) -> None:
        x, targets, step = self.x.detach(), self.targets.detach(), 1e-4
        for row, column in ((0, 0), (3, 5), (5, 7)):
            nudge = torch.zeros_like(x)
            nudge[row, column] = step
            slope = (self.loss_at(x + nudge, targets) - self.loss_at(x - nudge, targets)) / (2 * step)
            assert float(self.grad_x[row, column]) == pytest.approx(slope, rel=1e-4, abs=1e-7)
        # Along rows that keep their sum, as probabilities do.
        nudge = torch.zeros_like(targets)
        nudge[2, 0], nudge[2, 1] = step, -step
        slope = (self.loss_at(x, targets + nudge) - self.loss_at(x, targets - nudge)) / (2 * step)
        assert float(self.grad_targets[2, 0] - self.grad_targets[2, 1]) == pytest.approx(slope, rel=1e-4)

    def test_equals_long_unrolled_training(self) -> None:
        points = with_bias(self.x)
        weights = torch.zeros(9, 3, dtype=torch.float64)
        penalty = torch.full((9, 1), self.l2, dtype=torch.float64)
        penalty[-1] = 0
        for _ in range(3000):
            residual = ((points @ weights).softmax(1) - self.targets) / len(points)
            weights = weights - 0.5 * (points.T @ residual + penalty * weights)
        unrolled = torch.autograd.grad(outer_loss(weights, *self.real), self.x)[0]
        torch.testing.assert_close(self.grad_x, unrolled, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", ["implicit", "unrolled"])
def test_prototypes_teach_the_probe_that_all_data_teach(method: str) -> None:
    """At the same penalty the weights come out nearly the same, not merely as good."""
    data = gaussian_latents(separation=2.0)
    config = DistillConfig(
        method=method, m_per_class=4, lr=0.1, proto_steps_base=400, unroll_steps=80, inner_l2=0.05
    )
    run = PrototypeRun(config, data)
    finish(run)
    problems = [(run.distilled().x, run.y), (data.train_x, data.train_y)]
    taught, full = (
        solve_logistic(LogisticProblem(with_bias(x.double()), one_hot(y, 3), config.inner_l2))
        for x, y in problems
    )
    assert float((taught - full).norm()) < 0.1 * float(full.norm())


def test_learned_prototypes_beat_random_points() -> None:
    data = gaussian_latents(classes=6, d=12, separation=2.2)
    scores = finish(PrototypeRun(DistillConfig(m_per_class=1, init="random", lr=0.1), data))
    random = score_controls(data, 1, seed=0)["random"].scores
    assert scores["probe_accuracy"] > random["probe_accuracy"] + 0.05
