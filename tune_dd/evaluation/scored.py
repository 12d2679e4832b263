"""Scores of one row of an evaluation, run by run on each encoder, and what they come to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tune_dd.evaluation.intervals import Estimate, Hits, estimate, paired_difference

PROBE = "probe_accuracy"


@dataclass(frozen=True)
class Scored:
    """Scores, hits and accuracies by class of one row, a list entry per encoder.

    ``image_scores`` holds the values of each metric over its runs, which may be more than the probe's, and
    ``image_hits`` those of the metric that each reading is named by.
    """

    scores: list[list[dict[str, float]]] = field(default_factory=list)
    hits: list[Hits] = field(default_factory=list)
    per_class: list[list[float | None]] = field(default_factory=list)
    image_scores: list[dict[str, list[float]]] = field(default_factory=list)
    image_hits: list[dict[str, Hits]] = field(default_factory=list)

    def add_images(self, readings: Sequence[tuple[Sequence[Mapping[str, float]], Hits]]) -> None:
        """Scores of the runs, and hits, of every reading of a row's images on one encoder."""
        self.image_scores.append(by_metric([scores for scores, _ in readings]))
        self.image_hits.append({next(iter(scores[0])): hits for scores, hits in readings})


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


def difference(chosen: Scored, other: Scored, metric: str) -> dict[str, Any] | None:
    """How much more often the chosen row is right by a metric, with the interval and the verdict.

    Args:
        metric: ``probe_accuracy``, or a score of images; ``None`` is returned of a row that has none.
    """
    ours, theirs = (_hits(row, metric) for row in (chosen, other))
    if ours is None or theirs is None:
        return None
    found = paired_difference(ours, theirs)
    return {**dataclasses.asdict(found), "verdict": found.verdict}


def _hits(scored: Scored, metric: str) -> list[Hits] | None:
    if metric == PROBE:
        return scored.hits
    own = [by_name.get(metric) for by_name in scored.image_hits]
    return None if any(one is None for one in own) else [one for one in own if one is not None]
