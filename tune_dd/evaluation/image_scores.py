"""What a row's images are worth: to networks that learn from them alone, and to another encoder.

The probe and its round trip see a set through the encoder it was made for. These scores do not: pixel
networks (see :mod:`trainables.latent.pixel_training`) know no encoder, and the cross-encoder probe (see
:mod:`trainables.latent.cross_encoder`) another one. A learned set's images are its decoded points; a
control of real points has the real images.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.latent.cache import Report, content_key
from trainables.latent.controls import FULL_DATA
from trainables.latent.full_probe import full_probe
from trainables.latent.image_scorer import Pixels, cross_probe, set_images
from trainables.latent.image_scoring import CROSS_ENCODER
from trainables.latent.latents import LatentData
from trainables.latent.pixel_networks import PIXEL_NETWORKS
from trainables.latent.pixel_training import (
    chance_pixel_scores,
    pixel_scores,
    predict_images,
    train_pixel_networks,
)
from trainables.latent.probe import LinearClassifier, accuracy
from tune_dd.evaluation.confirmation import Frozen
from tune_dd.evaluation.intervals import Hits


@dataclass(frozen=True)
class Unseen:
    """Items that no reading learned from.

    Attributes:
        images: (k, H, W, C) uint8; ``None`` where no pixel networks are asked.
        y: (k,) int64.
        other_x: (k, d) by the other encoder, where there is one.
    """

    images: NDArray[np.uint8] | None
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
        assert unseen.images is not None
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
        other: the other encoder's latents; ``None`` leaves the cross-encoder probe out.
        pixels: what pixel networks need; ``None`` leaves them out.
        seeds: of the rows' runs, and of the pixel networks.
    """

    data: LatentData
    other: LatentData | None
    pixels: Pixels | None
    seeds: Sequence[int]

    def unseen(self) -> Unseen:
        """The selection half."""
        images = None if self.pixels is None else self.pixels.real.of_selection_half()
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
            if self.pixels is not None and name != FULL_DATA:
                started = time.process_time()
                found.append(self._pixel(row, self.pixels))
                spent = time.process_time() - started
                report(f"{name}: pixel networks of {len(self.seeds)} seeds, {spent:.1f} s of CPU")
            frozen[name] = tuple(found)
        return frozen

    def _cross(self, row: Frozen, other: LatentData) -> CrossReadings:
        if row.name == FULL_DATA:
            runs: tuple[LinearClassifier | None, ...] = (full_probe(other),)
        else:
            sets = [None if run is None else run.distilled for run in row.runs]
            runs = tuple(None if one is None else cross_probe(one, self.data, other) for one in sets)
        return CrossReadings(
            content_key({"row": row.identity, "other encoder": other.key}), row.classes, runs
        )

    def _pixel(self, row: Frozen, pixels: Pixels) -> PixelReadings:
        # A row that is the same for every seed was fitted once; its networks still differ.
        runs = row.runs if len(row.runs) > 1 else row.runs * len(self.seeds)
        trained: list[dict[str, nn.Module] | None] = []
        for seed, run in zip(self.seeds, runs, strict=True):
            if run is None:
                trained.append(None)
                continue
            images = set_images(run.distilled, self.data, pixels.real)
            targets = run.distilled.targets(row.classes)
            trained.append(train_pixel_networks(images, targets, pixels.recipe, seed, pixels.device))
        settings = {**dataclasses.asdict(pixels.recipe), "seeds": list(self.seeds)}
        identity = content_key({"row": row.identity, "pixel networks": settings})
        return PixelReadings(identity, row.classes, tuple(trained))
