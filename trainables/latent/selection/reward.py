"""What a choice of real points is worth: the accuracy of the protocol's probe, for many choices at once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from trainables.latent.latents import LatentData
from trainables.latent.probe import L2_GRID, one_hot
from trainables.latent.selection.batched_newton import ProblemBatch, solve_logistic_batch

# Subsets solved together: more gain little, and their logits on the reward half need memory.
_TOGETHER = 32
# An accuracy over some thousand items moves in steps, and most changes of a subset leave it where it is. So
# much of the cross-entropy tells those apart: 0.01 of it is worth 0.05 points.
LOSS_WEIGHT = 0.05


@dataclass(frozen=True)
class Judged:
    """What S choices of points are worth, and the probes that say so.

    Attributes:
        accuracy: (S,) float64 in [0, 1], of the protocol's probe on the reward half, with the penalty of
            the grid that does best there: the reward.
        loss: (S,) float64 cross-entropy on the reward half, at the penalty where it is least.
        problems: what the probes were trained on.
        weights: (S, r + 1, C) float64, at the penalty of ``loss``, in the problems' coordinates.
        penalties: (S,) float64.
    """

    accuracy: Tensor
    loss: Tensor
    problems: ProblemBatch
    weights: Tensor
    penalties: Tensor

    @property
    def scores(self) -> Tensor:
        """(S,) float64: the accuracy, and a little of the loss where accuracies are close."""
        return self.accuracy - LOSS_WEIGHT * self.loss

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


def judge(points: Tensor, targets: Tensor, reward_x: Tensor, reward_y: Tensor) -> Judged:
    """Train the protocol's probe (:func:`~trainables.latent.probe.fit_probe`) on each set of points.

    Args:
        points: (S, n, d) of any float dtype.
        targets: (n, C) class probabilities, the same for all sets.
        reward_x, reward_y: (k, d) float64 and (k,) int64 the reward half of validation.

    Raises:
        torch.linalg.LinAlgError: if points are not finite.
    """
    problems = ProblemBatch.of(points, targets)
    rewarded = one_hot(reward_y, targets.shape[1])[:, None]  # (k, 1, C)
    weights: Tensor | None = None
    every: list[tuple[Tensor, Tensor, Tensor]] = []
    for l2 in L2_GRID:
        weights = solve_logistic_batch(problems, l2, weights)
        logits = problems.logits(weights, reward_x)  # (k, S, C)
        right = (logits.argmax(2) == reward_y[:, None]).double().mean(0)
        loss = logits.logsumexp(2).mean(0) - (logits * rewarded).sum(2).mean(0)
        every.append((right, loss, weights))
    accuracies, losses, solutions = (torch.stack(of) for of in zip(*every, strict=True))  # (5, S, ...)
    least, each = losses.argmin(0), torch.arange(len(points), device=points.device)
    return Judged(
        accuracy=accuracies.max(0).values,
        loss=losses[least, each],
        problems=problems,
        weights=solutions[least, each],
        penalties=losses.new_tensor(L2_GRID)[least],
    )


class SubsetReward:
    """Scores subsets of the training latents, and counts them.

    A reward by a probe that has not converged is one that a policy learns to deceive.

    Args:
        data: latents.
        budget: points per class, m.

    Attributes:
        y: (C * m,) int64 classes of a subset's points, in order.
        evaluations: subsets scored so far.
    """

    def __init__(self, data: LatentData, budget: int) -> None:
        self.data, self.budget = data, budget
        self._reward_x = data.reward_x.double()
        classes = len(data.class_names)
        self.y = torch.arange(classes, device=data.train_x.device).repeat_interleave(budget)
        self._targets = one_hot(self.y, classes)
        self.evaluations = 0

    def __call__(self, subsets: Tensor) -> Tensor:
        """Rewards (S,) float64 in [0, 1] of subsets (S, C * m), rows of the training latents by class."""
        return torch.cat([self.judge(some).accuracy for some in torch.split(subsets, _TOGETHER)])

    def judge(self, subsets: Tensor) -> Judged:
        """The same with the probes; all subsets are in memory at once."""
        return self.judge_points(self.data.train_x[subsets], self._targets)

    def judge_points(self, points: Tensor, targets: Tensor) -> Judged:
        """Of sets (S, n, d) that are no whole subsets, with their targets (n, C)."""
        self.evaluations += len(points)
        return judge(points, targets, self._reward_x, self.data.reward_y)
