"""Unrolled probe training: back-propagation through T steps of gradient descent on the prototypes.

Paper: Wang, Zhu, Torralba & Efros, "Dataset distillation", 2018, algorithm 1, with the probe from
zero in place of a network from random weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.latent.newton import with_bias
from trainables.latent.prototypes.objective import Objective


class UnrolledTraining(Objective):
    """Loss on real latents of a probe after ``unroll_steps`` steps with Nesterov's momentum."""

    def __call__(
        self, x: Tensor, targets: Tensor, batch_x: Tensor, batch_y: Tensor, randomness: torch.Generator
    ) -> Tensor:
        points = with_bias(x)
        weights = x.new_zeros(points.shape[1], targets.shape[1])
        ahead = weights
        # 1/L for the largest curvature the points allow: the softmax Hessian is at most 1/2. Not
        # differentiated: the rate follows the points' scale and is no means to reduce the loss.
        curvature = 0.5 * torch.linalg.matrix_norm(points.detach(), ord=2) ** 2 / len(x)
        rate = 1.0 / (curvature + self.config.inner_l2)
        for step in range(self.config.unroll_steps):
            residual = (points @ ahead).softmax(1) - targets  # (n, C)
            gradient = points.T @ residual / len(x) + self.config.inner_l2 * ahead
            updated = ahead - rate * gradient
            ahead = updated + step / (step + 3) * (updated - weights)
            weights = updated
        return self.probe_loss(weights, batch_x, batch_y)
