"""Implicit gradient through the exact probe.

The inner problem, logistic regression on the prototypes, is solved to convergence, and the outer
loss, the probe's cross-entropy on real latents, is differentiated by the implicit function theorem:
with g the inner objective and W* its minimiser,

    dL/dx = - d/dx <grad_W g(W*; x), u>,    u = (d^2 g / dW^2)^{-1} dL/dW*.

Nothing is unrolled, so neither memory nor time depends on how the probe was trained.

Paper: Lorraine, Vicol & Duvenaud, "Optimizing millions of hyperparameters by implicit
differentiation", AISTATS 2020, equation 2 (distilled data is one of its examples).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainables.latent.distill_config import DistillConfig
from trainables.latent.newton import LogisticProblem, conjugate_gradients, solve_logistic, with_bias
from trainables.latent.prototypes.objective import Objective

# Relative residual of the adjoint system. Looser than the probe itself: the error enters the
# gradient linearly, and Adam's direction is noisier than this by far.
ADJOINT_TOLERANCE = 1e-4


class SolvedProbe(torch.autograd.Function):
    """Weights (d + 1, C) of the converged probe as a differentiable function of its training set."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, targets: Tensor, l2: float, start: Tensor | None, tolerance: float
    ) -> Tensor:
        """``x`` (n, d) and ``targets`` (n, C), both float64."""
        weights = solve_logistic(LogisticProblem(with_bias(x), targets, l2), start)
        ctx.save_for_backward(x, targets, weights)
        ctx.l2, ctx.tolerance = l2, tolerance
        return weights

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        x, targets, weights = ctx.saved_tensors
        points = with_bias(x)
        problem = LogisticProblem(points, targets, ctx.l2)
        probabilities = (points @ weights).softmax(1)
        adjoint = conjugate_gradients(
            problem.hessian(probabilities),
            problem.preconditioner(problem.gram(), probabilities),
            outer[0],
            ctx.tolerance,
        )
        # <grad_W g, u> = 1/n sum_i <p_i - t_i, u^T x_i> + a term without x; its derivatives by hand:
        change = points @ adjoint  # (n, C)
        mean_change = (probabilities * change).sum(1, keepdim=True)
        through_logits = probabilities * (change - mean_change)
        grad_x = -((probabilities - targets) @ adjoint[:-1].T + through_logits @ weights[:-1].T) / len(x)
        grad_targets = change / len(x)
        return grad_x, grad_targets, None, None, None


class ImplicitGradient(Objective):
    """Loss on real latents of the probe that training on the prototypes converges to."""

    def __init__(self, config: DistillConfig) -> None:
        super().__init__(config)
        self.weights: Tensor | None = None  # the last solution starts the next solve

    def __call__(
        self, x: Tensor, targets: Tensor, batch_x: Tensor, batch_y: Tensor, randomness: torch.Generator
    ) -> Tensor:
        weights = SolvedProbe.apply(
            x.double(), targets.double(), self.config.inner_l2, self.weights, ADJOINT_TOLERANCE
        )
        self.weights = weights.detach()
        return self.probe_loss(weights.to(batch_x.dtype), batch_x, batch_y)

    def state_dict(self) -> dict[str, Tensor]:
        return {} if self.weights is None else {"weights": self.weights}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.weights = state.get("weights")
