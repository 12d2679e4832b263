"""What happens to an observation before a learner sees it: scaled, normalised, encoded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.environment.choices import LEVELS
from trainables.environment.learners import (
    Convolution,
    Dense,
    Initialisation,
    Layer,
    NetworkLearner,
    Parameters,
)

FEATURES_WIDTH = 512
# The network of Mnih et al., Nature 2015, but for its last layer.
NATURE_LAYERS: tuple[Layer, ...] = (
    Convolution(4, 32, 8, 4),
    Convolution(32, 64, 4, 2),
    Convolution(64, 64, 3, 1),
    Dense(64 * 7 * 7, FEATURES_WIDTH),
)
# Where a normalised observation ends, so that a constant entry that changes late does no harm.
_GREATEST = 10.0
_LEAST_VARIANCE = 1e-8


@dataclass(frozen=True)
class Perception:
    """From the environment's observation to a learner's input.

    Attributes:
        scale: factor of raw observations.
        mean, variance: of observations, float32 of their shape; ``None`` where they are left as they are.
        encoder: parameters of the first layers of :data:`NATURE_LAYERS`, each (1, ...), or ``None``.
    """

    scale: float = 1.0
    mean: Tensor | None = None
    variance: Tensor | None = None
    encoder: Parameters | None = None

    def normalise(self, observations: Tensor) -> Tensor:
        """Scaled and normalised: what a distilled ``x`` looks like; (n, *observation) float32."""
        seen = observations.float() * self.scale if self.scale != 1 else observations.float()
        if self.mean is None or self.variance is None:
            return seen
        deviation = (self.variance + _LEAST_VARIANCE).sqrt()
        return ((seen - self.mean) / deviation).clamp(-_GREATEST, _GREATEST)

    def encode(self, inputs: Tensor) -> Tensor:
        """Through the encoder, if there is one; (n, *observation) -> (n, *features)."""
        return inputs if self.encoder is None else encode(self.encoder, inputs)

    def __call__(self, observations: Tensor) -> Tensor:
        """Raw observations (n, *observation) of any dtype to features (n, *features) float32."""
        return self.encode(self.normalise(observations))


def draw_encoder(level: str, generator: torch.Generator) -> Parameters:
    """Fresh parameters of the first layers, orthogonal; empty for level ``none``."""
    layers = NATURE_LAYERS[: LEVELS[level]]
    if not layers:
        return {}
    return NetworkLearner(layers, initialisation=Initialisation(last_gain=2**0.5)).draw(1, generator)


def encode(encoder: Parameters, images: Tensor) -> Tensor:
    """ReLU features of the first layers, as many as ``encoder`` has; (n, 4, 84, 84) -> (n, ...)."""
    network = NetworkLearner(NATURE_LAYERS[: len(encoder) // 2], activation="relu")
    return torch.relu(network(encoder, images.unsqueeze(0))[0])
