"""What early stopping spared, reckoned from the trials themselves."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_dd.sweeps.journal import SCORED
from tune_dd.sweeps.plurals import counted


@dataclass(frozen=True)
class Saved:
    """What would have been spent without early stopping.

    Attributes:
        stopped: trials that were stopped early.
        scored: trials that ended with a score.
        spent_s: CPU seconds of all of these.
        spared_s: CPU seconds that the stopped ones would have gone on for; ``None`` where no complete trial
            shows how long that is.
    """

    stopped: int
    scored: int
    spent_s: float
    spared_s: float | None


def saved_by_stopping(trials: Sequence[Mapping[str, Any]]) -> Saved:
    """What a cell's stopped trials would have taken to their end.

    A stopped trial is reckoned to have gone on, at its own pace, to as many reports as the median complete
    trial of the same method (of any, where there is none).
    """
    scored = [trial for trial in trials if trial["status"] in SCORED]
    stopped = [trial for trial in scored if trial["status"] == "stopped_early"]
    lengths: dict[Any, list[int]] = {}
    for trial in scored:
        if trial["status"] == "completed":
            for group in (trial["config"].get("method"), ...):
                lengths.setdefault(group, []).append(trial["iterations"])
    spared = None
    if lengths:
        spared = sum(
            trial["cpu_s"] / trial["iterations"] * max(whole - trial["iterations"], 0)
            for trial in stopped
            if trial["iterations"]
            for whole in [statistics.median(lengths.get(trial["config"].get("method"), lengths[...]))]
        )
    return Saved(len(stopped), len(scored), sum(trial["cpu_s"] for trial in scored), spared)


def savings_words(saved: Saved) -> str:
    """In a sentence."""
    if not saved.stopped:
        return "No trial was stopped early."
    stopped = f"{saved.stopped} of {counted(saved.scored, 'trial')} were stopped early"
    if saved.spared_s is None:
        return f"{stopped}."
    share = saved.spared_s / max(saved.spared_s + saved.spent_s, 1e-9)
    return (
        f"{stopped}, which spared about {saved.spared_s:,.0f} CPU s ({100 * share:.0f}% of what all to the "
        "end would have taken)."
    )
