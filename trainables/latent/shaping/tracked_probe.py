"""The implicit gradient of many sets of prototypes at once, for the price of four thin products a step.

:mod:`trainables.latent.prototypes.implicit` solves the probe and its adjoint anew at every step. Here
prototypes take small steps, and both solutions are pulled along, once for each of them, by steepest descent:

    W <- W - a P^-1 grad g(W),    u <- u - b P^-1 (H u - dL/dW),

with the step lengths a and b that are best by the Hessian H as it stands, so that neither can run away. P is
the part of H within each class, at the set that all episodes start from.

The outer loss is taken on a few training latents at a time. What they are by chance is taken off again with
the gradient that they and all training latents have at the start's weights (Johnson & Zhang, "Accelerating
stochastic gradient descent using predictive variance reduction", NeurIPS 2013): near its minimum, where good
prototypes are, the gradient is else nothing but that chance, which the adjoint makes large.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.latent.newton import LogisticProblem, conjugate_gradients, solve_logistic, with_bias

# Of the adjoint at the start, relative; from there on it is followed.
_TOLERANCE = 1e-4
# Below this a curvature is rounding: whoever is at the solution already goes nowhere.
_LEAST = 1e-20


@dataclass
class Tracked:
    """Where the probes of E sets stand.

    Attributes:
        weights: (E, d + 1, C) float32, the bias in the last row.
        adjoint: (E, d + 1, C) float32, ``H^-1 dL/dW``.
    """

    weights: Tensor
    adjoint: Tensor


class TrackedProbe:
    """Gradients of the probe's loss on training latents in the points that it learns from.

    Args:
        start: (n, d) float32 points that all sets start from.
        targets: (n, C) float64 their class probabilities.
        l2: penalty of the probe.
        train_x, train_y: (N, d) float32 and (N,) int64 all training latents.
    """

    def __init__(self, start: Tensor, targets: Tensor, l2: float, train_x: Tensor, train_y: Tensor) -> None:
        points = with_bias(start.double())
        problem = LogisticProblem(points, targets, l2)
        weights = solve_logistic(problem)
        self._targets, self._l2 = targets.float(), l2
        probabilities = problem.probabilities(weights)
        self._solved_outer = self._outer_gradient(weights.float()[None], train_x, train_y)
        outer = self._solved_outer[0].double()
        precondition = problem.preconditioner(problem.gram(), probabilities)
        adjoint = conjugate_gradients(problem.hessian(probabilities), precondition, outer, _TOLERANCE)
        self._solved = weights.float(), adjoint.float()
        curvature = (probabilities * (1 - probabilities)).T[:, :, None]  # (C, n, 1)
        blocks = points.T @ (curvature * points) / len(points)  # (C, d + 1, d + 1)
        # The bias has no penalty, and a class that is far from all others next to no curvature.
        blocks.diagonal(dim1=1, dim2=2).add_(l2)
        self._inverses = torch.linalg.inv(blocks).float()

    def begin(self, episodes: int) -> Tracked:
        """The start's probe, once for each episode."""
        weights, adjoint = (solved.expand(episodes, -1, -1).clone() for solved in self._solved)
        return Tracked(weights, adjoint)

    def gradient(self, x: Tensor, tracked: Tracked, batch_x: Tensor, batch_y: Tensor) -> Tensor:
        """Differentiate the probes' loss on a batch of training latents, and pull the probes along.

        Args:
            x: (E, n, d) float32 points.
            tracked: updated in place.
            batch_x, batch_y: (k, d) float32 and (k,) int64.

        Returns:
            (E, n, d) float32.
        """
        points, (weights, adjoint) = with_bias(x), (tracked.weights, tracked.adjoint)
        n, classes = self._targets.shape
        logits, change = (points @ torch.cat([weights, adjoint], 2)).chunk(2, 2)  # (E, n, C) each
        probabilities = logits.softmax(2)
        residual = probabilities - self._targets
        through_logits = probabilities * (change - (probabilities * change).sum(2, keepdim=True))
        # What W and u have to be moved by, but for the penalty: grad g, and H u - dL/dW.
        both = points.mT @ (torch.cat([residual, through_logits], 2) / n)  # (E, d + 1, 2 C)
        slopes, directions = weights[:, :-1], adjoint[:, :-1]  # (E, d, C)
        both[:, :-1] += self._l2 * torch.cat([slopes, directions], 2)
        by_chance = self._outer_gradient(self._solved[0][None], batch_x, batch_y) - self._solved_outer
        both[:, :, classes:] -= self._outer_gradient(weights, batch_x, batch_y) - by_chance
        pulls = self._preconditioned(both)
        lengths = self._lengths(points @ pulls, probabilities, pulls, both)  # (2, E, 1, 1)
        tracked.weights = weights - lengths[0] * pulls[..., :classes]
        tracked.adjoint = adjoint - lengths[1] * pulls[..., classes:]
        # The derivatives of <grad_W g, u> by the points, as in SolvedProbe.backward:
        return torch.cat([residual, through_logits], 2) @ torch.cat([directions, slopes], 2).mT / -n

    def _preconditioned(self, both: Tensor) -> Tensor:
        """``P^-1`` times both halves (E, d + 1, 2 C): for each class one product of all episodes."""
        episodes, rows, _ = both.shape
        stacked = both.view(episodes, rows, 2, -1).permute(3, 1, 2, 0).flatten(2)  # (C, d + 1, 2 E)
        pulls: Tensor = self._inverses @ stacked
        return pulls.view(-1, rows, 2, episodes).permute(3, 1, 2, 0).flatten(2)

    def _lengths(self, changes: Tensor, probabilities: Tensor, pulls: Tensor, both: Tensor) -> Tensor:
        """How far to go for the least of the quadratic with Hessian H, in both halves; (2, E, 1, 1)."""
        found = []
        halves = zip(*(of.chunk(2, 2) for of in (changes, pulls, both)), strict=True)
        for change, pull, gradient in halves:
            spread = (probabilities * change.square()).sum(2) - (probabilities * change).sum(2).square()
            curvature = spread.mean(1) + self._l2 * pull[:, :-1].square().sum((1, 2))
            found.append((gradient * pull).sum((1, 2)) / curvature.clamp_min(_LEAST))
        return torch.stack(found)[..., None, None]

    def losses(self, tracked: Tracked, x: Tensor, y: Tensor) -> Tensor:
        """Mean cross-entropy (E,) of each probe on items (k, d), (k,)."""
        logits = together(x, tracked.weights)  # (k, E, C)
        own = logits.gather(2, y[:, None, None].expand(-1, logits.shape[1], 1))[..., 0]
        return (logits.logsumexp(2) - own).mean(0)

    def _outer_gradient(self, weights: Tensor, batch_x: Tensor, batch_y: Tensor) -> Tensor:
        """dL/dW (E, d + 1, C) of the loss that :class:`Objective` states: with the penalty."""
        residual = together(batch_x, weights).softmax(2)  # (k, E, C)
        residual[torch.arange(len(batch_y)), :, batch_y] -= 1.0
        flat = residual.flatten(1) / len(batch_x)  # (k, E * C)
        slopes = (batch_x.T @ flat).view(-1, *residual.shape[1:]).transpose(0, 1)  # (E, d, C)
        gradient = torch.cat([slopes + self._l2 * weights[:, :-1], residual.mean(0)[:, None]], 1)
        # Rows sum to zero but for rounding, which would push all biases together.
        bias = gradient[:, -1:]
        return torch.cat([gradient[:, :-1], bias - bias.mean(2, keepdim=True)], 1)


def together(x: Tensor, weights: Tensor) -> Tensor:
    """Logits (k, E, C) of items (k, d) by E probes (E, d + 1, C): one large product."""
    slopes = weights[:, :-1].transpose(0, 1).flatten(1)  # (d, E * C)
    return (x @ slopes).view(len(x), len(weights), -1) + weights[:, -1]
