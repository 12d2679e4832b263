"""Fresh networks trained on a distilled set's images alone, and what they make of real ones.

How they are trained stands in :mod:`trainables.latent.pixel_recipe`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.latent.encoders import Shape
from trainables.latent.minibatches import augment, in_order, to_images
from trainables.latent.momentum import Momentum
from trainables.latent.pixel_networks import PIXEL_NETWORKS, build_pixel_network
from trainables.latent.pixel_recipe import (
    BATCH,
    LAST_RATE,
    LEARNING_RATE,
    MOMENTUM,
    WEIGHT_DECAY,
    PixelRecipe,
)
from trainables.latent.probe import accuracy
from trainables.seeds import generator

_PREDICTION_BATCH = 256


def train_pixel_networks(
    images: Tensor,
    targets: Tensor,
    recipe: PixelRecipe,
    seed: int,
    device: torch.device | str = "cpu",
    kinds: Sequence[str] = tuple(PIXEL_NETWORKS),
) -> dict[str, nn.Module]:
    """Train one network of each of ``kinds``, from its own initialisation; the same bits for the same seed.

    Args:
        images: (n, C, H, W) float in [0, 1].
        targets: (n, classes) class probabilities (one-hot for hard labels).
        recipe: see there.
        seed: of initialisation, order and augmentation; each kind has streams of its own.
        device: where they are trained, and stay.
        kinds: names of ``PIXEL_NETWORKS``; what one of them comes to does not depend on the others.

    Returns:
        Trained networks in evaluation mode by name, in the order of ``kinds``.
    """
    shape: Shape = (images.shape[1], images.shape[2], images.shape[3])
    networks = {}
    for name in kinds:
        network = build_pixel_network(name, shape, targets.shape[1], seed).to(device)
        randomness = generator(seed, "pixel training", name)
        with _repeatable():
            _train(network, images.to(device), targets.float().to(device), recipe, randomness)
        networks[name] = network
    return networks


def _train(
    network: nn.Module, images: Tensor, targets: Tensor, recipe: PixelRecipe, randomness: torch.Generator
) -> None:
    optimiser = Momentum(network.parameters(), MOMENTUM, WEIGHT_DECAY)
    rows_last = images.permute(0, 2, 3, 1)  # (n, H, W, C), as `augment` takes them, whatever their dtype
    network.train()
    for done in range(recipe.passes):
        rate = LEARNING_RATE if 2 * done < recipe.passes else LAST_RATE
        order = torch.randperm(len(images), generator=randomness)
        for batch in torch.split(order.to(images.device), BATCH):
            shown = augment(rows_last[batch], recipe.augment, randomness)  # (B, H, W, C)
            loss = F.cross_entropy(network(shown.permute(0, 3, 1, 2)), targets[batch])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step(rate)
    network.eval()


@contextlib.contextmanager
def _repeatable() -> Iterator[None]:
    """A GPU's convolutions by an algorithm that adds up in the same order each time."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


@torch.inference_mode()
def predict_images(network: nn.Module, items: NDArray[np.uint8]) -> Tensor:
    """Classes of real images.

    Args:
        network: in evaluation mode, on any device.
        items: (n, H, W, C) uint8, as pools hold them; read batch by batch.

    Returns:
        (n,) int64 class indices, on the CPU.
    """
    device = next(network.parameters()).device
    predicted = []
    for rows in in_order(np.arange(len(items)), _PREDICTION_BATCH):
        batch = torch.from_numpy(np.ascontiguousarray(items[rows])).to(device)
        predicted.append(network(to_images(batch).contiguous()).argmax(1).cpu())
    return torch.cat(predicted)


def pixel_scores(predicted: Mapping[str, Tensor], y: Tensor) -> dict[str, float]:
    """Accuracies in [0, 1]: ``pixel_accuracy`` is the first network's, the field's own, and the other's and
    their mean have names of their own.

    Args:
        predicted: (k,) int64 class indices by each of ``PIXEL_NETWORKS``.
        y: (k,) int64.
    """
    return _named([accuracy(predicted[name], y) for name in PIXEL_NETWORKS])


def chance_pixel_scores(classes: int) -> dict[str, float]:
    """The same of a set that diverged, and so has no images: each at chance."""
    return _named([1.0 / classes for _ in PIXEL_NETWORKS])


def _named(accuracies: list[float]) -> dict[str, float]:
    suffixes = ["", *(f"_{name}" for name in list(PIXEL_NETWORKS)[1:]), "_mean"]
    values = [*accuracies, sum(accuracies) / len(accuracies)]
    return {f"pixel_accuracy{suffix}": value for suffix, value in zip(suffixes, values, strict=True)}
