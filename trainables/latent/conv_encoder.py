"""The convolutional encoder, sized so that a CPU trains it in minutes.

What was chosen, and why:

- The first convolution has stride 2. Convolutions at full resolution are most of a usual residual
  network's cost on a CPU (few channels, many pixels) and buy little accuracy.
- Then a stage for each of the last two halvings: a widening convolution, max pooling, a residual block of
  two convolutions at the lower resolution, where channels are many and the arithmetic is dense.
- Images halve until their shorter side is 4 to 6 pixels, whatever their size. Small ones do without the
  first stages, large ones start with more strided convolutions of few channels.
- The latent sees both the pooled features (what the classes need) and, through a narrow projection,
  where they lie (what the decoder needs).
- The latent is batch-normalised: the classifier, the reconstruction and the cycle term then agree on its
  scale, and prototypes stay in the range that the decoder has seen.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from trainables.latent.encoders import ConvNorm, LatentNetwork, Shape, halvings

STAGE_WIDTHS = (48, 96, 192)
STEM_WIDTH = 32
WHERE_CHANNELS = 12


class Residual(nn.Module):
    """x + f(x) with two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvNorm(width, width), ConvNorm(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)  # type: ignore[no-any-return]


class ConvEncoder(LatentNetwork):
    """See the module's account.

    Args:
        latent_dim: size of a latent.
        shape: (C, H, W), both sides from 8.
        n_classes: outputs of the head.
    """

    def __init__(self, latent_dim: int, shape: Shape, n_classes: int) -> None:
        n_halvings = halvings(shape)
        widths = STAGE_WIDTHS[: min(n_halvings + 1, len(STAGE_WIDTHS))]
        rows, columns = (_halved(side, n_halvings) for side in shape[1:])
        super().__init__(widths[-1] + WHERE_CHANNELS * rows * columns, latent_dim, shape, n_classes)
        stem_halvings = n_halvings - (len(widths) - 1)
        stem_widths = [STEM_WIDTH] * (stem_halvings - 1) + [widths[0]]
        layers: list[nn.Module] = [
            ConvNorm(shape[0], stem_widths[0], kernel=5, stride=2 if stem_halvings else 1)
        ]
        layers += [ConvNorm(width, wider, stride=2) for width, wider in itertools.pairwise(stem_widths)]
        for width, wider in itertools.pairwise(widths):
            layers += [ConvNorm(width, wider), nn.MaxPool2d(2, ceil_mode=True), Residual(wider)]
        self.trunk = nn.Sequential(*layers)
        self.where = nn.Conv2d(widths[-1], WHERE_CHANNELS, 1)

    def features(self, images: Tensor) -> Tensor:
        grid = self.trunk(images.contiguous(memory_format=torch.channels_last) - 0.5)
        return torch.cat([grid.amax((2, 3)), self.where(grid).flatten(1)], dim=1)


def _halved(side: int, times: int) -> int:
    for _ in range(times):
        side = math.ceil(side / 2)
    return side
