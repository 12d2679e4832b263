"""What a choice of real points is worth: the accuracy of the protocol's probe, for many choices at once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from trainables.latent.latents import LatentData
from trainables.latent.probe import L2_GRID, one_hot
from trainables.latent.selection.batched_newton import ProblemBatch, solve_logistic_batch
from trainables.seeds import generator

# Subsets solved together: more gain little, and their logits on the reward half need memory.
_TOGETHER = 32
# Training latents that the loss is taken on: their noise is far below what exchanges change.
_LOSS_ITEMS = 8192


@dataclass(frozen=True)
class Judged:
    """What S choices of points are worth, and the probes that say so.

    Attributes:
        accuracy: (S,) float64 in [0, 1], of the protocol's probe on the reward half, with the penalty of
            the grid that does best there.
        loss: (S,) float64 mean cross-entropy on training latents.
        scores: (S,) float64, the accuracy less the weighted loss: what policies are rewarded by, and
            searches compare.
        problems: what the probes were trained on.
        weights: (S, r + 1, C) float64, of the probes that have that loss, in the problems' coordinates.
        penalties: (S,) float64 of theirs: where the cross-entropy on the reward half is least.
    """

    accuracy: Tensor
    loss: Tensor
    scores: Tensor
    problems: ProblemBatch
    weights: Tensor
    penalties: Tensor

    def only(self, which: int) -> Judged:
        """That of one choice; S is 1."""
        problems, one = self.problems, slice(which, which + 1)
        basis = None if problems.basis is None else problems.basis[one]
        kept = {f.name: getattr(self, f.name)[one] for f in fields(self) if f.name != "problems"}
        return Judged(problems=ProblemBatch(problems.x[one], basis, problems.targets), **kept)

    def state_dict(self) -> dict[str, Any]:
        """Tensors by name, as copies."""
        own = {f.name: getattr(self, f.name).clone() for f in fields(self) if f.name != "problems"}
        problems = {f.name: getattr(self.problems, f.name) for f in fields(self.problems)}
        return {**own, "problems": {k: None if v is None else v.clone() for k, v in problems.items()}}

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Judged:
        """The inverse of :meth:`state_dict`."""
        return cls(**{**state, "problems": ProblemBatch(**state["problems"])})


class SubsetReward:
    """Scores subsets of the training latents, and counts them.

    Probes are the protocol's (:func:`~trainables.latent.probe.fit_probe`): converged, since a reward by one
    that is not can be deceived.

    Args:
        data: latents.
        budget: points per class, m.
        loss_weight: of the loss on training latents beside the accuracy on the reward half. The accuracy of
            most exchanges is the same, and a thousand items are soon fitted by chance: the loss tells more.

    Attributes:
        y: (C * m,) int64 classes of a subset's points, in order.
        evaluations: subsets scored so far.
    """

    def __init__(self, data: LatentData, budget: int, loss_weight: float = 0.0) -> None:
        self.data, self.budget, self._loss_weight = data, budget, loss_weight
        classes = len(data.class_names)
        self._reward_x, self._reward_y = data.reward_x.double(), data.reward_y
        self._rewarded = one_hot(data.reward_y, classes)  # (k, C)
        rows = torch.randperm(len(data.train_x), generator=generator(0, "items of the reward's loss"))
        rows = rows[:_LOSS_ITEMS].to(data.train_x.device)
        self._loss_x = data.train_x[rows].double()
        self._loss_targets = one_hot(data.train_y[rows], classes)
        self.y = torch.arange(classes, device=data.train_x.device).repeat_interleave(budget)
        self._targets = one_hot(self.y, classes)
        self.evaluations = 0

    def __call__(self, subsets: Tensor) -> Tensor:
        """Accuracies (S,) float64 on the reward half by subsets (S, C * m), rows of the training latents."""
        return torch.cat([self.judge(some).accuracy for some in torch.split(subsets, _TOGETHER)])

    def judge(self, subsets: Tensor) -> Judged:
        """The same with the probes; all subsets are in memory at once.

        Raises:
            torch.linalg.LinAlgError: if points are not finite.
        """
        return self.judge_points(self.data.train_x[subsets], self._targets)

    def judge_points(self, points: Tensor, targets: Tensor) -> Judged:
        """Of sets (S, n, d) that are no whole subsets, with their targets (n, C)."""
        self.evaluations += len(points)
        problems = ProblemBatch.of(points, targets)
        weights: Tensor | None = None
        every: list[tuple[Tensor, Tensor, Tensor]] = []
        for l2 in L2_GRID:
            weights = solve_logistic_batch(problems, l2, weights)
            logits = problems.logits(weights, self._reward_x)  # (k, S, C)
            right = (logits.argmax(2) == self._reward_y[:, None]).double().mean(0)
            every.append((right, _cross_entropy(logits, self._rewarded), weights))
        accuracies, losses, solutions = (torch.stack(of) for of in zip(*every, strict=True))  # (5, S, ...)
        least, each = losses.argmin(0), torch.arange(len(points), device=points.device)
        chosen = solutions[least, each]  # (S, r + 1, C)
        accuracy = accuracies.max(0).values
        loss = _cross_entropy(problems.logits(chosen, self._loss_x), self._loss_targets)
        return Judged(
            accuracy=accuracy,
            loss=loss,
            scores=accuracy - self._loss_weight * loss,
            problems=problems,
            weights=chosen,
            penalties=losses.new_tensor(L2_GRID)[least],
        )


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over items, (S,), of logits (k, S, C) for targets (k, C)."""
    return logits.logsumexp(2).mean(0) - (logits * targets[:, None]).sum(2).mean(0)
