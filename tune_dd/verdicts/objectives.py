"""What sets are compared by: classifiers that learn from a set alone, and whose latents they read.

An objective is fitted once, when its set is made; from then on it is frozen and reads the halves of
validation, or test, as its encoder sees them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from trainables.latent.cross_encoder import decoded_images, fit_cross_probe
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.latents import LatentData
from trainables.latent.probe import LinearClassifier, fit_probe
from trainables.latent.scores import fit_roundtrip
from tune_dd.evaluation.intervals import Hits


@dataclass(frozen=True)
class Objective:
    """One score of a set.

    Attributes:
        words: in a heading.
        fit: a classifier from a set, the latents it was made of, and the latents that are read (those of
            another encoder, or the same).
        decodes: whether it needs a decoder.
        other_encoder: whether items are read as an encoder sees them that distillation never saw.
    """

    words: str
    fit: Callable[[DistilledSet, LatentData, LatentData], LinearClassifier]
    decodes: bool = True
    other_encoder: bool = False


def _fit_direct(distilled: DistilledSet, data: LatentData, read: LatentData) -> LinearClassifier:
    targets = distilled.targets(len(data.class_names))
    return fit_probe(distilled.x, targets, read.reward_x, read.reward_y)


def _fit_roundtrip(distilled: DistilledSet, data: LatentData, read: LatentData) -> LinearClassifier:
    return fit_roundtrip(distilled, data)


def _fit_cross(distilled: DistilledSet, data: LatentData, read: LatentData) -> LinearClassifier:
    return fit_cross_probe(decoded_images(distilled, data), distilled.targets(len(data.class_names)), read)


OBJECTIVES = {
    "probe_accuracy": Objective("probe", _fit_direct, decodes=False),
    "roundtrip_accuracy": Objective("round trip", _fit_roundtrip),
    "cross_encoder_accuracy": Objective("other encoder", _fit_cross, other_encoder=True),
}
"""By the name of the score in a summary."""


def hits(classifier: LinearClassifier | None, x: Tensor, y: Tensor) -> Hits:
    """(k,) which items (k, d) with labels (k,) are classified rightly; none by what has diverged."""
    if classifier is None:
        return np.zeros(len(y), dtype=bool)
    return np.asarray((classifier.predict(x) == y).cpu().numpy(), dtype=bool)
