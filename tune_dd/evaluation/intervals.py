"""Means with their uncertainty, and paired comparisons.

An accuracy over seeds (with several encoders, over the encoders' means) gets Student's t-interval. "A beats
B" is a paired comparison: both are scored on the same items with the same encoders and seeds, and it is the
difference that gets an interval.
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

OUTSIDE = 0.05
_ROUNDING = 1e-20
"""Variances of the mean below this are none: a single item of a million, on one seed of ten, makes 1e-14."""


@dataclass(frozen=True)
class Estimate:
    """A mean accuracy over runs.

    Attributes:
        mean: of the values.
        std: sample standard deviation; 0 for a single value.
        low, high: 95% interval, in [0, 1]. NaN for a single value: one run tells nothing about the spread.
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
        half = max(self.high - self.mean, self.mean - self.low)
        return f"{100 * self.mean:.1f} +- {100 * half:.1f} (n={self.n})"


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
    # Two runs can be so far apart that the interval asks for more than all items.
    return Estimate(mean, std, max(0.0, mean - half), min(1.0, mean + half), len(values))


@dataclass(frozen=True)
class Difference:
    """How much more often A is right than B, on the same items.

    Attributes:
        mean: accuracy of A minus accuracy of B.
        low, high: the interval, in [-1, 1].
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


def paired_difference(a: Sequence[Hits], b: Sequence[Hits], comparisons: int = 1) -> Difference:
    """A against B on the same encoders, seeds and items: what other seeds and other items would say.

    The encoders are given, as tasks are in Agarwal et al., "Deep reinforcement learning at the edge of the
    statistical precipice" (NeurIPS 2021): three of them cannot tell what a fourth would say, whatever is
    done with their figures, so each one's difference is to be shown beside the interval. Uncertain are the
    seeds of each encoder, a few, and the items, which all runs share. Their variances of the mean add up,
    and Student's quantile is taken at the degrees of freedom of the sum (Welch-Satterthwaite): percentiles of
    a bootstrap over a handful of runs are too narrow by a third. Runs that are one to an encoder are taken
    for seeds.

    Where no item tells A from B, or each does, on any seed, there is no variance to estimate. The share of
    other items that would differ is then bounded by Clopper and Pearson (Biometrika 26, 1934), as if the
    seeds were one: 3.7 / n, nearly, of n items and for one comparison.

    Args:
        a, b: for each encoder (seeds, items) hits, with as many items and as many seeds or one: that one is
            then paired with every run of the other side.
        comparisons: with how many others, itself counted, the interval holds together at 95% (Bonferroni).

    Raises:
        ValueError: where the shapes do not pair.
    """
    gaps = [_gap(ours, theirs) for ours, theirs in zip(a, b, strict=True)]
    if len({gap.shape[1] for gap in gaps}) > 1:
        raise ValueError("hits on different items do not pair")
    by_item = np.mean([gap.mean(0) for gap in gaps], axis=0)
    parts = [(_variance_of_mean(by_item), len(by_item) - 1)]
    runs = [gap.mean(1) for gap in gaps]
    if len(runs) > 1 and all(len(of_encoder) == 1 for of_encoder in runs):
        runs = [np.concatenate(runs)]
    for of_encoder in runs:
        parts.append((_variance_of_mean(of_encoder) / len(runs) ** 2, len(of_encoder) - 1))
    variance = sum(part for part, _ in parts)
    mean = float(by_item.mean())
    outside = OUTSIDE / 2 / comparisons
    if variance > _ROUNDING:
        freedom = variance**2 / sum(part**2 / own for part, own in parts if part)
        half = float(student_t.ppf(1 - outside, freedom)) * math.sqrt(variance)
    else:
        half = 1 - outside ** (1 / len(by_item))
    # Two seeds and many comparisons ask for more than accuracies can differ by.
    return Difference(mean, max(-1.0, mean - half), min(1.0, mean + half))


def _variance_of_mean(values: NDArray[np.float64]) -> float:
    """As estimated from the values; 0 where a single one tells nothing."""
    return float(np.var(values, ddof=1)) / len(values) if len(values) > 1 else 0.0


def _gap(a: Hits, b: Hits) -> NDArray[np.int8]:
    """(seeds, items): 1 where A alone is right, -1 where B alone is."""
    if a.shape[1] != b.shape[1] or {len(a), len(b)} - {1, max(len(a), len(b))}:
        raise ValueError(f"hits of shapes {a.shape} and {b.shape} do not pair")
    gap: NDArray[np.int8] = a.astype(np.int8) - b.astype(np.int8)
    return gap
