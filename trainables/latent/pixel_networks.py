"""Networks that learn from images alone: what the field judges a distilled set of images by.

Two of unlike kinds, so that a set which teaches one of them only is seen to do so. The ConvNet is what the
field's tables are made with. The multilayer perceptron stands beside it in their tables of transfer to
other architectures; it shares neither convolution, nor pooling, nor normalisation with it, and costs a
hundredth of it, where a residual network would cost several times as much and be of the same kind.

Paper: Zhao, Mopuri & Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021, section 4.1 and table 2
(both networks); Cui et al., "DC-BENCH: Dataset Condensation Benchmark", NeurIPS 2022 (the same ones).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainables.latent.encoders import Shape, halvings
from trainables.seeds import derive_seed

WIDTH = 128
"""Channels of each convolution, and units of each hidden layer."""
_CENTRE, _SPREAD = 0.5, 0.25
"""What inputs are standardised with: about a photograph's, but constant, as a network knows its set alone."""


class PixelConvNet(nn.Module):
    """Blocks of 3 x 3 convolution, instance norm, ReLU and 2 x 2 average pooling, then a linear layer.

    As many blocks as the image can be halved to 4 to 6 pixels a side: three for 32 x 32 (the papers'
    ConvNet-3), one for 8 x 8, four for 64 x 64, as the papers have it for larger images.

    Args:
        shape: (C, H, W), both sides from 8.
        classes: outputs.
    """

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        channels, rows, columns = shape
        blocks: list[nn.Module] = []
        for _ in range(halvings(shape)):
            # One group a channel: instance norm with a learned scale and shift.
            norm = nn.GroupNorm(WIDTH, WIDTH)
            blocks += [nn.Conv2d(channels, WIDTH, 3, padding=1), norm, nn.ReLU(), nn.AvgPool2d(2)]
            channels, rows, columns = WIDTH, rows // 2, columns // 2
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(WIDTH * rows * columns, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(n, C, H, W) in [0, 1] -> (n, classes) logits."""
        grid = self.blocks((images - _CENTRE) / _SPREAD)  # (n, WIDTH, h, w)
        return self.classifier(grid.flatten(1))  # type: ignore[no-any-return]


class PixelMLP(nn.Module):
    """Two hidden layers.

    Args:
        shape: (C, H, W).
        classes: outputs.
    """

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        channels, rows, columns = shape
        self.layers = nn.Sequential(
            nn.Linear(channels * rows * columns, WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(n, C, H, W) in [0, 1] -> (n, classes) logits."""
        return self.layers((images.flatten(1) - _CENTRE) / _SPREAD)  # type: ignore[no-any-return]


PIXEL_NETWORKS: dict[str, Callable[[Shape, int], nn.Module]] = {"convnet": PixelConvNet, "mlp": PixelMLP}
"""By name; the first one is the field's."""
FIELDS_OWN = next(iter(PIXEL_NETWORKS))


def build_pixel_network(name: str, shape: Shape, classes: int, seed: int) -> nn.Module:
    """A fresh network, its parameters drawn from ``seed``.

    Args:
        name: one of :data:`PIXEL_NETWORKS`.
        shape: (C, H, W) of the images.
        classes: how many there are.
        seed: of the initialisation.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "pixel network", name))
        return PIXEL_NETWORKS[name](shape, classes)
