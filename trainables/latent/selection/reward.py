"""What a choice of real points is worth: accuracy of the probe trained on them, on the reward half."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.latent.latents import LatentData
from trainables.latent.probe import L2_GRID, one_hot
from trainables.latent.selection.batched_newton import ProblemBatch, solve_logistic_batch

# Subsets in one batch: enough to fill the processor, few enough for its cache.
_TOGETHER = 64


class SubsetReward:
    """Scores subsets of the training latents, and counts them.

    The score is that of the protocol's probe (:func:`~trainables.latent.probe.fit_probe`): converged, with
    the penalty of the grid that does best on the reward half. A reward by a probe that has not converged is
    one that a policy learns to deceive.

    Args:
        data: latents.
        budget: points per class, m.

    Attributes:
        evaluations: subsets scored so far.
    """

    def __init__(self, data: LatentData, budget: int) -> None:
        self._data, self._reward_x = data, data.reward_x.double()
        classes = len(data.class_names)
        self._targets = one_hot(torch.arange(classes).repeat_interleave(budget), classes).to(
            data.train_x.device
        )
        self.evaluations = 0

    def __call__(self, subsets: Tensor) -> Tensor:
        """Rewards (S,) float64 in [0, 1] of subsets (S, C * m), rows of the training latents by class."""
        self.evaluations += len(subsets)
        return torch.cat([self._score(some) for some in torch.split(subsets, _TOGETHER)])

    def _score(self, subsets: Tensor) -> Tensor:
        problems = ProblemBatch.of(self._data.train_x[subsets], self._targets)
        weights, best = None, torch.zeros(len(subsets), dtype=torch.float64, device=subsets.device)
        for l2 in L2_GRID:
            weights = solve_logistic_batch(problems, l2, weights)
            predicted = problems.logits(weights, self._reward_x).argmax(2)  # (k, S)
            right = (predicted == self._data.reward_y[:, None]).double().mean(0)
            best = torch.maximum(best, right)
        return best
