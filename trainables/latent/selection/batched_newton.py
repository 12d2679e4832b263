"""Many logistic regressions at once, each to the minimum that :mod:`trainables.latent.newton` finds.

Newton steps, conjugate gradients and line searches go on together for all problems, those that are done
standing still. It is faster for two more reasons: points that are fewer than their dimensions are first
turned into coordinates of the space that they span, where penalty and minimum are the same; and the solve
ends where predictions no longer change, before the last digits of the weights are right.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NEWTON_STEPS = 40
CG_STEPS = 100
HALVINGS = 20
# Norm of the gradient, relative to that at zero. Of one point a class, 1e-4 makes the best of the penalties
# look better than it is by 0.1 points; float32 does not come to 1e-5 and then takes longer than float64.
TOLERANCE = 1e-5
# Keeps the preconditioner positive definite where the penalty is tiny.
_RIDGE = 1e-6


@dataclass(frozen=True)
class ProblemBatch:
    """S problems with the same targets.

    Attributes:
        x: (S, n, r + 1) float64 points, last column one.
        basis: (S, d, r) orthonormal, where points are coordinates in it; ``None`` where r is d.
        targets: (n, C) float64 probabilities.
    """

    x: Tensor
    basis: Tensor | None
    targets: Tensor

    @classmethod
    def of(cls, points: Tensor, targets: Tensor) -> ProblemBatch:
        """From points (S, n, d) and targets (n, C) of any float dtype."""
        points, basis = points.double(), None
        if points.shape[1] < points.shape[2]:
            basis, coordinates = torch.linalg.qr(points.transpose(1, 2))  # (S, d, n), (S, n, n)
            points = coordinates.transpose(1, 2)
        ones = points.new_ones(*points.shape[:2], 1)
        return cls(torch.cat([points, ones], 2), basis, targets.double())

    def logits(self, weights: Tensor, items: Tensor) -> Tensor:
        """Of items (k, d) by weights (S, r + 1, C) of these problems; (k, S, C)."""
        slopes = weights[:, :-1] if self.basis is None else self.basis @ weights[:, :-1]  # (S, d, C)
        together = items @ slopes.transpose(0, 1).flatten(1)  # (k, d) x (d, S * C): one large product
        return together.view(len(items), *weights[:, -1].shape) + weights[:, -1]


def solve_logistic_batch(problems: ProblemBatch, l2: float, start: Tensor | None = None) -> Tensor:
    """Minimise ``mean_i CE(t_i, softmax(x_i W + b)) + l2/2 |W|^2`` for each problem.

    Args:
        start: (S, r + 1, C) weights to start from (default zero), in the problems' own coordinates.

    Returns:
        (S, r + 1, C) weights, the bias in the last row.
    """
    x, targets = problems.x, problems.targets
    weights = x.new_zeros(len(x), x.shape[2], targets.shape[1]) if start is None else start
    gram = x.transpose(1, 2) @ x / x.shape[1]  # (S, r + 1, r + 1)
    at_zero = _norm(_gradient(x, targets, l2, torch.zeros_like(weights))[0]).clamp_min(1e-12)
    value = _objective(x, targets, l2, weights)
    done = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for _ in range(NEWTON_STEPS):
        gradient, probabilities = _gradient(x, targets, l2, weights)
        norm = _norm(gradient)
        done = done | (norm <= TOLERANCE * at_zero)
        if done.all():
            break
        forcing = (norm / at_zero).sqrt().clamp_max(0.1)  # loosely far away, tightly close by
        step = _newton_step(x, l2, gram, gradient, probabilities, forcing * norm, done)
        slope = (gradient * step).sum((1, 2))
        done = done | (slope <= 0)
        length, value = _line_search(x, targets, l2, weights, step, slope, value, done)
        done = done | (length == 0)
        weights = weights - length[:, None, None] * step
    return weights


def _newton_step(
    x: Tensor, l2: float, gram: Tensor, gradient: Tensor, probabilities: Tensor, goal: Tensor, done: Tensor
) -> Tensor:
    """Solve the Newton systems by conjugate gradients to residuals of norm ``goal`` (S,).

    The preconditioner is that of :class:`~trainables.latent.newton.LogisticProblem`.
    """
    transposed, scaled = x.transpose(1, 2), probabilities / x.shape[1]
    spread = (probabilities * (1 - probabilities)).mean((1, 2))
    matrix = spread[:, None, None] * gram
    diagonal = matrix.diagonal(dim1=1, dim2=2)
    diagonal.add_(l2 + _RIDGE * diagonal.mean(1, keepdim=True))
    factor, _ = torch.linalg.cholesky_ex(matrix)
    solution, residual = torch.zeros_like(gradient), gradient
    step = torch.cholesky_solve(residual, factor)
    alignment = (residual * step).sum((1, 2))
    live = ~done
    for _ in range(CG_STEPS):
        live = live & (_norm(residual) > goal)
        if not live.any():
            break
        change = x @ step  # (S, n, C)
        change = scaled * (change - (probabilities * change).sum(2, keepdim=True))
        curved = transposed @ change + _penalty(l2, step)
        curvature = (step * curved).sum((1, 2))
        live = live & (curvature > 0)
        length = torch.where(live, alignment / curvature, 0.0)[:, None, None]
        solution = solution + length * step
        residual = residual - length * curved
        preconditioned = torch.cholesky_solve(residual, factor)
        new_alignment = (residual * preconditioned).sum((1, 2))
        step = preconditioned + (new_alignment / alignment)[:, None, None] * step
        alignment = new_alignment
    return solution


def _line_search(
    x: Tensor,
    targets: Tensor,
    l2: float,
    weights: Tensor,
    step: Tensor,
    slope: Tensor,
    value: Tensor,
    done: Tensor,
) -> tuple[Tensor, Tensor]:
    """Lengths (S,) that lower each objective enough (Armijo), 0 where none does; and the new objectives."""
    length = torch.where(done, 0.0, 1.0)
    for _ in range(HALVINGS):
        trial = _objective(x, targets, l2, weights - length[:, None, None] * step)
        enough = (trial <= value - 1e-4 * length * slope) | (length == 0)
        if enough.all():
            break
        length = torch.where(enough, length, length / 2)
    length = torch.where(enough, length, 0.0)  # rounding hides any further decrease
    return length, torch.where(length == 0, value, trial)


def _objective(x: Tensor, targets: Tensor, l2: float, weights: Tensor) -> Tensor:
    logits = x @ weights
    cross_entropy = (logits.logsumexp(2) - (targets * logits).sum(2)).mean(1)
    return cross_entropy + 0.5 * (_penalty(l2, weights) * weights).sum((1, 2))


def _gradient(x: Tensor, targets: Tensor, l2: float, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients (S, r + 1, C), and probabilities (S, n, C)."""
    probabilities = (x @ weights).softmax(2)
    residual = (probabilities - targets) / x.shape[1]
    # As in the solver of one problem: no sum of rounding errors may push all biases together.
    residual = residual - residual.mean(2, keepdim=True)
    return x.transpose(1, 2) @ residual + _penalty(l2, weights), probabilities


def _penalty(l2: float, weights: Tensor) -> Tensor:
    scaled = l2 * weights
    scaled[:, -1] = 0
    return scaled


def _norm(of: Tensor) -> Tensor:
    return of.square().sum((1, 2)).sqrt()
