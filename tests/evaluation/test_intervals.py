"""Intervals against figures worked out by hand, and their coverage."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from tune_dd.evaluation.intervals import estimate, paired_difference


def test_t_interval_by_hand() -> None:
    # Mean 1/2, standard deviation 1/10, n = 3: half-width 0.43027 / sqrt(3).
    found = estimate([0.4, 0.5, 0.6])
    assert (found.mean, found.std, found.n) == (pytest.approx(0.5), pytest.approx(0.1), 3)
    assert found.high - found.mean == pytest.approx(0.4302653 / math.sqrt(3), rel=1e-6)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


def test_an_accuracy_is_no_more_than_one() -> None:
    # Half-width 12.706 * 0.1: cut off above, and told as what it is below.
    found = estimate([0.7, 0.9])
    assert (found.low, found.high) == (0, 1)
    assert str(found) == "80.0 +- 80.0 (n=2)"


def test_one_value_has_no_interval() -> None:
    found = estimate([0.5])
    assert math.isnan(found.low) and math.isnan(found.high)
    assert str(found) == "50.0 (n=1)"
    with pytest.raises(ValueError, match="at least one"):
        estimate([])


@pytest.mark.parametrize("comparisons", [1, 8])
def test_equal_sides_differ_by_nothing_that_so_many_items_would_have_shown(comparisons: int) -> None:
    """Of a share p of items, 200 show none with probability (1 - p)^200."""
    hits = np.random.default_rng(0).random((5, 200)) < 0.8
    found = paired_difference([hits], [hits], comparisons)
    assert found.mean == 0 and found.low == -found.high
    assert (1 - found.high) ** 200 == pytest.approx(0.025 / comparisons)
    assert found.verdict == "no difference found"


def test_a_clear_winner_is_found_from_both_sides() -> None:
    rng = np.random.default_rng(1)
    worse = rng.random((5, 500)) < 0.7
    better = worse | (rng.random((5, 500)) < 0.3)
    assert paired_difference([better], [worse]).verdict == "better"
    assert paired_difference([worse], [better]).verdict == "worse"


def test_pairing_narrows_the_interval() -> None:
    """Two sides that share their hard items are told apart where independent ones would not be."""
    rng = np.random.default_rng(2)
    base = rng.random((5, 400)) < 0.75
    better = base.copy()
    better[:, :6] = True
    base[:, :6] = False
    shuffled = better[:, rng.permutation(400)]
    paired, unpaired = paired_difference([better], [base]), paired_difference([shuffled], [base])
    assert paired.mean == pytest.approx(unpaired.mean)
    assert paired.high - paired.low < 0.5 * (unpaired.high - unpaired.low)


def test_one_run_pairs_with_all_of_the_other_side() -> None:
    hits = np.random.default_rng(3).random((5, 100)) < 0.9
    one = hits[:1]
    assert paired_difference([hits], [one]).mean == pytest.approx(hits.mean() - one.mean())
    with pytest.raises(ValueError, match="do not pair"):
        paired_difference([hits], [hits[:2]])
    with pytest.raises(ValueError, match="do not pair"):
        paired_difference([hits], [hits[:, :50]])


def test_seeds_and_items_add_up_by_hand() -> None:
    """Of 16 items A is right on 12 with one seed and on 10 of these with the other, B on the last 4.

    Items are won by 1 (10 times), 1/2 (2 times) and -1 (4 times): their sum is 7 and that of their squares
    14.5, so the mean 7/16 has the variance (14.5 - 49/16) / 15 / 16 = 183/3840 with 15 degrees of freedom.
    Seeds win 8/16 and 6/16: (1/128) / 2 = 1/256 with 1. The sum is 99/1920, with (99/1920)^2 /
    ((183/3840)^2 / 15 + (1/256)^2) = 15.95 degrees of freedom by Welch and Satterthwaite, where Student's
    97.5% quantile is 2.1205.
    """
    items = np.arange(16)
    found = paired_difference([np.stack([items < 12, items < 10])], [items[None] >= 12])
    assert found.mean == 7 / 16
    assert found.high - found.mean == pytest.approx(2.1205 * (99 / 1920) ** 0.5, rel=1e-3)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


def test_accuracies_differ_by_no_more_than_one() -> None:
    a = np.array([[True] * 4, [True, True, False, False]])
    found = paired_difference([a], [np.zeros((1, 4), dtype=bool)], comparisons=20)
    assert (found.low, found.mean, found.high) == (-1, 0.75, 1)


def test_encoders_are_given() -> None:
    """Every seed says the same of every item: encoders differ, and add nothing to what is uncertain."""
    a = [np.full((4, 30), encoder < 3) for encoder in range(5)]
    found = paired_difference(a, [np.zeros((1, 30), dtype=bool)] * 5)
    assert found.mean == pytest.approx(0.6)
    assert found.high - found.mean == pytest.approx(1 - 0.025 ** (1 / 30))


def test_one_run_on_each_of_several_encoders_stands_for_a_seed() -> None:
    a = [np.full((1, 30), encoder < 3) for encoder in range(5)]
    found = paired_difference(a, [np.zeros((1, 30), dtype=bool)] * 5)
    # Student's quantile at 4 degrees of freedom is 2.7764, the variance of 1, 1, 1, 0, 0 is 0.3.
    assert found.mean - found.low == pytest.approx(2.7764 * (0.3 / 5) ** 0.5, rel=1e-3)


def test_seeds_that_differ_widen_the_interval_of_several_encoders() -> None:
    none = [np.zeros((1, 30), dtype=bool)] * 3
    # Every encoder's mean is one half; only its two seeds differ.
    found = paired_difference([np.repeat([[True], [False]], 30, axis=1)] * 3, none)
    assert found.mean == 0.5
    assert found.low < 0.25 and found.high > 0.75


def test_an_encoder_with_fewer_runs_weighs_as_much() -> None:
    a = [np.ones((1, 10), dtype=bool), np.zeros((9, 10), dtype=bool)]
    assert paired_difference(a, [np.zeros((1, 10), dtype=bool)] * 2).mean == 0.5


def test_the_correction_widens_with_the_number_of_comparisons() -> None:
    rng = np.random.default_rng(2)
    a, b = ([rng.random((5, 400)) < share for _ in range(3)] for share in (0.85, 0.8))
    widths = [found.high - found.low for found in (paired_difference(a, b, n) for n in (1, 5, 50))]
    assert widths == sorted(widths) and widths[0] < widths[1] < widths[2]


@pytest.mark.parametrize(
    ("encoders", "seeds", "seed_sd", "comparisons"),
    [(1, 1, 0.0, 1), (1, 5, 0.02, 1), (3, 5, 0.01, 1), (3, 5, 0.01, 6), (3, 5, 0.0, 6), (2, 2, 0.02, 1)],
)
def test_equals_are_told_apart_no_more_often_than_is_said(
    encoders: int, seeds: int, seed_sd: float, comparisons: int
) -> None:
    """A method that is three points better on one encoder and worse on others, by as much, is no better.

    Runs of one seed share its luck (a standard deviation of ``seed_sd``), all runs share hard items.
    """
    rng, items, trials = np.random.default_rng(5), 400, 300
    by_encoder = np.linspace(-0.03, 0.03, encoders) if encoders > 1 else np.zeros(1)
    alarms = 0
    for _ in range(trials):
        hard = rng.normal(size=items)

        def runs(better: float, hard: Any = hard) -> Any:
            luck = rng.normal(0.8 + better, seed_sd, (seeds, 1))
            limits = norm.ppf(np.clip(luck, 0.01, 0.99))
            return 0.8 * hard + 0.6 * rng.normal(size=(seeds, items)) < limits

        a, b = [runs(better) for better in by_encoder], [runs(0.0) for _ in by_encoder]
        alarms += paired_difference(a, b, comparisons).verdict != "no difference found"
    expected = 0.05 / comparisons * trials
    assert alarms <= expected + 3 * expected**0.5 + 1


def test_a_planted_difference_is_found() -> None:
    rng = np.random.default_rng(6)
    a, b = ([rng.random((5, 1000)) < share for _ in range(3)] for share in (0.85, 0.8))
    assert paired_difference(a, b, comparisons=20).verdict == "better"
    assert paired_difference(b, a, comparisons=20).verdict == "worse"
