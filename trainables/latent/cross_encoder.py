"""A distilled set's images, read by an encoder that distillation never saw.

The round trip decodes points and encodes them again with their own encoder, so it cannot tell an image
that shows its class from one that merely moves that encoder, as adversarial examples do. Another
encoder, of the same settings from another seed, is not moved by what was made for the first. The check
takes its idea from the tables of transfer between architectures in the field's papers (Zhao, Mopuri & Bilen,
"Dataset Condensation with Gradient Matching", ICLR 2021, table 2), with the protocol's probe in the place
of networks trained from scratch.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.latent.distilled_set import DistilledSet
from trainables.latent.latents import LatentData
from trainables.latent.minibatches import to_images
from trainables.latent.probe import LinearClassifier, fit_probe

_BATCH = 256


@torch.no_grad()
def decoded_images(distilled: DistilledSet, data: LatentData) -> Tensor:
    """What the set's own decoder shows of its points: (n, C, H, W) float32 in [0, 1].

    Args:
        distilled: a set made of ``data``.
        data: with a decoder.
    """
    assert data.codec is not None  # features are refused before
    return torch.cat([data.codec.decode(points) for points in torch.split(distilled.x, _BATCH)])


def real_images(items: NDArray[np.uint8]) -> Tensor:
    """Selected images as networks take them: (n, H, W, C) uint8 -> (n, C, H, W) float32 in [0, 1]."""
    return to_images(torch.from_numpy(items)).contiguous()


@torch.no_grad()
def fit_cross_probe(images: Tensor, targets: Tensor, other: LatentData) -> LinearClassifier:
    """The protocol's probe, trained on images as another encoder sees them.

    Args:
        images: (n, C, H, W) float in [0, 1], decoded or real ones.
        targets: (n, classes) class probabilities (one-hot for hard labels).
        other: the other encoder's latents of the same data and split; their reward half picks the penalty.

    Returns:
        A classifier of the other encoder's latents.
    """
    assert other.codec is not None
    latents = torch.cat([other.codec.encode(batch) for batch in torch.split(images, _BATCH)])  # (n, d)
    return fit_probe(latents, targets, other.reward_x, other.reward_y)
