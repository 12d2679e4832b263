"""Means with their uncertainty, and paired comparisons.

An accuracy over seeds (with several encoders, over the encoders' means) gets Student's t-interval. "A beats
B" gets a paired bootstrap: both are scored on the same items with the same encoders and seeds, and it is
the difference that is resampled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

Hits = NDArray[np.bool_]
"""(seeds, items): whether a run classified an item correctly."""

BOOTSTRAP_SAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A mean over runs.

    Attributes:
        mean: of the values.
        std: sample standard deviation; 0 for a single value.
        low, high: 95% interval. NaN for a single value: one run tells nothing about the spread.
        n: how many values.
    """

    mean: float
    std: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        """In percent: ``97.1 +- 0.3 (n=5)``, the half-width of the interval behind the sign."""
        if self.n < 2:
            return f"{100 * self.mean:.1f} (n=1)"
        return f"{100 * self.mean:.1f} +- {100 * (self.high - self.mean):.1f} (n={self.n})"


def estimate(values: Sequence[float]) -> Estimate:
    """Mean, standard deviation and 95% t-interval.

    Raises:
        ValueError: for no values.
    """
    if not values:
        raise ValueError("an estimate needs at least one value")
    mean = float(np.mean(values))
    if len(values) == 1:
        return Estimate(mean, 0.0, math.nan, math.nan, 1)
    std = float(np.std(values, ddof=1))
    half = float(student_t.ppf(0.975, len(values) - 1)) * std / math.sqrt(len(values))
    return Estimate(mean, std, mean - half, mean + half, len(values))


@dataclass(frozen=True)
class Difference:
    """How much more often A is right than B, on the same items.

    Attributes:
        mean: accuracy of A minus accuracy of B.
        low, high: 95% percentile interval of the paired bootstrap.
    """

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, or ``no difference found`` where the interval holds zero."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "no difference found"

    def __str__(self) -> str:
        return f"{100 * self.mean:+z.1f} [{100 * self.low:+z.1f}, {100 * self.high:+z.1f}]"


def paired_difference(a: Sequence[Hits], b: Sequence[Hits], seed: int = 0) -> Difference:
    """Paired bootstrap over items, encoders, and the seeds of each encoder.

    Runs on one encoder resemble each other, so encoders are drawn with replacement first, then seeds
    within each drawn one (Davison & Hinkley, "Bootstrap methods and their application", 1997, section
    3.8). Items are drawn once for all. Every draw is the same for both sides. A side with one run on an
    encoder, a control that does not depend on the seed, is paired with every run of the other.

    Args:
        a, b: for each encoder (seeds, items) hits, with as many items and as many seeds or one.
        seed: of the resampling.

    Raises:
        ValueError: where the shapes do not pair.
    """
    gaps = [_gap(ours, theirs) for ours, theirs in zip(a, b, strict=True)]
    items = gaps[0].shape[1]
    rng = np.random.default_rng(seed)
    means = np.empty(BOOTSTRAP_SAMPLES)
    for sample in range(BOOTSTRAP_SAMPLES):
        # Item draws as counts: one weighted sum instead of a gather of seeds * items.
        counts = rng.multinomial(items, np.full(items, 1 / items))
        per_seed = [gap @ counts / items for gap in gaps]
        drawn = [per_seed[encoder] for encoder in rng.integers(len(gaps), size=len(gaps))]
        means[sample] = np.mean([runs[rng.integers(len(runs), size=len(runs))].mean() for runs in drawn])
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(float(np.mean([gap.mean() for gap in gaps])), float(low), float(high))


def _gap(a: Hits, b: Hits) -> NDArray[np.int8]:
    """(seeds, items): 1 where A alone is right, -1 where B alone is."""
    if a.shape[1] != b.shape[1] or {len(a), len(b)} - {1, max(len(a), len(b))}:
        raise ValueError(f"hits of shapes {a.shape} and {b.shape} do not pair")
    gap: NDArray[np.int8] = a.astype(np.int8) - b.astype(np.int8)
    return gap
