"""What a new sweep learns from an earlier one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tune_dd.sweeps.journal import JOURNAL_FILE, read_records
from tune_dd.sweeps.plurals import counted
from tune_dd.sweeps.proposals import MismatchError, Proposals
from tune_dd.sweeps.results import read_sweep, sweep_path
from tune_dd.sweeps.settings import SweepConfig


def warm_start(
    config: SweepConfig, old: str, proposals: Proposals, facts: Mapping[str, Mapping[str, Any]]
) -> str:
    """Make the trials of the sweep ``old`` known to the searcher, where they are trials of this one too.

    They are if the space and what they learned from are the same, and if this sweep, proposing the same
    parameters, would run the same configuration: a setting that is fixed in one of the sweeps must have the
    same value in the other.

    Args:
        facts: see :class:`tune_dd.sweeps.kind.Kind`.

    Returns:
        A line that says how many are known, and why the others are not.

    Raises:
        InputError: there is no such sweep of this kind, or its journal is damaged.
    """
    place = sweep_path(config.storage, old)
    sweep = read_sweep(place, "--warm-start")
    records = list(read_records(place, config.CELL).values()) if (place / JOURNAL_FILE).exists() else []
    same = {
        source
        for source, found in sweep["data"].items()
        if source in facts and found["key"] == facts[source]["key"]
    }
    known, reasons = 0, Counter[str]()
    for record in records:
        if sweep["config"]["space"] != config.space:
            reasons["another space"] += 1
        elif record.cell.source not in same:
            reasons[config.OTHER_SOURCE] += 1
        else:
            try:
                proposals.learn(record.cell, record)
                known += 1
            except MismatchError as error:
                reasons[str(error)] += 1
    of_all = f"{known} of {counted(len(records), 'trial')} of {old}"
    line = f"warm start: {of_all} {'is' if known == 1 else 'are'} known to the searcher"
    if reasons:
        line += "; not: " + ", ".join(f"{count} ({reason})" for reason, count in reasons.items())
    return line
