"""What a method of learning prototypes has to provide."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from trainables.latent.config import DistillConfig


class Objective(ABC):
    """A loss of the distilled set, differentiable in its points and targets.

    Args:
        config: the method's settings; see :class:`~trainables.latent.config.DistillConfig`.
    """

    def __init__(self, config: DistillConfig) -> None:
        self.config = config

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
