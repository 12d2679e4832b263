"""Multinomial logistic regression, solved to convergence by Newton's method.

The objective is strictly convex, ``mean_i CE(t_i, softmax(x_i W + b)) + l2/2 |W|^2`` with the bias
free, so "the probe trained on these points" is one well-defined function of the points: that is
what makes scores comparable, and what the implicit gradient differentiates through.

Newton systems are solved by conjugate gradients: Hessian products cost two thin matrix products,
where a dense Hessian of ``(d + 1) * C`` unknowns would not fit for many classes. The preconditioner
is the Hessian with every point's class covariance replaced by one scalar, ``s X^T X / n + l2 I``,
in the spirit of Boehning's bound (Annals of the Institute of Statistical Mathematics 44, 1992).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Operator = Callable[[Tensor], Tensor]

NEWTON_STEPS = 60
CG_STEPS = 250
# Norm of the gradient, relative to that at zero.
TOLERANCE = 1e-8


def with_bias(x: Tensor) -> Tensor:
    """Append the column of ones that carries the bias: (..., n, d) -> (..., n, d + 1)."""
    return torch.cat([x, x.new_ones(*x.shape[:-1], 1)], dim=-1)


@dataclass(frozen=True)
class LogisticProblem:
    """Points with soft targets, and a penalty: one problem, or many with leading dimensions (...).

    The solvers of this module take one; :mod:`trainables.latent.selection.batched_newton` has those for many.

    Attributes:
        x: (..., n, d + 1) float64 points, last column one.
        targets: (n, C), the same for all problems, or (..., n, C) float64 probabilities, rows sum to one.
        l2: penalty on the weights, not on the bias.
    """

    x: Tensor
    targets: Tensor
    l2: float

    def penalty(self, weights: Tensor) -> Tensor:
        """``l2 * weights`` with the bias row zero; (..., d + 1, C)."""
        scaled = self.l2 * weights
        scaled.select(-2, -1).zero_()
        return scaled

    def objective(self, weights: Tensor) -> Tensor:
        """What the weights (..., d + 1, C) are to minimise; (...)."""
        logits = self.x @ weights  # (..., n, d + 1) x (..., d + 1, C) -> (..., n, C)
        cross_entropy = logits.logsumexp(-1).mean(-1) - (self.targets * logits).sum((-2, -1)) / self._points
        return cross_entropy + 0.5 * (self.penalty(weights) * weights).sum((-2, -1))

    def probabilities(self, weights: Tensor) -> Tensor:
        """Of the classes at each point, (..., n, C), by weights (..., d + 1, C)."""
        return (self.x @ weights).softmax(-1)

    def gradient(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient (..., d + 1, C) and the probabilities (..., n, C) at ``weights``."""
        probabilities = self.probabilities(weights)
        residual = (probabilities - self.targets) / self._points
        # Rows sum to zero but for rounding (targets may come from float32), and what is left would
        # push all biases together, a direction in which nothing ever stops them.
        residual = residual - residual.mean(-1, keepdim=True)
        return self.x.mT @ residual + self.penalty(weights), probabilities

    def hessian(self, probabilities: Tensor) -> Operator:
        """The Hessian at those probabilities, as a function of a direction (..., d + 1, C)."""
        x, transposed, scaled = self.x, self.x.mT, probabilities / self._points

        def product(direction: Tensor) -> Tensor:
            change = x @ direction  # (..., n, C)
            mean_change = (probabilities * change).sum(-1, keepdim=True)
            return transposed @ (scaled * (change - mean_change)) + self.penalty(direction)

        return product

    @property
    def wide(self) -> bool:
        """Whether points are fewer than dimensions."""
        return self._points < self.x.shape[-1]

    @property
    def _points(self) -> int:
        return self.x.shape[-2]

    def gram(self) -> Tensor:
        """``X X^T / n`` (..., n, n) where the problem is wide, else ``X^T X / n`` (..., d + 1, d + 1)."""
        return (self.x @ self.x.mT if self.wide else self.x.mT @ self.x) / self._points

    def preconditioner(self, gram: Tensor, probabilities: Tensor) -> Operator:
        """Inverse of ``s X^T X / n + l2 I``, applied by a Cholesky factor as small as ``gram``.

        Args:
            gram: of :meth:`gram`. A wide problem may also give the larger ``X^T X / n``: where points are
                fewer than dimensions by next to nothing, the two products that it saves are worth more.
            probabilities: (..., n, C) to take the scalar s from.
        """
        dimensions = self.x.shape[-1]
        spread = (probabilities * (1 - probabilities)).mean((-2, -1))
        # The floor keeps the factor positive definite where the penalty is tiny.
        ridge = (1e-6 * _trace(gram) / dimensions * spread + 1e-12).clamp_min(self.l2)
        spread, ridge = spread[..., None, None], ridge[..., None]  # beside matrices, beside diagonals
        matrix = spread * gram
        matrix.diagonal(dim1=-2, dim2=-1).add_(ridge)
        factor = torch.linalg.cholesky(matrix)
        if gram.shape[-1] == dimensions:
            return lambda residual: torch.cholesky_solve(residual, factor)
        x, transposed, share, ridge = self.x, self.x.mT, spread / self._points, ridge[..., None]

        def woodbury(residual: Tensor) -> Tensor:
            inside = torch.cholesky_solve(x @ residual, factor)
            return (residual - share * (transposed @ inside)) / ridge

        return woodbury


def _trace(matrix: Tensor) -> Tensor:
    """Of each matrix (..., k, k); (...)."""
    # Tensor.trace takes a single matrix, and it adds in another order than sum.
    return matrix.trace() if matrix.ndim == 2 else matrix.diagonal(dim1=-2, dim2=-1).sum(-1)


def conjugate_gradients(product: Operator, precondition: Operator, rhs: Tensor, tolerance: float) -> Tensor:
    """Solve ``product(u) = rhs`` for a positive (semi-)definite operator, from zero.

    Args:
        tolerance: stop where the residual's norm is below this times that of ``rhs``.
    """
    solution = torch.zeros_like(rhs)
    residual = rhs.clone()
    step = precondition(residual)
    alignment = (residual * step).sum()
    goal = tolerance * rhs.norm()
    for _ in range(CG_STEPS):
        if residual.norm() <= goal:
            break
        curved = product(step)
        curvature = (step * curved).sum()
        if curvature <= 0:  # the null direction (equal change of all biases), or rounding: no way further
            break
        length = alignment / curvature
        solution += length * step
        residual -= length * curved
        preconditioned = precondition(residual)
        new_alignment = (residual * preconditioned).sum()
        step = preconditioned + (new_alignment / alignment) * step
        alignment = new_alignment
    return solution


def solve_logistic(
    problem: LogisticProblem, start: Tensor | None = None, gram: Tensor | None = None
) -> Tensor:
    """Minimise a :class:`LogisticProblem`.

    Args:
        problem: one, in float64. In float32 the rounding of a sum over many points is above the tolerance,
            and neither conjugate gradients nor Newton's method would notice that they are done.
        start: (d + 1, C) weights to start from (default zero). It changes the time, not the result
            beyond the tolerance.
        gram: of :meth:`LogisticProblem.gram`, where the caller solves several penalties on the same points.

    Returns:
        (d + 1, C) weights, the bias in the last row.

    Raises:
        FloatingPointError: if the points or targets are not finite.
    """
    x, classes = problem.x, problem.targets.shape[1]
    weights = x.new_zeros(x.shape[1], classes) if start is None else start.clone()
    gram = problem.gram() if gram is None else gram
    if not torch.isfinite(gram).all() or not torch.isfinite(problem.targets).all():
        raise FloatingPointError("the points to train the probe on are not finite")
    at_zero, _ = problem.gradient(x.new_zeros(x.shape[1], classes))
    goal = TOLERANCE * at_zero.norm().clamp(min=1e-12)
    value = problem.objective(weights)
    for _ in range(NEWTON_STEPS):
        gradient, probabilities = problem.gradient(weights)
        norm = gradient.norm()
        if norm <= goal:
            break
        # Inexact Newton (Dembo, Eisenstat & Steihaug 1982): solve loosely far away, tightly close by.
        forcing = min(0.1, float((norm / at_zero.norm().clamp(min=1e-12)).sqrt()))
        step = conjugate_gradients(
            problem.hessian(probabilities), problem.preconditioner(gram, probabilities), gradient, forcing
        )
        slope = (gradient * step).sum()
        if float(slope) <= 4 * torch.finfo(x.dtype).eps * max(1.0, abs(float(value))):
            break  # what is left to gain is below the objective's own rounding
        length = 1.0
        for _ in range(30):
            trial_value = problem.objective(weights - length * step)
            if trial_value <= value - 1e-4 * length * slope:
                break
            length /= 2
        else:  # rounding hides any further decrease: this is the minimum at this precision
            break
        weights = weights - length * step
        value = trial_value
    return weights
