"""What hits come to: accuracies, differences with their intervals, and the check of what rewards claim.

Plain values for JSON throughout; the part that decides is test, or the selection half where test stays
closed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tune_dd.evaluation.intervals import Hits, estimate, paired_difference
from tune_dd.verdicts.panels import Panel, Row
from tune_dd.verdicts.plan import Plan

MOST_CLAIMED = 0.2
"""Points that a reward may promise beyond what the protocol's probe finds of the same set."""


def panels_of(
    plan: Plan, rows: Sequence[Row], hits: Mapping[str, Mapping[str, Sequence[Hits]]]
) -> list[dict[str, Any]]:
    """Every panel with its rows.

    Args:
        hits: part ("test", where it was read, "selection", "reward") -> row's name -> hits on each encoder.
    """
    by_panel: dict[Panel, list[Row]] = {}
    for row in rows:
        by_panel.setdefault(row.panel, []).append(row)
    comparisons = sum(len(own) - 1 for own in by_panel.values())
    return [
        {
            **dataclasses.asdict(panel),
            "counted": panel.asked.counted,
            "count": plan.counts[panel.question],
            "items": {part: by_row[own[0].name][0].shape[1] for part, by_row in hits.items()},
            "rows": [_row(row, own, hits, comparisons) for row in own],
        }
        for panel, own in by_panel.items()
    ]


def _row(
    row: Row, own: Sequence[Row], hits: Mapping[str, Mapping[str, Sequence[Hits]]], comparisons: int
) -> dict[str, Any]:
    rl, *controls = own
    before = controls[: controls.index(row)] if row is not rl else []
    return {
        "contender": row.contender,
        "words": _words(row),
        "runs": [len(runs) for runs in row.runs],
        "evaluations": int(np.median([done.made.evaluations for done in row.all_done])),
        "cpu_s": float(np.median([done.cpu_s for done in row.all_done])),
        "accuracy": {part: _accuracy(by_row[row.name]) for part, by_row in hits.items()},
        "rl_minus_this": None
        if row is rl
        else {part: _difference(of[rl.name], of[row.name], comparisons) for part, of in hits.items()},
        "same_as": next((_words(other) for other in before if all(_same_sets(row, other))), None),
        "same_sets": None if row is rl else sum(_same_sets(rl, row)),
        "pairs": None if row is rl else len(_same_sets(rl, row)),
    }


def _words(row: Row) -> str:
    return row.panel.asked.contenders()[row.contender].words


def _same_sets(rl: Row, other: Row) -> list[bool]:
    """For each encoder and seed, whether both made the very same set."""
    return [
        torch.equal(ours.made.distilled.x, theirs[min(run, len(theirs) - 1)][1].made.distilled.x)
        for own, theirs in zip(rl.runs, other.runs, strict=True)
        for run, (_, ours) in enumerate(own)
    ]


def _accuracy(hits: Sequence[Hits]) -> dict[str, Any]:
    """Over encoders' means; over the seeds of a single one, which are one run where all are alike."""
    if len(hits) > 1:
        found = estimate([float(runs.mean()) for runs in hits])
    else:
        runs = hits[0][:1] if (hits[0] == hits[0][:1]).all() else hits[0]
        found = estimate([float(run.mean()) for run in runs])
    return {
        # JSON has no NaN: a single value has no interval.
        key: None if value != value else value
        for key, value in dataclasses.asdict(found).items()
    }


def _difference(rl: Sequence[Hits], other: Sequence[Hits], comparisons: int) -> dict[str, Any]:
    corrected, plain = (paired_difference(rl, other, n) for n in (comparisons, 1))
    return {
        **dataclasses.asdict(corrected),
        "verdict": corrected.verdict,
        "by_encoder": [float(ours.mean() - theirs.mean()) for ours, theirs in zip(rl, other, strict=True)],
        "uncorrected": {"low": plain.low, "high": plain.high, "verdict": plain.verdict},
    }


def claims(rows: Sequence[Row]) -> dict[str, Any]:
    """The reward-hacking check: what contenders' rewards promise of their sets, and the protocol finds.

    Returns:
        ``sets`` with a claim, ``largest_gap`` between claim and finding on the reward half, in [0, 1] (either
        may be the larger), ``row`` and ``identity`` of where it is, ``allowed``, and if that is ``kept``;
        None for what is not known where no set has a claim.
    """
    # What a set claims is told once, by the objective that its reward stands for.
    own = [row for row in rows if row.panel.objective == row.panel.asked.objectives[0]]
    gaps = [
        (abs(done.made.claimed_reward - found.reward_accuracy), row.name, cell.identity)
        for row in own
        for runs in row.runs
        for cell, done in runs
        if done.made.claimed_reward is not None
        and (found := done.classifiers[row.panel.objective]) is not None
    ]
    allowed = MOST_CLAIMED / 100
    gap, name, identity = max(gaps, default=(None, None, None))
    return {
        "sets": len(gaps),
        "largest_gap": gap,
        "row": name,
        "identity": identity,
        "allowed": allowed,
        "kept": None if gap is None else gap < allowed,
    }
