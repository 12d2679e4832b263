"""What a report reckons itself: savings of early stopping, places on axes, importances."""

from __future__ import annotations

from typing import Any

import pytest

from tune_dd.reports.parameters import importances, parameters_of
from tune_dd.reports.savings import saved_by_stopping, savings_words


def trial(number: int, status: str = "completed", **more: Any) -> dict[str, Any]:
    made = {
        "trial_id": f"{number:05d}",
        "status": status,
        "iterations": 10,
        "cpu_s": 20.0,
        "scores": {"s": 0.0},
    }
    return {**made, "config": {"method": "one"}, "params": {}, **more}


def test_a_stopped_trial_would_have_gone_on_at_its_pace() -> None:
    """Stopped after 3 of 10 reports and 9 s: 7 more at 3 s each."""
    trials = [trial(0), trial(1), trial(2, "stopped_early", iterations=3, cpu_s=9.0), trial(3, "failed")]
    saved = saved_by_stopping(trials)
    assert (saved.stopped, saved.scored, saved.spent_s, saved.spared_s) == (1, 3, 49.0, 21.0)
    assert savings_words(saved).startswith(
        "1 of 3 trials were stopped early, which spared about 21 CPU s (30%"
    )


def test_trials_of_other_methods_tell_the_length_where_none_of_their_own_is_complete() -> None:
    other = trial(1, "stopped_early", iterations=2, cpu_s=2.0, config={"method": "two"})
    assert saved_by_stopping([trial(0), other]).spared_s == 8.0
    assert saved_by_stopping([other]).spared_s is None
    assert savings_words(saved_by_stopping([trial(0)])) == "No trial was stopped early."


def test_places_on_axes() -> None:
    values = [(0.01, "b", 1), (0.1, "a", 2), (1.0, "b", 3)]
    trials = [trial(i, params={"lr": lr, "m.kind": kind, "n": n}) for i, (lr, kind, n) in enumerate(values)]
    rate, kind, number = parameters_of(trials)
    assert rate.logarithmic and not number.logarithmic
    assert [rate.place(value) for value in (0.01, 0.1, 1.0)] == pytest.approx([0, 0.5, 1])
    assert [number.place(value) for value in (1, 2, 3)] == [0, 0.5, 1]
    assert (kind.group, kind.words, kind.place("b")) == ("m", "kind", 1)
    assert parameters_of([trial(i, params={"same": 3}) for i in range(3)]) == []


def test_the_planted_parameter_explains_the_score() -> None:
    trials = [
        trial(i, params={"matters": i % 8, "idle": (i * 5) % 7}, scores={"s": (i % 8) ** 2 / 49})
        for i in range(56)
    ]
    shares = importances(trials, parameters_of(trials), "s")
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["matters"] > 0.9
    assert importances(trials[:7], parameters_of(trials), "s") == {}
