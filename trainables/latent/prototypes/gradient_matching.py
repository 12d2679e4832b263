"""Gradient matching at random linear probes.

For freshly drawn probe weights, the gradient that the prototypes give is aligned, class by class,
with the one that real latents give; no training loop stands inside.

Paper: "Dataset distillation for pre-trained self-supervised vision models" (linear gradient
matching, LGM), 2025; gradient matching after Zhao, Mopuri & Bilen, ICLR 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, one_hot

from trainables.latent.newton import with_bias
from trainables.latent.prototypes.objective import Objective

# Probes drawn a step: an average over a few halves the noise at almost no cost, as d and C are small.
PROBES = 4


class GradientMatching(Objective):
    """One minus the cosine between the probe's gradients on prototypes and on real latents."""

    def __call__(
        self, x: Tensor, targets: Tensor, batch_x: Tensor, batch_y: Tensor, randomness: torch.Generator
    ) -> Tensor:
        classes = targets.shape[1]
        real_targets = one_hot(batch_y, classes).to(batch_x.dtype)
        points, real = with_bias(x), with_bias(batch_x)
        loss = x.new_zeros(())
        for _ in range(PROBES):
            weights = torch.randn(points.shape[1], classes, generator=randomness).to(x)
            weights = weights / points.shape[1] ** 0.5  # logits of unit size on standardised latents
            synthetic_gradient = points.T @ ((points @ weights).softmax(1) - targets) / len(x)  # (d + 1, C)
            real_gradient = real.T @ ((real @ weights).softmax(1) - real_targets) / len(real)
            loss = loss + (1 - cosine_similarity(synthetic_gradient, real_gradient, dim=0)).mean()
        return loss / PROBES
