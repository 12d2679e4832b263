"""Kernel ridge regression: the inner problem in closed form.

With the linear kernel k(a, b) = (<a, b> + 1) / d, predictions for real latents are
K_ts (K_ss + l2 tr(K_ss)/n I)^{-1} T, and their squared error is differentiated directly.

Paper: Nguyen, Chen & Lee, "Dataset meta-learning from kernel ridge-regression" (KIP), ICLR 2021,
equation 1.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from trainables.latent.newton import with_bias
from trainables.latent.prototypes.objective import Objective


class KernelRidge(Objective):
    """Mean squared error on real latents of the ridge regression that the prototypes give."""

    def __call__(
        self, x: Tensor, targets: Tensor, batch_x: Tensor, batch_y: Tensor, randomness: torch.Generator
    ) -> Tensor:
        classes, width = targets.shape[1], x.shape[1]
        # Targets with mean zero, so that a prediction of zero favours no class.
        centred = targets - 1 / classes
        goal = one_hot(batch_y, classes).to(batch_x.dtype) - 1 / classes
        points, real = with_bias(x), with_bias(batch_x)
        system = points @ points.T / width  # (n, n)
        # The penalty is relative to the kernel's size, as points move while they are learned.
        penalty = self.config.inner_l2 * system.detach().diagonal().mean()
        system = system + penalty * torch.eye(len(x), dtype=x.dtype, device=x.device)
        dual: Tensor = torch.linalg.solve(system, centred)  # (n, C)
        predictions: Tensor = (real @ points.T / width) @ dual  # (k, n) x (n, C) -> (k, C)
        return (predictions - goal).square().sum(1).mean()
