"""Intervals against figures worked out by hand, and their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tune_dd.evaluation.intervals import estimate, paired_difference


def test_t_interval_by_hand() -> None:
    # Mean 2, standard deviation 1, n = 3: half-width 4.3027 / sqrt(3).
    found = estimate([1.0, 2.0, 3.0])
    assert (found.mean, found.std, found.n) == (2.0, 1.0, 3)
    assert found.high - found.mean == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


def test_one_value_has_no_interval() -> None:
    found = estimate([0.5])
    assert math.isnan(found.low) and math.isnan(found.high)
    assert str(found) == "50.0 (n=1)"
    with pytest.raises(ValueError, match="at least one"):
        estimate([])


def test_equal_sides_differ_by_nothing() -> None:
    hits = np.random.default_rng(0).random((5, 200)) < 0.8
    found = paired_difference([hits], [hits])
    assert (found.mean, found.low, found.high) == (0, 0, 0)
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


@pytest.mark.parametrize("seeds", [1, 4])
def test_seeds_that_agree_count_as_their_encoder_alone(seeds: int) -> None:
    """Worked out by hand: A is right on every item with 3 of 5 encoders, B with none.

    The mean of five drawn encoders is then a fifth of a binomial (5, 0.6) number, whose 2.5% and 97.5%
    quantiles are 1 and 5. Pooled, 20 runs would give 8 and 16 of 20: half the width.
    """
    a = [np.full((seeds, 30), encoder < 3) for encoder in range(5)]
    b = [np.zeros((1, 30), dtype=bool)] * 5
    found = paired_difference(a, b)
    assert (found.mean, found.low, found.high) == pytest.approx((0.6, 0.2, 1.0))


def test_seeds_that_differ_widen_the_interval_of_several_encoders() -> None:
    none = [np.zeros((1, 30), dtype=bool)] * 3
    # Every encoder's mean is one half; only its two seeds differ.
    found = paired_difference([np.repeat([[True], [False]], 30, axis=1)] * 3, none)
    assert found.mean == 0.5
    assert found.low < 0.25 and found.high > 0.75


def test_an_encoder_with_fewer_runs_weighs_as_much() -> None:
    a = [np.ones((1, 10), dtype=bool), np.zeros((9, 10), dtype=bool)]
    assert paired_difference(a, [np.zeros((1, 10), dtype=bool)] * 2).mean == 0.5


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    covered = 0
    for trial in range(60):
        a = rng.random((1, 300)) < 0.8
        b = rng.random((1, 300)) < 0.75
        found = paired_difference([a], [b], seed=trial)
        covered += found.low <= 0.05 <= found.high
    assert covered >= 50  # 57 expected
