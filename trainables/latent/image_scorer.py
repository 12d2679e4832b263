"""A set's images scored on the selection half: what a search can maximise in the place of the probe.

The probe and its round trip see a set through the encoder it was made for. A probe on another encoder (see
:mod:`trainables.latent.cross_encoder`) does not, and networks that learn from images (see
:mod:`trainables.latent.pixel_training`) know no encoder at all. A learned set's images are its decoded
points; real points have the real images.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trainables.latent.cache import Report
from trainables.latent.compute import choose_compute
from trainables.latent.config import EncoderConfig, LatentConfig
from trainables.latent.cross_encoder import decoded_images, fit_cross_probe, real_images
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.full_probe import full_probe
from trainables.latent.image_scoring import CROSS_ENCODER, PIXEL
from trainables.latent.latents import LatentData, prepare_latents
from trainables.latent.pixel_networks import FIELDS_OWN
from trainables.latent.pixel_recipe import PixelRecipe, pixel_augmentation
from trainables.latent.pixel_training import predict_images, train_pixel_networks
from trainables.latent.probe import LinearClassifier, accuracy, fit_probe
from trainables.latent.real_images import RealImages, load_real_images


@dataclass(frozen=True)
class Pixels:
    """What pixel networks need.

    Attributes:
        real: the images behind the latents.
        recipe: of their training.
        device: where they are trained.
    """

    real: RealImages
    recipe: PixelRecipe
    device: torch.device


def open_pixels(config: LatentConfig, passes: int, cache: Path, report: Report, device: str) -> Pixels:
    """Load the images of a dataset's split; opens no test data.

    Args:
        config: data and encoder; says how images are augmented.
        passes: over a set's images.
        device: as ``EncoderConfig.device`` names it.

    Raises:
        InputError: as :func:`~trainables.latent.datasets.load_train_pool`.
    """
    real = load_real_images(config.data, cache, report)
    height, width = real.items.shape[1:3]
    compute = choose_compute(dataclasses.replace(config.encoder, device=device), height * width)
    return Pixels(real, PixelRecipe(passes, pixel_augmentation(config.data, config.encoder)), compute.device)


def other_encoder(config: LatentConfig, seed: int) -> EncoderConfig:
    """The same settings from a seed that distillation never sees."""
    return dataclasses.replace(config.encoder, encoder_seed=seed)


def set_images(distilled: DistilledSet, data: LatentData, real: RealImages) -> Tensor:
    """(n, C, H, W) float32 in [0, 1]: the real ones of real points, else the decoded ones."""
    if distilled.indices is not None:
        return real_images(real.at(distilled.indices.numpy()))
    return decoded_images(distilled, data)


def cross_probe(distilled: DistilledSet, data: LatentData, other: LatentData) -> LinearClassifier:
    """The protocol's probe, trained on a set's images as another encoder sees them.

    Args:
        distilled: a set made of ``data``; what its real points are to the other encoder is known already.
        other: the other encoder's latents of the same data and split.

    Raises:
        FloatingPointError: the images are not finite.
    """
    targets = distilled.targets(len(data.class_names))
    if distilled.indices is not None:
        return fit_probe(other.train_x[distilled.indices], targets, other.reward_x, other.reward_y)
    return fit_cross_probe(decoded_images(distilled, data), targets, other)


@dataclass(frozen=True)
class ImageScorer:
    """Scores sets on the selection half. The same set, seed and number of threads give the same bits.

    Attributes:
        data: the latents that sets are made of.
        other: the other encoder's; ``None`` leaves that score out.
        pixels: ``None`` leaves the pixel network out.
    """

    data: LatentData
    other: LatentData | None
    pixels: Pixels | None

    def score(self, distilled: DistilledSet, seed: int) -> dict[str, float]:
        """Accuracies in [0, 1]: ``cross_encoder_accuracy`` and ``pixel_accuracy``, those that are asked for.

        Args:
            seed: of the pixel network. Trials that are compared share it: what differs is then the set.

        Raises:
            FloatingPointError: the images are not finite.
        """
        y = self.data.selection_y
        scores = {}
        if self.other is not None:
            probe = cross_probe(distilled, self.data, self.other)
            scores[CROSS_ENCODER] = accuracy(probe.predict(self.other.selection_x), y)
        if self.pixels is not None:
            images = set_images(distilled, self.data, self.pixels.real)
            targets = distilled.targets(len(self.data.class_names))
            recipe, device = self.pixels.recipe, self.pixels.device
            # The field's own network alone: the others would cost time, and nothing compares them here.
            [network] = train_pixel_networks(images, targets, recipe, seed, device, (FIELDS_OWN,)).values()
            scores[PIXEL] = accuracy(predict_images(network, self.pixels.real.of_selection_half()), y)
        return scores

    def chance(self) -> dict[str, float]:
        """The same of a set that diverged."""
        chance = 1.0 / len(self.data.class_names)
        asked = {CROSS_ENCODER: self.other, PIXEL: self.pixels}
        return {name: chance for name, needed in asked.items() if needed is not None}

    def of_full_data(self) -> dict[str, float]:
        """What all training data are worth to the other encoder; a pixel network of them would take hours."""
        if self.other is None:
            return {}
        predicted = full_probe(self.other).predict(self.other.selection_x)
        return {CROSS_ENCODER: accuracy(predicted, self.data.selection_y)}


def open_image_scorer(
    config: LatentConfig, data: LatentData, cache: Path, report: Report, device: str
) -> ImageScorer | None:
    """What scores the images that ``config`` asks scores of; ``None`` where it asks none.

    Args:
        data: the latents of ``config``.
        cache: holds the other encoder, which is trained where it is missing.
        device: where is computed, as ``EncoderConfig.device`` names it.

    Raises:
        InputError: as :func:`~trainables.latent.latents.prepare_latents`.
    """
    seed, passes = config.scoring.cross_encoder_seed, config.scoring.pixel_passes
    if not config.scoring.wanted:
        return None
    other = pixels = None
    if seed is not None:
        other = prepare_latents(config.data, other_encoder(config, seed), cache, report, codec_device=device)
    if passes is not None:
        pixels = open_pixels(config, passes, cache, report, device)
    return ImageScorer(data, other, pixels)
