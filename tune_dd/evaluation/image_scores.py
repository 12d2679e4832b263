"""What a row's images are worth: to networks that learn from them alone, and to another encoder.

The probe and its round trip see a set through the encoder it was made for. These scores do not: pixel
networks (see :mod:`trainables.latent.pixel_training`) know no encoder, and the cross-encoder probe (see
:mod:`trainables.latent.cross_encoder`) another one. A learned set's images are its decoded points; a
control of real points has the real images.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.errors import InputError
from trainables.latent.cache import Report, content_key
from trainables.latent.controls import FULL_DATA
from trainables.latent.cross_encoder import decoded_images, fit_cross_probe, real_images
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.full_probe import full_probe
from trainables.latent.latents import LatentData
from trainables.latent.pixel_networks import PIXEL_NETWORKS
from trainables.latent.pixel_recipe import PixelRecipe
from trainables.latent.pixel_training import (
    chance_pixel_scores,
    pixel_scores,
    predict_images,
    train_pixel_networks,
)
from trainables.latent.probe import LinearClassifier, accuracy
from tune_dd.evaluation.confirmation import Frozen
from tune_dd.evaluation.intervals import Hits
from tune_dd.runs.real_images import RealImages

CROSS_ENCODER = "cross_encoder_accuracy"


@dataclass(frozen=True)
class ImageScoring:
    """Which of these scores are asked for.

    Attributes:
        pixel_passes: passes of the pixel networks over a set's images; ``None`` leaves them out.
        cross_encoder_seed: seed of the other encoder; ``None`` leaves it out.
    """

    pixel_passes: int | None = None
    cross_encoder_seed: int | None = None

    @property
    def wanted(self) -> bool:
        return self.pixel_passes is not None or self.cross_encoder_seed is not None

    def refuse_features(self, where: str) -> None:
        """To be asked where features take the place of an encoder.

        Raises:
            InputError: any of these scores is wanted.
        """
        for flag, value in (("pixel", self.pixel_passes), ("cross-encoder-seed", self.cross_encoder_seed)):
            if value is not None:
                raise InputError(
                    f"--{flag} is given for {where}",
                    "features were computed elsewhere, so there is neither a decoder nor an image to score",
                    "leave it out",
                )

    def refuse_own_encoder(self, encoder_seeds: Sequence[int], where: str) -> None:
        """Hold the other encoder's seed against those that sets are made with.

        Raises:
            InputError: it is one of them.
        """
        if self.cross_encoder_seed in encoder_seeds:
            raise InputError(
                f"--cross-encoder-seed is {self.cross_encoder_seed} for {where}",
                "distillation sees the encoder of that seed, so it is no other",
                f"give another one, such as {max(encoder_seeds) + 1}",
            )


@dataclass(frozen=True)
class Unseen:
    """Items that no reading learned from.

    Attributes:
        images: (k, H, W, C) uint8; may be left out, (0, H, W, C), where no pixel networks are asked.
        y: (k,) int64.
        other_x: (k, d) by the other encoder, where there is one.
    """

    images: NDArray[np.uint8]
    y: Tensor
    other_x: Tensor | None = None


class ImageReadings(Protocol):
    """One kind of score of one row, frozen: its classifiers are fitted, never to change again.

    Attributes:
        identity: a hash of all that determines them; test is read once per identity.
    """

    @property
    def identity(self) -> str: ...

    def read(self, unseen: Unseen) -> tuple[list[dict[str, float]], Hits]:
        """Scores of each run by name, and (runs, k) which items its first classifier gets right."""
        ...


@dataclass(frozen=True)
class PixelReadings:
    """Networks that learned from a row's images, one of each kind per seed.

    Also where every seed gives the same set: networks differ by their initialisation all the same.

    Attributes:
        identity: see :class:`ImageReadings`.
        classes: how many there are.
        runs: trained networks by name; ``None`` for a run that diverged.
    """

    identity: str
    classes: int
    runs: tuple[dict[str, nn.Module] | None, ...]

    def read(self, unseen: Unseen) -> tuple[list[dict[str, float]], Hits]:
        """See :class:`ImageReadings`."""
        scores, hits = [], []
        for networks in self.runs:
            if networks is None:
                scores.append(chance_pixel_scores(self.classes))
                hits.append(np.zeros(len(unseen.y), dtype=bool))
                continue
            predicted = {name: predict_images(network, unseen.images) for name, network in networks.items()}
            scores.append(pixel_scores(predicted, unseen.y))
            hits.append((predicted[next(iter(PIXEL_NETWORKS))] == unseen.y).numpy())
        return scores, np.stack(hits)


@dataclass(frozen=True)
class CrossReadings:
    """Probes that learned a row's images as the other encoder sees them.

    Attributes:
        identity: see :class:`ImageReadings`.
        classes: how many there are.
        runs: one per run of the row; ``None`` for a run that diverged.
    """

    identity: str
    classes: int
    runs: tuple[LinearClassifier | None, ...]

    def read(self, unseen: Unseen) -> tuple[list[dict[str, float]], Hits]:
        """See :class:`ImageReadings`."""
        assert unseen.other_x is not None
        scores, hits = [], []
        for probe in self.runs:
            if probe is None:
                scores.append({CROSS_ENCODER: 1.0 / self.classes})
                hits.append(np.zeros(len(unseen.y), dtype=bool))
                continue
            predicted = probe.predict(unseen.other_x)
            scores.append({CROSS_ENCODER: accuracy(predicted, unseen.y)})
            hits.append((predicted == unseen.y).numpy())
        return scores, np.stack(hits)


@dataclass(frozen=True)
class ImageFreezer:
    """Fits the readings of one encoder's rows.

    Attributes:
        data: the latents that the rows were made of.
        real: the images behind them.
        other: the other encoder's latents; ``None`` leaves the cross-encoder probe out.
        recipe: of the pixel networks; ``None`` leaves them out.
        seeds: of the rows' runs, and of the pixel networks.
        device: where pixel networks are trained.
    """

    data: LatentData
    real: RealImages
    other: LatentData | None
    recipe: PixelRecipe | None
    seeds: Sequence[int]
    device: torch.device

    def unseen(self) -> Unseen:
        """The selection half."""
        images = self.real.items[:0] if self.recipe is None else self.real.of_selection_half()
        other_x = None if self.other is None else self.other.selection_x
        return Unseen(images, self.data.selection_y, other_x)

    def freeze(self, rows: Mapping[str, Frozen], report: Report) -> dict[str, tuple[ImageReadings, ...]]:
        """Readings of every row, by its name.

        Full data have no pixel networks, which would cost more than all other rows together.
        """
        frozen = {}
        for name, row in rows.items():
            found: list[ImageReadings] = []
            if self.other is not None:
                found.append(self._cross(row, self.other))
            if self.recipe is not None and name != FULL_DATA:
                started = time.process_time()
                found.append(self._pixel(row, self.recipe))
                spent = time.process_time() - started
                report(f"{name}: pixel networks of {len(self.seeds)} seeds, {spent:.1f} s of CPU")
            frozen[name] = tuple(found)
        return frozen

    def images(self, distilled: DistilledSet) -> Tensor:
        """(n, C, H, W) float32 in [0, 1]: the real ones of real points, else the decoded ones."""
        if distilled.indices is not None:
            return real_images(self.real.at(distilled.indices.numpy()))
        return decoded_images(distilled, self.data)

    def _cross(self, row: Frozen, other: LatentData) -> CrossReadings:
        if row.name == FULL_DATA:
            runs: tuple[LinearClassifier | None, ...] = (full_probe(other),)
        else:
            sets = [None if run is None else run.distilled for run in row.runs]
            runs = tuple(
                None if one is None else fit_cross_probe(self.images(one), one.targets(row.classes), other)
                for one in sets
            )
        return CrossReadings(
            content_key({"row": row.identity, "other encoder": other.key}), row.classes, runs
        )

    def _pixel(self, row: Frozen, recipe: PixelRecipe) -> PixelReadings:
        # A row that is the same for every seed was fitted once; its networks still differ.
        runs = row.runs if len(row.runs) > 1 else row.runs * len(self.seeds)
        trained: list[dict[str, nn.Module] | None] = []
        for seed, run in zip(self.seeds, runs, strict=True):
            if run is None:
                trained.append(None)
                continue
            images, targets = self.images(run.distilled), run.distilled.targets(row.classes)
            trained.append(train_pixel_networks(images, targets, recipe, seed, self.device))
        settings = {"passes": recipe.passes, "augment": recipe.augment, "seeds": list(self.seeds)}
        identity = content_key({"row": row.identity, "pixel networks": settings})
        return PixelReadings(identity, row.classes, tuple(trained))
