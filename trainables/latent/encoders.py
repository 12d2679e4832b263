"""The interface of all encoders: image to latent, latent to image, latent to class.

An image is (n, C, H, W) float in [0, 1]. A latent is (n, d) float, each dimension normalised over the
batches of training, so that a squared distance of d between two latents is "far" for every encoder.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

Shape = tuple[int, int, int]
"""(C, H, W) of an image."""
PROBE_EVERY = 8
"""One of so many images of a batch gives a probe: not its first ones, which are of one class, as a batch is
sorted."""


class ConvNorm(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))

    def fuse(self) -> None:
        """Fold the norm into the convolution: the same function, cheaper; not to be trained further."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = nn.utils.fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())
            self.norm = nn.Identity()


class ImageDecoder(nn.Module):
    """Latent to image of exactly the wanted size.

    A linear layer gives a grid of about 4 x 4, each stage doubles it and halves the channels. The last
    doubling is a pixel shuffle: full-resolution convolutions would cost more than all other stages
    together. What the doublings overshoot on odd sizes is cropped.

    Args:
        latent_dim: size of a latent.
        shape: (C, H, W) of the image.
        width: channels of the first grid.
    """

    def __init__(self, latent_dim: int, shape: Shape, width: int = 128) -> None:
        super().__init__()
        self.shape = shape
        doublings = halvings(shape)
        rows, columns = (math.ceil(side / 2**doublings) for side in shape[1:])
        self.grid = (width, rows, columns)
        self.unfold = nn.Linear(latent_dim, width * rows * columns)
        stages: list[nn.Module] = []
        for _ in range(doublings - 1):
            narrower = max(width // 2, 16)
            stages += [nn.Upsample(scale_factor=2), ConvNorm(width, narrower)]
            width = narrower
        self.stages = nn.Sequential(*stages)
        self.paint = nn.Sequential(nn.Conv2d(width, 4 * shape[0], 3, 1, 1), nn.PixelShuffle(2))

    def forward(self, z: Tensor) -> Tensor:
        """(n, d) -> (n, C, H, W) in [0, 1]."""
        x = torch.relu(self.unfold(z)).view(-1, *self.grid).contiguous(memory_format=torch.channels_last)
        x = self.paint(self.stages(x))
        return torch.sigmoid(x[..., : self.shape[1], : self.shape[2]].float())


def halvings(shape: Shape) -> int:
    """How often an image is halved until its shorter side is at most 6 (so 4 to 6, from 8 on)."""
    return max(1, math.ceil(math.log2(min(shape[1:]) / 6)))


class TrainingOutputs(NamedTuple):
    """What :meth:`LatentNetwork.forward` gives for n images, and k probes where noise is given."""

    latents: Tensor  # (n, d)
    reconstructions: Tensor  # (n, C, H, W) in [0, 1]
    logits: Tensor  # (n, classes)
    probes: Tensor  # (k, d): latents with noise added
    probe_images: Tensor  # (k, C, H, W): the probes, decoded


class LatentNetwork(nn.Module):
    """Encoder, decoder and linear classifier head; subclasses give :meth:`features`.

    Args:
        feature_dim: size of what :meth:`features` returns.
        latent_dim: size of a latent.
        shape: (C, H, W) of the images.
        n_classes: outputs of the head.
    """

    def __init__(self, feature_dim: int, latent_dim: int, shape: Shape, n_classes: int) -> None:
        super().__init__()
        self.shape = shape
        self.latent_dim = latent_dim
        self.project = nn.Linear(feature_dim, latent_dim, bias=False)
        self.normalise = nn.BatchNorm1d(latent_dim, affine=False)
        self.decoder = ImageDecoder(latent_dim, shape)
        self.head = nn.Linear(latent_dim, n_classes)

    def features(self, images: Tensor) -> Tensor:
        """(n, C, H, W) in [0, 1] -> (n, feature_dim)."""
        raise NotImplementedError

    def encode(self, images: Tensor) -> Tensor:
        """(n, C, H, W) in [0, 1] -> (n, d)."""
        return self.latents(self.features(images))

    def latents(self, features: Tensor) -> Tensor:
        """(n, feature_dim) -> (n, d)."""
        return self.normalise(self.project(features).float())  # type: ignore[no-any-return]

    def forward(self, images: Tensor, noise: Tensor | None, features: Tensor | None) -> TrainingOutputs:
        """All that a training step needs in one call, as several GPUs want it.

        Every input has a row for each image, so that several GPUs cut all of them at the same rows.

        Args:
            images: (n, C, H, W) in [0, 1].
            noise: (n, d), added to every :data:`PROBE_EVERY`-th latent to get latents that no image has.
            features: (n, f), where :meth:`features` was taken of the images before.
        """
        z = self.latents(self.features(images) if features is None else features)
        probes = z[:0] if noise is None else z[::PROBE_EVERY].detach() + noise[::PROBE_EVERY]
        decoded = self.decoder(torch.cat([z, probes]))
        return TrainingOutputs(z, decoded[: len(z)], self.head(z), probes, decoded[len(z) :])

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Those between image and latent."""
        others = {id(parameter) for part in (self.decoder, self.head) for parameter in part.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in others]

    def fuse(self) -> None:
        """Fold batch norms into convolutions, for inference."""
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fuse()
