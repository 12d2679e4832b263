"""What a new sweep learns from an earlier one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tune_dd.sweeps.journal import JOURNAL_FILE, read_records
from tune_dd.sweeps.proposals import MismatchError, Proposals
from tune_dd.sweeps.results import Encoder, encoder_name, encoder_of, read_sweep, sweep_path
from tune_dd.sweeps.settings import SweepConfig


def warm_start(
    config: SweepConfig, old: str, proposals: Proposals, facts: Mapping[Encoder, Mapping[str, Any]]
) -> str:
    """Make the trials of the sweep ``old`` known to the searcher, where they are trials of this one too.

    They are if space, data and encoder are the same, and if this sweep, proposing the same parameters,
    would run the same configuration: a setting that is fixed in one of the sweeps must have the same value
    in the other.

    Args:
        facts: where each encoder's latents come from, with their ``key``.

    Returns:
        A line that says how many are known, and why the others are not.

    Raises:
        InputError: there is no such sweep, or its journal is damaged.
    """
    place = sweep_path(config.storage, old)
    sweep = read_sweep(place, "--warm-start")
    records = list(read_records(place).values()) if (place / JOURNAL_FILE).exists() else []
    own = {encoder_name(*encoder): found["key"] for encoder, found in facts.items()}
    same = {name for name, found in sweep["data"].items() if found["key"] == own.get(name)}
    known, reasons = 0, Counter[str]()
    for record in records:
        if sweep["config"]["space"] != config.space:
            reasons["another space"] += 1
        elif encoder_name(*encoder_of(record.cell)) not in same:
            reasons["other data or another encoder"] += 1
        else:
            try:
                proposals.learn(record.cell, record)
                known += 1
            except MismatchError as error:
                reasons[str(error)] += 1
    line = f"warm start: {known} of {len(records)} trials of {old} are known to the searcher"
    if reasons:
        line += "; not: " + ", ".join(f"{count} ({reason})" for reason, count in reasons.items())
    return line
