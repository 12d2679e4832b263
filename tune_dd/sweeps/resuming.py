"""What must be the same where a sweep goes on: its settings, its trials and its data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.errors import InputError
from trainables.schema import flag_name
from tune_dd.runs.places import place_of
from tune_dd.sweeps.copies import bring_sweep
from tune_dd.sweeps.journal import JOURNAL_FILE, TrialRecord
from tune_dd.sweeps.results import (
    SWEEP_FILE,
    read_sweep,
    recorded_config,
    sweep_path,
)
from tune_dd.sweeps.settings import SweepConfig

RESUMABLE = frozenset({"time_budget_s", "max_concurrent", "address"})
"""Settings that may differ when a sweep is resumed: they do not change what a trial is."""


def resumed_config(storage: str, name: str, given: Mapping[str, Any]) -> SweepConfig:
    """The settings of an interrupted sweep, whose folder may have been copied or renamed since.

    Args:
        given: what the user said besides; it must agree, but for :data:`RESUMABLE`.

    Raises:
        InputError: there is no such sweep, or ``given`` disagrees.
    """
    folder = sweep_path(storage, name)
    bring_sweep(folder)
    recorded = recorded_config(folder / SWEEP_FILE, read_sweep(folder, "--resume"))
    fields = {declared.name for declared in dataclasses.fields(recorded)}
    changes: dict[str, Any] = {"storage": place_of(folder.parent), "name": name}
    for field, value in given.items():
        if field in ("name", "storage"):
            continue
        known = getattr(recorded, field) if field in fields else recorded.settings.get(field, "its default")
        if field in RESUMABLE:
            changes[field] = value
        elif value != known:
            raise InputError(
                f"{flag_name(field)} is {_words(value)} with --resume",
                f"the sweep was started with {_words(known)}",
                "leave it out, or start a new sweep with --warm-start",
            )
    return dataclasses.replace(recorded, **changes)


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def check_same_trials(folder: Path, config: SweepConfig, records: Mapping[str, TrialRecord]) -> None:
    """Hold the trials on record against the sweep's settings.

    Raises:
        InputError: a trial is not one that this sweep can have proposed, or its scores are not whole.
    """
    for number, record in enumerate(records.values()):
        complaint = _complaint(number, config, record)
        if complaint:
            raise InputError(
                f"trial {record.trial_id} in {folder / JOURNAL_FILE} {complaint}",
                f"must be one of the sweep in {SWEEP_FILE}",
                "restore both files from a copy",
            )


def _complaint(number: int, config: SweepConfig, record: TrialRecord) -> str | None:
    if record.trial_id != f"{number:05d}":
        return f"stands in the place of trial {number:05d}"
    if record.cell not in config.cells:
        return f"is of the cell {record.cell}"
    if not record.settings.keys() >= config.NEEDED:
        return "lacks settings"
    if config.cell_of(record.settings) != record.cell:
        return f"is of the cell {record.cell}, but has the settings of {config.cell_of(record.settings)}"
    needed = {config.metric, *config.REPORTED, *(axis.metric for axis in config.axes or ())}
    if not all(scores.keys() >= needed for scores in record.reports.values()):
        return "lacks scores"
    return None


def check_same_sources(folder: Path, config: SweepConfig, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Hold what trials would learn from against what is on record, if anything is.

    Args:
        facts: see :class:`tune_dd.sweeps.kind.Kind`.

    Raises:
        InputError: it is not what the sweep began with.
    """
    recorded = read_sweep(folder, "--name")["data"]
    for source, found in facts.items():
        former = recorded.get(source, found)
        if former["key"] != found["key"]:
            raise config.other_source(source, former["key"], found["key"])
