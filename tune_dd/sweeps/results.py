"""A sweep's folder: its settings, one folder per trial, and the summary of them all."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.errors import InputError, nearest_name
from tune_dd.runs.folder import (
    RESTORE,
    check_shape,
    new_run_folder,
    read_json,
    run_path,
    write_json,
)
from tune_dd.runs.places import folder_of, place_of
from tune_dd.sweeps.axes import Axis
from tune_dd.sweeps.environment.settings import EnvironmentSweep
from tune_dd.sweeps.journal import SCORED, TrialRecord
from tune_dd.sweeps.latent.settings import LatentSweep
from tune_dd.sweeps.pareto import pareto_entry
from tune_dd.sweeps.settings import Cell, SweepConfig

if TYPE_CHECKING:  # these import Ray
    from tune_dd.sweeps.checkpoints import Checkpoints
    from tune_dd.sweeps.kind import Kind

SWEEP_FILE = "sweep.json"
SWEEP_SUMMARY_FILE = "sweep_summary.json"
EVALUATION_FILE = "evaluation.json"
UNREAD_FILE = "evaluation_without_test.json"
"""What ``evaluate --no-test`` writes."""
_SETTINGS = "a sweep's settings"
SWEEP_SCHEMA = 1
"""Raised when a reader of the former version would misread the files."""

KINDS: dict[str, type[SweepConfig]] = {kind.KIND: kind for kind in (LatentSweep, EnvironmentSweep)}
"""What can be swept; a sweep's files say which it is, and those that do not are of latents."""
Facts = Mapping[str, Mapping[str, Any]]
"""See :class:`tune_dd.sweeps.kind.Kind`."""


def sweep_path(storage: str, name: str) -> Path:
    """The folder of a sweep on this machine, absolute.

    Raises:
        InputError: the storage is the URI of no bucket.
    """
    return folder_of(storage) / name


def sweep_around(place: Path) -> Path | None:
    """The sweep's folder in which ``place`` lies, if it lies in one."""
    return next((parent for parent in place.absolute().parents if (parent / SWEEP_FILE).exists()), None)


def write_sweep(
    folder: Path,
    config: SweepConfig,
    data: Facts,
    ran: Mapping[str, Any],
) -> None:
    """Put the settings on record, with what is known of the data.

    Args:
        data: where trials learn from.
        ran: the sessions so far, this one included (see :mod:`tune_dd.sweeps.sessions`).
    """
    content = {
        "schema_version": SWEEP_SCHEMA,
        "kind": config.KIND,
        "config": config.to_json(),
        **ran,
        "data": {source: dict(facts) for source, facts in data.items()},
    }
    write_json(folder / SWEEP_FILE, content)


def read_sweep(folder: Path, flag: str) -> dict[str, Any]:
    """The content of ``sweep.json``.

    Args:
        flag: how the user named the sweep, for the message.

    Raises:
        InputError: there is no such sweep, it is damaged, or it is of another version.
    """
    path = folder / SWEEP_FILE
    if not path.exists():
        around = sweep_around(folder)
        raise InputError(
            f"{flag} names {place_of(folder)}, where no sweep is",
            f"a sweep's folder holds {SWEEP_FILE}",
            "check --name and --storage"
            + (f"; the sweep {around.name} lies in --storage {place_of(around.parent)}" if around else ""),
        )
    content = check_schema(path, read_json(path, _SETTINGS))
    check_shape(path, _SETTINGS, content, {"config": dict})
    check_record(path, _SETTINGS, content)
    return content


def check_schema(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The content of one of a sweep's files, if this version can read it.

    Raises:
        InputError: it is of another version.
    """
    if content.get("schema_version") != SWEEP_SCHEMA:
        raise InputError(
            f"{path} has schema version {content.get('schema_version')}",
            f"this tune-dd reads version {SWEEP_SCHEMA}",
            "use the version of tune-dd that the file names",
        )
    return content


def check_record(path: Path, what: str, content: Mapping[str, Any], remedy: str = RESTORE) -> None:
    """Hold what both of a sweep's files say of sessions and data against what is written there.

    Args:
        path, what, content, remedy: as for :func:`tune_dd.runs.folder.check_shape`.

    Raises:
        InputError: something is missing, or of another type.
    """
    check_shape(path, what, content, {"versions": dict, "data": dict}, remedy)
    later = content.get("sessions", [])
    check_shape(path, what, later, [{"started": str, "versions": dict}], remedy, "'sessions' in it")
    for name, facts in content["data"].items():
        check_shape(path, what, facts, {"key": str}, remedy, f"'{name}' in its 'data'")


def recorded_kind(path: Path, content: Mapping[str, Any]) -> type[SweepConfig]:
    """What is swept, by one of a sweep's files.

    Raises:
        InputError: this version does not know that kind.
    """
    name = content.get("kind", LatentSweep.KIND)
    if not isinstance(name, str) or name not in KINDS:
        raise InputError(
            f"{path} holds a sweep of kind {name!r}",
            "this tune-dd does not know it",
            nearest_name(str(name), KINDS),
        )
    return KINDS[name]


def check_kind(config: type[SweepConfig], path: Path, content: Mapping[str, Any], flag: str) -> None:
    """Refuse a sweep whose trials are of another kind.

    Raises:
        InputError: naming the command for its kind.
    """
    found = recorded_kind(path, content)
    if found is not config:
        raise InputError(
            f"{flag} names {path.parent}, a sweep of kind {found.KIND}",
            f"{config.COMMAND} makes sweeps of kind {config.KIND}",
            f"use {found.COMMAND} {flag} {path.parent.name}",
        )


def recorded_config(path: Path, content: Mapping[str, Any]) -> SweepConfig:
    """The settings that one of a sweep's files holds.

    Args:
        path: the file, for the message.
        content: what :func:`check_schema` let pass.

    Raises:
        InputError: a setting is unknown or against its rule.
    """
    kind = recorded_kind(path, content)
    try:
        return kind.from_json(content["config"])
    except InputError as error:
        raise InputError(
            f"{path} holds settings that cannot be used ({error.value}: {error.rule})",
            "they must be as tune-dd wrote them",
            f"{RESTORE}, or use the version of tune-dd that wrote it",
        ) from error


def run_folder(kind: Kind[Any], folder: Path, record: TrialRecord) -> Path:
    """Where a trial's summary and artefacts lie, in the layout of single runs."""
    return run_path(folder.parent, folder.name, *kind.run_place(record))


def write_run(
    kind: Kind[Any], folder: Path, record: TrialRecord, status: str, checkpoints: Checkpoints
) -> None:
    """Make a finished trial's folder from its last checkpoint, whole or not at all.

    A folder that a killed sweep wrote for the same trial is replaced: the trial was not on record as ended.
    """
    path = run_folder(kind, folder, record)
    if path.exists():
        shutil.rmtree(path)
    more = {
        "sweep": folder.name,
        "trial_id": record.trial_id,
        "status": status,
        "params": record.params,
        "iterations": max(record.reports, default=0),
    }
    with checkpoints.opened(record.checkpoint) as checkpoint, new_run_folder(path) as fresh:
        kind.fill_run(fresh, record, checkpoint, more)


def lasting(kind: Kind[Any], scores: Mapping[str, float]) -> dict[str, float]:
    """Those scores that another run of the same configuration would have, too."""
    return {name: value for name, value in scores.items() if name not in kind.TIMINGS}


def ranking(records: Iterable[TrialRecord], cell: Cell, config: SweepConfig) -> list[TrialRecord]:
    """A cell's trials that have ended with a score, best first.

    Completed ones come before those that were stopped early, whose scores are not their last word.
    Unfinished trials have no place in it: what they have is a score on the way (see :func:`under_way`).
    Equal scores are ranked by another score that the kind names, or by the one they are weighed against.
    """
    metric = config.metric
    other = config.axes[1] if config.axes else Axis(config.TIE_BREAKS[metric])
    rankable = [
        record for record in records if record.cell == cell and record.status in SCORED and record.scores
    ]
    return sorted(
        rankable,
        key=lambda record: (
            record.status != "completed",
            -record.scores[metric],
            -other.worth(record.scores.get(other.metric, 0.0)),
            record.trial_id,
        ),
    )


def under_way(records: Iterable[TrialRecord], cell: Cell, config: SweepConfig) -> list[TrialRecord]:
    """A cell's unfinished trials that have reported, the best so far first."""
    found = [record for record in records if record.cell == cell and record.status is None and record.scores]
    return sorted(found, key=lambda record: (-record.scores[config.metric], record.trial_id))


def summarise(
    kind: Kind[Any],
    folder: Path,
    records: Mapping[str, TrialRecord],
    controls: Mapping[Cell, Mapping[str, Mapping[str, float]]],
    state: str,
    timings: Mapping[str, float],
    ran: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of ``sweep_summary.json``: every trial once.

    Args:
        state: ``finished``, or why it is not.
        timings: seconds, by what they were spent on.
        ran: the sessions, this one included (see :mod:`tune_dd.sweeps.sessions`).
    """
    config = kind.config
    cells = []
    for cell in config.cells:
        ranked = ranking(records.values(), cell, config)
        cells.append(
            {
                "cell": str(cell),
                **dataclasses.asdict(cell),
                "best": ranked[0].trial_id if ranked else None,
                "ranking": [record.trial_id for record in ranked],
                "under_way": [record.trial_id for record in under_way(records.values(), cell, config)],
                **({"pareto": pareto_entry(kind, records.values(), cell)} if config.axes else {}),
                "controls": {name: dict(scores) for name, scores in controls.get(cell, {}).items()},
            }
        )
    return {
        "schema_version": SWEEP_SCHEMA,
        "kind": config.KIND,
        "name": folder.name,
        "state": state,
        "objective": config.metric,
        "config": config.to_json(),
        **ran,
        "data": {source: dict(facts) for source, facts in kind.facts.items()},
        "cells": cells,
        "trials": [_trial_entry(kind, folder, record) for _, record in sorted(records.items())],
        "timings": dict(timings),
    }


def _trial_entry(kind: Kind[Any], folder: Path, record: TrialRecord) -> dict[str, Any]:
    path = run_folder(kind, folder, record)
    return {
        "trial_id": record.trial_id,
        "cell": str(record.cell),
        "status": record.status or "unfinished",
        "reason": record.reason,
        "iterations": max(record.reports, default=0),
        "restored": record.restored,
        "scores": lasting(kind, record.scores),
        "cpu_s": record.scores.get("cpu_s", 0.0),
        "busy_s": record.busy_s,
        "params": record.params,
        "config": record.settings,
        "run": str(path.relative_to(folder)) if path.exists() else None,
    }
