"""Many paired comparisons at once, on the same draws and with intervals that hold together.

Whoever compares a method with a dozen others finds one of them beaten by luck alone. The intervals here
are widened for their number (Bonferroni's correction), so that with 95% confidence all of them hold the
truth; the bootstrap is that of :func:`~tune_dd.evaluation.intervals.paired_difference`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tune_dd.evaluation.intervals import Difference, Hits

SAMPLES = 10_000
CONFIDENCE = 0.95
# Draws held in memory together: with ten thousand items, 20 MB of counts.
_CHUNK = 500

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Compared:
    """How much more often A is right than B.

    Attributes:
        corrected: with the interval that holds together with those of all other comparisons; better, worse
            or no difference found is read off it.
        plain: the same difference with its own 95% interval.
    """

    corrected: Difference
    plain: Difference


def compare(
    rows: Mapping[str, Sequence[Hits]], pairs: Sequence[tuple[str, str]], comparisons: int, seed: int = 0
) -> list[Compared]:
    """Compare pairs of rows that were scored on the same items, with the same encoders and seeds.

    Encoders, the seeds of each drawn one, and items are drawn with replacement, each draw once for all rows.

    Args:
        rows: for each name and each encoder (seeds, items) hits; rows that do not depend on the seed have
            one run an encoder.
        pairs: names of A and B.
        comparisons: how many the intervals hold together with, those of other calls included.
        seed: of the resampling.

    Returns:
        One entry a pair.

    Raises:
        ValueError: where the shapes do not pair.
    """
    means = bootstrap_means(rows, seed)
    observed = {name: float(np.mean([hits.mean() for hits in runs])) for name, runs in rows.items()}
    outside = 1 - CONFIDENCE
    found = []
    for a, b in pairs:
        differences, mean = means[a] - means[b], observed[a] - observed[b]
        found.append(
            Compared(
                corrected=_interval(differences, mean, outside / max(comparisons, 1)),
                plain=_interval(differences, mean, outside),
            )
        )
    return found


def bootstrap_means(rows: Mapping[str, Sequence[Hits]], seed: int = 0) -> dict[str, Floats]:
    """(samples,) mean accuracies of each row over resampled encoders, seeds and items.

    Raises:
        ValueError: where the shapes do not pair.
    """
    encoders, seeds, items = _shape(rows)
    # All runs of all rows as one matrix: the accuracies of many draws are then one product.
    runs = np.concatenate([hits for row in rows.values() for hits in row]).astype(np.float32)  # (R, items)
    rng = np.random.default_rng(seed)
    means = {name: np.empty(SAMPLES) for name in rows}
    for first in range(0, SAMPLES, _CHUNK):
        n = min(_CHUNK, SAMPLES - first)
        drawn = rng.integers(items, size=(n, items)) + items * np.arange(n)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=n * items).reshape(n, items).astype(np.float32)
        # Whole numbers, exact: equal rows differ by nothing, however many runs they have.
        right = (counts @ runs.T).astype(np.float64)  # (n, items) x (items, R) -> (n, R)
        encoder = rng.integers(encoders, size=(n, encoders))
        run = rng.integers(seeds, size=(n, encoders, seeds))
        start = 0
        for name, row in rows.items():
            each = len(row[0])
            own = right[:, start : start + encoders * each].reshape(n, encoders, each)
            start += encoders * each
            chosen = np.take_along_axis(own, encoder[:, :, None], 1)  # (n, encoders drawn, each)
            if each > 1:
                chosen = np.take_along_axis(chosen, run, 2)
            means[name][first : first + n] = (chosen.sum(2) / each).sum(1) / (encoders * items)
    return means


def _shape(rows: Mapping[str, Sequence[Hits]]) -> tuple[int, int, int]:
    """Encoders, seeds and items of rows that pair."""
    shapes = {name: [hits.shape for hits in row] for name, row in rows.items()}
    seeds = max(shape[0] for row in shapes.values() for shape in row)
    encoders = {len(row) for row in shapes.values()}
    items = {shape[1] for row in shapes.values() for shape in row}
    uneven = [name for name, row in shapes.items() if {shape[0] for shape in row} not in ({1}, {seeds})]
    if len(encoders) > 1 or len(items) > 1 or uneven:
        raise ValueError(f"hits of shapes {shapes} do not pair")
    return encoders.pop(), seeds, items.pop()


def _interval(differences: Floats, mean: float, outside: float) -> Difference:
    low, high = np.quantile(differences, [outside / 2, 1 - outside / 2])
    return Difference(mean, float(low), float(high))
