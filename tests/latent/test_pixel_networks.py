"""Networks trained on images alone: their size, what they must and must not learn, and that they repeat."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.cross_encoder import real_images
from trainables.latent.pixel_networks import PIXEL_NETWORKS, build_pixel_network
from trainables.latent.pixel_recipe import PixelRecipe, pixel_augmentation
from trainables.latent.pixel_training import (
    chance_pixel_scores,
    pixel_scores,
    predict_images,
    train_pixel_networks,
)
from trainables.latent.probe import one_hot

CORNERS = 4


def corner_images(per_class: int, seed: int) -> tuple[NDArray[np.uint8], torch.Tensor]:
    """Noise with a bright square in one of four corners, (n, 8, 8, 1) uint8, and which corner, (n,)."""
    rng = np.random.default_rng(seed)
    y = np.tile(np.arange(CORNERS), per_class)
    images = rng.integers(0, 60, (len(y), 8, 8, 1)).astype(np.uint8)
    for image, corner in zip(images, y, strict=True):
        top, left = 5 * (corner // 2), 5 * (corner % 2)
        image[top : top + 3, left : left + 3] = 230
    return images, torch.from_numpy(y)


def accuracies(y_train: torch.Tensor) -> dict[str, float]:
    """Scores on fresh images of networks that learned from eight images a corner with these labels."""
    images, _ = corner_images(8, seed=0)
    unseen, y = corner_images(25, seed=1)
    networks = train_pixel_networks(real_images(images), one_hot(y_train, CORNERS), PixelRecipe(40), seed=0)
    return pixel_scores({name: predict_images(network, unseen) for name, network in networks.items()}, y)


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        ((3, 32, 32), 320_010),  # the papers' ConvNet-3 for CIFAR-10
        ((1, 8, 8), 22_026),  # one block: 128 * (9 + 1) + 256 + (128 * 16 + 1) * 10
        ((3, 64, 64), 467_850),  # four blocks, as they have it for Tiny ImageNet: 147,840 more
        ((3, 20, 30), 196_490),  # two blocks, 5 x 7 left
    ],
)
def test_convnet_has_the_papers_size(shape: tuple[int, int, int], parameters: int) -> None:
    network = build_pixel_network("convnet", shape, 10, seed=0)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert network(torch.rand(2, *shape)).shape == (2, 10)


def test_mlp_has_the_papers_size() -> None:
    network = build_pixel_network("mlp", (3, 32, 32), 10, seed=0)
    assert sum(parameter.numel() for parameter in network.parameters()) == 411_146
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_separable_images_are_learned_whole() -> None:
    assert set(accuracies(corner_images(8, seed=0)[1]).values()) == {1.0}


def test_labels_that_say_nothing_teach_nothing() -> None:
    """Each corner gets each label twice."""
    y = corner_images(8, seed=0)[1]
    turned = (y + torch.arange(len(y)) // CORNERS) % CORNERS
    found = accuracies(turned)
    assert all(value < 0.5 for value in found.values())


@pytest.mark.parametrize("name", PIXEL_NETWORKS)
def test_the_same_seed_gives_the_same_bits(name: str) -> None:
    images, y = corner_images(3, seed=0)
    torch.manual_seed(0)

    def trained(seed: int) -> list[torch.Tensor]:
        torch.rand(1)  # the global stream must neither matter nor move
        before = torch.random.get_rng_state()
        networks = train_pixel_networks(
            real_images(images), one_hot(y, CORNERS), PixelRecipe(3, "shift-flip"), seed
        )
        assert torch.equal(before, torch.random.get_rng_state())
        return [parameter.detach() for parameter in networks[name].parameters()]

    once, again, other = trained(5), trained(5), trained(6)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    assert not torch.equal(once[0], other[0])


def test_soft_labels_count() -> None:
    """Labels that are spread evenly over all classes are learned as such: no network is sure of anything."""
    images, y = corner_images(5, seed=0)
    even = torch.full((len(y), CORNERS), 1 / CORNERS, dtype=torch.float64)
    networks = train_pixel_networks(real_images(images), even, PixelRecipe(40), seed=0)
    for network in networks.values():
        assert float(network(real_images(images)).softmax(1).max().detach()) < 0.4


def test_scores_are_named_by_network() -> None:
    y = torch.tensor([0, 1, 1, 0])
    found = pixel_scores({"convnet": y, "mlp": torch.tensor([0, 1, 0, 1])}, y)
    assert found == {"pixel_accuracy": 1.0, "pixel_accuracy_mlp": 0.5, "pixel_accuracy_mean": 0.75}
    assert chance_pixel_scores(4) == dict.fromkeys(found, 0.25)


def test_digits_are_not_mirrored() -> None:
    encoder = EncoderConfig()
    assert pixel_augmentation(DataConfig(), encoder) == "shift"
    assert pixel_augmentation(DataConfig(dataset="cifar10"), encoder) == "shift-flip"
    assert pixel_augmentation(DataConfig(dataset="cifar10"), EncoderConfig(augment="none")) == "none"
