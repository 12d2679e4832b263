"""Means with their uncertainty, and paired comparisons.

An accuracy over seeds gets Student's t-interval. "A beats B" gets a paired bootstrap: both are scored on
the same items with the same seeds, and it is the difference that is resampled.
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
        return f"{100 * self.mean:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"


def paired_difference(a: Hits, b: Hits, seed: int = 0) -> Difference:
    """Paired bootstrap over items and seeds (Efron & Tibshirani, 1993, chapter 13).

    Items and seeds are drawn with replacement, each draw the same for both sides. A side with one
    run, a control that does not depend on the seed, is paired with every run of the other.

    Args:
        a, b: (seeds, items) hits, with as many items and as many seeds or one.
        seed: of the resampling.

    Raises:
        ValueError: where the shapes do not pair.
    """
    seeds = max(len(a), len(b))
    if a.shape[1] != b.shape[1] or {len(a), len(b)} - {1, seeds}:
        raise ValueError(f"hits of shapes {a.shape} and {b.shape} do not pair")
    gap = a.astype(np.int8) - b.astype(np.int8)  # broadcasts to (seeds, items)
    rng = np.random.default_rng(seed)
    means = np.empty(BOOTSTRAP_SAMPLES)
    for sample in range(BOOTSTRAP_SAMPLES):
        # Item draws as counts: one weighted sum instead of a gather of seeds * items.
        counts = rng.multinomial(gap.shape[1], np.full(gap.shape[1], 1 / gap.shape[1]))
        per_seed = gap @ counts / gap.shape[1]  # (seeds,)
        means[sample] = per_seed[rng.integers(seeds, size=seeds)].mean()
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(float(gap.mean()), float(low), float(high))
