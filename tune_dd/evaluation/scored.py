"""Scores of one row of an evaluation, run by run on each encoder, and what they come to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tune_dd.evaluation.intervals import Estimate, Hits, estimate, paired_difference


@dataclass(frozen=True)
class Scored:
    """Scores, hits and accuracies by class of one row, a list entry per encoder.

    ``image_scores`` holds the values of each metric over its runs, which may be more than the probe's.
    """

    scores: list[list[dict[str, float]]]
    hits: list[Hits]
    per_class: list[list[float | None]]
    image_scores: list[dict[str, list[float]]]


def class_accuracies(hits: Hits, y: NDArray[np.int64], classes: int) -> list[float | None]:
    """Mean over runs of (runs, items) hits by class of (items,) labels; ``None`` where there is no item."""
    return [float(hits[:, y == c].mean()) if (y == c).any() else None for c in range(classes)]


def by_metric(read: Sequence[Sequence[Mapping[str, float]]]) -> dict[str, list[float]]:
    """Scores of the runs of several readings -> values over runs by metric."""
    return {metric: [run[metric] for run in runs] for runs in read for metric in runs[0]}


def by_class(scored: Scored, names: Sequence[str]) -> dict[str, float | None]:
    """Accuracy of the probe by class, mean over encoders."""
    columns = zip(*scored.per_class, strict=True)
    means = [None if None in column else float(np.mean(column)) for column in columns]
    return dict(zip(names, means, strict=True))


def estimates(scored: Scored) -> dict[str, dict[str, Any]]:
    """Per metric: mean, standard deviation, 95% interval and the values."""
    metrics = [*scored.scores[0][0], *scored.image_scores[0]]
    return {metric: _plain(_estimate(scored, metric)) for metric in metrics}


def _estimate(scored: Scored, metric: str) -> Estimate:
    """Over seeds; with several encoders over their means, since runs on one encoder are not independent."""
    if metric in scored.image_scores[0]:
        per_encoder = [values[metric] for values in scored.image_scores]
    else:
        per_encoder = [[run[metric] for run in runs] for runs in scored.scores]
    if len(per_encoder) == 1:
        return estimate(per_encoder[0])
    return estimate([float(np.mean(values)) for values in per_encoder])


def mean_score(scored: Scored, metric: str) -> float:
    """What rows are compared by; 0 where it is measured for none of them, as the round trip of features."""
    measured = metric in scored.scores[0][0] or metric in scored.image_scores[0]
    return _estimate(scored, metric).mean if measured else 0.0


def _plain(found: Estimate) -> dict[str, Any]:
    """JSON has no NaN: a single value's missing interval is ``None``."""
    return {key: None if value != value else value for key, value in dataclasses.asdict(found).items()}


def difference(chosen: Scored, other: Scored) -> dict[str, Any]:
    """How much more often the chosen row's probe is right, with its interval and verdict."""
    found = paired_difference(chosen.hits, other.hits)
    return {**dataclasses.asdict(found), "verdict": found.verdict}
