"""Many comparisons at once, against planted differences and the single comparison."""

from __future__ import annotations

import numpy as np
import pytest

from tune_dd.evaluation.comparisons import compare
from tune_dd.evaluation.intervals import Hits, paired_difference


def runs(rng: np.random.Generator, share: float, seeds: int = 5, items: int = 400) -> list[Hits]:
    """Three encoders whose runs are right on a share of the items, each item by itself."""
    return [rng.random((seeds, items)) < share for _ in range(3)]


def test_a_planted_difference_is_found_among_many() -> None:
    rng = np.random.default_rng(0)
    rows = {"rl": runs(rng, 0.9), "worse": runs(rng, 0.8), "equal": runs(rng, 0.9), "better": runs(rng, 0.97)}
    pairs = [("rl", "worse"), ("rl", "equal"), ("rl", "better")]
    verdicts = [found.corrected.verdict for found in compare(rows, pairs, 14)]
    assert verdicts == ["better", "no difference found", "worse"]


def test_it_is_the_single_comparison_made_many_times() -> None:
    rng = np.random.default_rng(1)
    a, b = runs(rng, 0.85), runs(rng, 0.8)
    [found] = compare({"a": a, "b": b}, [("a", "b")], 1)
    single = paired_difference(a, b)
    assert found.plain.mean == pytest.approx(single.mean, abs=1e-12)
    # Two sets of draws of one distribution: their quantiles differ by chance alone.
    assert (found.plain.low, found.plain.high) == pytest.approx((single.low, single.high), abs=0.004)
    assert found.corrected == found.plain


def test_the_correction_widens_with_the_number_of_comparisons() -> None:
    rng = np.random.default_rng(2)
    rows = {"a": runs(rng, 0.85), "b": runs(rng, 0.8)}
    one, few, many = (compare(rows, [("a", "b")], n)[0] for n in (1, 5, 50))
    widths = [found.corrected.high - found.corrected.low for found in (one, few, many)]
    assert widths == sorted(widths) and widths[0] < widths[1] < widths[2]
    assert one.plain == few.plain == many.plain


def test_all_intervals_hold_together_about_as_often_as_they_say() -> None:
    """Five comparisons of equals on one encoder: together they hold 95 times in 100, corrected."""
    corrected = plain = 0
    for trial in range(40):
        rng = np.random.default_rng(trial)
        rows = {name: [rng.random((2, 150)) < 0.8] for name in "rabcde"}
        found = compare(rows, [("r", name) for name in "abcde"], 5, seed=trial)
        corrected += all(one.corrected.verdict == "no difference found" for one in found)
        plain += all(one.plain.verdict == "no difference found" for one in found)
    assert corrected >= 34  # 38 expected
    assert plain < corrected


def test_a_row_without_seeds_pairs_with_every_run() -> None:
    rng = np.random.default_rng(3)
    a = runs(rng, 0.9)
    one = [hits[:1] for hits in runs(rng, 0.9)]
    [found] = compare({"a": a, "one": one}, [("a", "one")], 1)
    assert found.plain.mean == pytest.approx(paired_difference(a, one).mean)
    with pytest.raises(ValueError, match="do not pair"):
        compare({"a": a, "two": [hits[:2] for hits in a]}, [("a", "two")], 1)
    with pytest.raises(ValueError, match="do not pair"):
        compare({"a": a, "short": [hits[:, :9] for hits in a]}, [("a", "short")], 1)
    with pytest.raises(ValueError, match="do not pair"):
        compare({"a": a, "fewer encoders": a[:2]}, [("a", "fewer encoders")], 1)
