"""What a method of learning prototypes has to provide."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from trainables.latent.distill_config import DistillConfig


class Objective(ABC):
    """A loss of the distilled set, differentiable in its points and targets.

    Args:
        config: the method's settings; see :class:`~trainables.latent.config.DistillConfig`.
    """

    def __init__(self, config: DistillConfig) -> None:
        self.config = config

    def probe_loss(self, weights: Tensor, batch_x: Tensor, batch_y: Tensor) -> Tensor:
        """What a probe trained on all real latents with penalty ``inner_l2`` minimises, on a batch of them.

        With the penalty, the best that prototypes can teach is that probe. Without it, prototypes of
        well-separated classes go on to fit the last training point, and more so the longer they learn.

        Args:
            weights: (d + 1, C), the bias in the last row.
        """
        penalty = 0.5 * self.config.inner_l2 * weights[:-1].square().sum()
        return cross_entropy(batch_x @ weights[:-1] + weights[-1], batch_y) + penalty

    @abstractmethod
    def __call__(
        self, x: Tensor, targets: Tensor, batch_x: Tensor, batch_y: Tensor, randomness: torch.Generator
    ) -> Tensor:
        """The loss, a scalar.

        Args:
            x: (n, d) prototypes, float32.
            targets: (n, C) their label probabilities, float32.
            batch_x, batch_y: (k, d) float32 and (k,) int64 real training latents and labels.
            randomness: this step's generator: no other source of randomness, so that runs resume.
        """

    def state_dict(self) -> dict[str, Tensor]:
        """What the next step needs besides the prototypes; empty for a method without memory."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of :meth:`state_dict`."""
        assert not state, "a method with memory has to restore it"
