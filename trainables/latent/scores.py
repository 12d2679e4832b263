"""Scores of a distilled set: readings are fitted first, on train and reward data, then scored.

The two halves are kept apart so that the data a score is taken on cannot reach what is fitted:
a search scores on the selection half, ``evaluate`` scores the same readings on test.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.latent.distilled_set import DistilledSet
from trainables.latent.latents import LatentData
from trainables.latent.probe import LinearClassifier, accuracy, fit_probe, fit_ridge, nearest_neighbour


@dataclass(frozen=True)
class Readings:
    """Classifiers that learned from one distilled set.

    Attributes:
        probe: the protocol's logistic regression; what methods are ranked by.
        ridge: ridge regression on the targets.
        roundtrip: the probe trained on decoded and re-encoded points; ``None`` without a decoder, and for
            the full data.
        distilled: the set itself, for the nearest neighbour.
    """

    probe: LinearClassifier
    ridge: LinearClassifier
    roundtrip: LinearClassifier | None
    distilled: DistilledSet


def fit_readings(distilled: DistilledSet, data: LatentData) -> Readings:
    """Train every classifier on the distilled set alone; the reward half picks penalties.

    Raises:
        FloatingPointError: if the set, or its decoded and re-encoded form, is not finite.
    """
    targets = distilled.targets(len(data.class_names))
    return Readings(
        probe=fit_probe(distilled.x, targets, data.reward_x, data.reward_y),
        ridge=fit_ridge(distilled.x, targets, data.reward_x, data.reward_y),
        roundtrip=None if data.codec is None else fit_roundtrip(distilled, data),
        distilled=distilled,
    )


@torch.no_grad()
def fit_roundtrip(distilled: DistilledSet, data: LatentData) -> LinearClassifier:
    """The protocol's probe, trained on the set's points decoded and encoded again; there must be a decoder.

    Raises:
        FloatingPointError: if they are not finite.
    """
    assert data.codec is not None
    reencoded = data.codec.roundtrip(distilled.x)
    return fit_probe(reencoded, distilled.targets(len(data.class_names)), data.reward_x, data.reward_y)


def per_class_accuracy(predicted: Tensor, y: Tensor, classes: int) -> list[float]:
    """Recall of each class, in [0, 1]; NaN where ``y`` holds no such class."""
    hits = torch.bincount(y[predicted == y], minlength=classes).double()
    return [float(share) for share in hits / torch.bincount(y, minlength=classes)]


def score_readings(readings: Readings, x: Tensor, y: Tensor, full_accuracy: float) -> dict[str, float]:
    """All scores on items that the readings never saw.

    Args:
        x, y: (k, d) and (k,) the selection half, or test.
        full_accuracy: of the probe trained on all training latents, on the same items.

    Returns:
        Accuracies in [0, 1], ``gap_to_full`` in [-1, 1] (positive: below the full-data probe),
        ``size_bytes``, and ``roundtrip_accuracy`` unless it was not measured, as without a decoder.
    """
    classes = readings.probe.weights.shape[1]
    predicted = readings.probe.predict(x)
    probe_accuracy = accuracy(predicted, y)
    recalls = [recall for recall in per_class_accuracy(predicted, y, classes) if recall == recall]
    neighbours = nearest_neighbour(readings.distilled.x, readings.distilled.y, x)
    return {
        "probe_accuracy": probe_accuracy,
        **({"roundtrip_accuracy": accuracy(readings.roundtrip.predict(x), y)} if readings.roundtrip else {}),
        "ridge_accuracy": accuracy(readings.ridge.predict(x), y),
        "nn_accuracy": accuracy(neighbours, y),
        "balanced_accuracy": sum(recalls) / len(recalls),
        "reward_accuracy": readings.probe.reward_accuracy,
        "gap_to_full": full_accuracy - probe_accuracy,
        "size_bytes": float(readings.distilled.size_bytes),
    }


def chance_scores(
    classes: int, full_accuracy: float, size_bytes: int, *, has_decoder: bool
) -> dict[str, float]:
    """What a diverged set is worth: every accuracy at chance, so that rankings stay defined.

    Without a decoder there is no round trip, as in :func:`score_readings`.
    """
    chance = 1.0 / classes
    names = ("probe", *(["roundtrip"] if has_decoder else []), "ridge", "nn", "balanced", "reward")
    return {
        **{f"{name}_accuracy": chance for name in names},
        "gap_to_full": full_accuracy - chance,
        "size_bytes": float(size_bytes),
    }
