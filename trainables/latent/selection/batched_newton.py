"""Many logistic regressions at once, each to the minimum that :mod:`trainables.latent.newton` finds.

Newton steps, conjugate gradients and line searches go on together for all problems, those that are done
standing still. It is faster for two more reasons: points that are fewer than their dimensions are first
turned into coordinates of the space that they span, where penalty and minimum are the same; and the solve
ends where predictions no longer change, before the last digits of the weights are right.

Objective, derivatives and preconditioner are those of :class:`~trainables.latent.newton.LogisticProblem`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.latent.newton import LogisticProblem, Operator, with_bias

NEWTON_STEPS = 40
CG_STEPS = 100
# A Newton step cut short costs one more of them, an adjoint cut short is a wrong gradient.
ADJOINT_STEPS = 250
HALVINGS = 20
# Norm of the gradient, relative to that at zero. Of one point a class, 1e-4 makes the best of the penalties
# look better than it is by 0.1 points; float32 does not come to 1e-5 and then takes longer than float64.
TOLERANCE = 1e-5


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
        return cls(with_bias(points), basis, targets.double())

    def penalised(self, l2: float) -> tuple[LogisticProblem, Tensor]:
        """The problems at one penalty, and ``X^T X / n`` (S, r + 1, r + 1) for their preconditioner.

        That product even where it is the larger one: in coordinates of its span a problem has at most one
        dimension more than it has points.
        """
        return LogisticProblem(self.x, self.targets, l2), self.x.mT @ self.x / self.x.shape[1]

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
    problem, gram = problems.penalised(l2)
    x, classes = problems.x, problems.targets.shape[1]
    weights = x.new_zeros(len(x), x.shape[2], classes) if start is None else start
    at_zero = _norm(problem.gradient(torch.zeros_like(weights))[0]).clamp_min(1e-12)
    value = problem.objective(weights)
    done = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for _ in range(NEWTON_STEPS):
        gradient, probabilities = problem.gradient(weights)
        norm = _norm(gradient)
        done = done | (norm <= TOLERANCE * at_zero)
        if done.all():
            break
        forcing = (norm / at_zero).sqrt().clamp_max(0.1)  # loosely far away, tightly close by
        step = _conjugate_gradients(
            problem.hessian(probabilities),
            problem.preconditioner(gram, probabilities),
            gradient,
            torch.where(done, torch.inf, forcing * norm),
            CG_STEPS,
        )
        slope = (gradient * step).sum((1, 2))
        done = done | (slope <= 0)
        length, value = _line_search(problem, weights, step, slope, value, done)
        done = done | (length == 0)
        weights = weights - length[:, None, None] * step
    return weights


def solve_adjoint_batch(
    problems: ProblemBatch, l2: float, weights: Tensor, rhs: Tensor, tolerance: float
) -> Tensor:
    """Solve ``H u = rhs`` for each problem, H its objective's Hessian: the adjoint of the implicit gradient.

    All is in the problems' own coordinates. Where these span less than the d dimensions, H outside the span
    is ``l2`` times the identity, and a right-hand side's part out there is to be divided by it.

    Args:
        weights: (S, r + 1, C) float64 to take the Hessians at.
        rhs: (S, r + 1, C) float64. Its bias rows must sum to zero, as a gradient through probabilities does:
            an equal change of all biases is the null direction of H.
        tolerance: of the residual's norm, relative to that of ``rhs``.

    Returns:
        (S, r + 1, C) float64.
    """
    problem, gram = problems.penalised(l2)
    probabilities = problem.probabilities(weights)
    return _conjugate_gradients(
        problem.hessian(probabilities),
        problem.preconditioner(gram, probabilities),
        rhs,
        tolerance * _norm(rhs),
        ADJOINT_STEPS,
    )


def _conjugate_gradients(
    product: Operator, precondition: Operator, rhs: Tensor, goal: Tensor, steps: int
) -> Tensor:
    """Solve each ``product(u) = rhs`` (S, r + 1, C), from zero, to a residual of norm ``goal`` (S,)."""
    solution, residual = torch.zeros_like(rhs), rhs
    step = precondition(residual)
    alignment = (residual * step).sum((1, 2))
    live = torch.ones_like(goal, dtype=torch.bool)
    smallest = torch.finfo(rhs.dtype).tiny
    for _ in range(steps):
        live = live & (_norm(residual) > goal)
        if not live.any():
            break
        curved = product(step)
        curvature = (step * curved).sum((1, 2))
        live = live & (curvature > 0)
        length = torch.where(live, alignment / curvature, 0.0)[:, None, None]
        solution = solution + length * step
        residual = residual - length * curved
        preconditioned = precondition(residual)
        new_alignment = (residual * preconditioned).sum((1, 2))
        # Where no residual is left, 0 / 0 would give a step that spoils the solution even at a length of 0.
        ratio = new_alignment / alignment.clamp_min(smallest)
        step = preconditioned + ratio[:, None, None] * step
        alignment = new_alignment
    return solution


def _line_search(
    problem: LogisticProblem, weights: Tensor, step: Tensor, slope: Tensor, value: Tensor, done: Tensor
) -> tuple[Tensor, Tensor]:
    """Lengths (S,) that lower each objective enough (Armijo), 0 where none does; and the new objectives."""
    length = torch.where(done, 0.0, 1.0)
    for _ in range(HALVINGS):
        trial = problem.objective(weights - length[:, None, None] * step)
        enough = (trial <= value - 1e-4 * length * slope) | (length == 0)
        if enough.all():
            break
        length = torch.where(enough, length, length / 2)
    length = torch.where(enough, length, 0.0)  # rounding hides any further decrease
    return length, torch.where(length == 0, value, trial)


def _norm(of: Tensor) -> Tensor:
    return of.square().sum((1, 2)).sqrt()
