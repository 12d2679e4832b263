"""A sweep's folder: its settings, one folder per trial, and the summary of them all."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trainables.errors import InputError
from trainables.latent.artifacts import ARTIFACTS_FILE, SCHEMA_VERSION, load_artifacts
from tune_dd.runs.folder import (
    RESTORE,
    SUMMARY_FILE,
    check_shape,
    experiment_summary,
    new_run_folder,
    read_json,
    run_path,
    write_json,
)
from tune_dd.sweeps.journal import TrialRecord
from tune_dd.sweeps.settings import Cell, SweepConfig

SWEEP_FILE = "sweep.json"
SWEEP_SUMMARY_FILE = "sweep_summary.json"
EVALUATION_FILE = "evaluation.json"
SPLITS_FOLDER = "splits"
_SETTINGS = "a sweep's settings"
SWEEP_SCHEMA = 1
"""Raised when a reader of the former version would misread the files."""

Encoder = tuple[str, str, int]
"""Dataset, backbone and seed: what a cell's latents come from."""


def sweep_path(storage: str, name: str) -> Path:
    """The folder of a sweep, absolute."""
    return Path(storage).expanduser().absolute() / name


def sweep_around(place: Path) -> Path | None:
    """The sweep's folder in which ``place`` lies, if it lies in one."""
    return next((parent for parent in place.absolute().parents if (parent / SWEEP_FILE).exists()), None)


def write_sweep(
    folder: Path,
    config: SweepConfig,
    data: Mapping[Encoder, Mapping[str, Any]],
    ran: Mapping[str, Any],
) -> None:
    """Put the settings on record, with what is known of the data.

    Args:
        ran: the sessions so far, this one included (see :mod:`tune_dd.sweeps.sessions`).
    """
    content = {
        "schema_version": SWEEP_SCHEMA,
        "config": config.to_json(),
        **ran,
        "data": {encoder_name(*encoder): dict(facts) for encoder, facts in data.items()},
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
            f"{flag} names {folder}, where no sweep is",
            f"a sweep's folder holds {SWEEP_FILE}",
            "check --name and --storage"
            + (f"; the sweep {around.name} lies in --storage {around.parent}" if around else ""),
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


def recorded_config(path: Path, content: Mapping[str, Any]) -> SweepConfig:
    """The settings that one of a sweep's files holds.

    Args:
        path: the file, for the message.
        content: what :func:`check_schema` let pass.

    Raises:
        InputError: a setting is unknown or against its rule.
    """
    try:
        return SweepConfig.from_json(content["config"])
    except InputError as error:
        raise InputError(
            f"{path} holds settings that cannot be used ({error.value}: {error.rule})",
            "they must be as tune-dd wrote them",
            f"{RESTORE}, or use the version of tune-dd that wrote it",
        ) from error


def encoder_name(dataset: str, backbone: str, seed: int) -> str:
    """``digits/conv/seed0``."""
    return f"{dataset}/{backbone}/seed{seed}"


def encoder_of(cell: Cell) -> Encoder:
    """What the cell's latents come from."""
    return cell.dataset, cell.backbone, cell.seed


def run_name(record: TrialRecord) -> str:
    """The last part of a trial's folder: ``implicit-m10-seed0-00007``."""
    return f"{record.settings['method']}-m{record.cell.m_per_class}-seed{record.cell.seed}-{record.trial_id}"


def run_folder(folder: Path, record: TrialRecord) -> Path:
    """Where a trial's summary and artefacts lie, in the layout of single runs."""
    return run_path(folder.parent, folder.name, record.cell.dataset, record.cell.backbone, run_name(record))


def write_run(folder: Path, record: TrialRecord, status: str, provenance: Mapping[str, Any]) -> None:
    """Make a finished trial's folder from its last checkpoint, whole or not at all.

    A folder that a killed sweep wrote for the same trial is replaced: the trial was not on record as ended.
    """
    path = run_folder(folder, record)
    if path.exists():
        shutil.rmtree(path)
    timings = {name: record.scores[name] for name in TIMINGS if name in record.scores}
    scores = {name: value for name, value in record.scores.items() if name not in TIMINGS}
    by_class: dict[str, float] = {}
    with new_run_folder(path) as fresh:
        if record.checkpoint is not None:
            shutil.copyfile(folder / record.checkpoint / ARTIFACTS_FILE, fresh / ARTIFACTS_FILE)
            by_class = _by_class(fresh / ARTIFACTS_FILE, record.settings["method"])
        summary = experiment_summary(
            config=record.settings,
            provenance=provenance,
            artifact_schema=SCHEMA_VERSION,
            scores={record.settings["method"]: scores},
            per_class_accuracy={record.settings["method"]: by_class},
            timings={**timings, "busy_s": record.busy_s},
            sweep=folder.name,
            trial_id=record.trial_id,
            status=status,
            params=record.params,
            iterations=max(record.reports, default=0),
        )
        write_json(fresh / SUMMARY_FILE, summary)


def _by_class(path: Path, method: str) -> dict[str, float]:
    """Accuracy by class from a trial's artefacts, which are removed where nobody could open them."""
    try:
        artifacts = load_artifacts(path)
    except InputError as error:
        warnings.warn(f"a trial's files were damaged and are left out: {error}", stacklevel=2)
        path.unlink(missing_ok=True)
        return {}
    recalls = artifacts.prototype_state[method]["per_class"]
    return dict(zip(artifacts.class_names, recalls, strict=False))  # none where it diverged


TIMINGS = ("cpu_s", "optimise_cpu_s")
"""Scores that two runs of one configuration need not agree on."""


def ranking(records: Iterable[TrialRecord], cell: Cell, objective: str) -> list[TrialRecord]:
    """A cell's trials that have ended with a score, best first.

    Completed ones come before those that were stopped early, whose scores are not their last word.
    Unfinished trials have no place in it: what they have is a score on the way (see :func:`under_way`).
    Equal scores, which are common on small selection halves, are ranked by the other accuracy.
    """
    other = "roundtrip_accuracy" if objective == "probe_accuracy" else "probe_accuracy"
    rankable = [
        record
        for record in records
        if record.cell == cell and record.status in ("completed", "stopped_early") and record.scores
    ]
    return sorted(
        rankable,
        key=lambda r: (r.status != "completed", -r.scores[objective], -r.scores.get(other, 0.0), r.trial_id),
    )


def under_way(records: Iterable[TrialRecord], cell: Cell, objective: str) -> list[TrialRecord]:
    """A cell's unfinished trials that have reported, the best so far first."""
    found = [record for record in records if record.cell == cell and record.status is None and record.scores]
    return sorted(found, key=lambda record: (-record.scores[objective], record.trial_id))


def summarise(
    folder: Path,
    config: SweepConfig,
    records: Mapping[str, TrialRecord],
    data: Mapping[Encoder, Mapping[str, Any]],
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
    cells = []
    for cell in config.cells:
        ranked = ranking(records.values(), cell, config.objective)
        cells.append(
            {
                "cell": str(cell),
                **_cell_fields(cell),
                "best": ranked[0].trial_id if ranked else None,
                "ranking": [record.trial_id for record in ranked],
                "under_way": [
                    record.trial_id for record in under_way(records.values(), cell, config.objective)
                ],
                "controls": {name: dict(scores) for name, scores in controls.get(cell, {}).items()},
            }
        )
    return {
        "schema_version": SWEEP_SCHEMA,
        "name": folder.name,
        "state": state,
        "objective": config.objective,
        "config": config.to_json(),
        **ran,
        "data": {encoder_name(*encoder): dict(facts) for encoder, facts in data.items()},
        "cells": cells,
        "trials": [_trial_entry(folder, record) for _, record in sorted(records.items())],
        "timings": dict(timings),
    }


def _cell_fields(cell: Cell) -> dict[str, Any]:
    return {
        "dataset": cell.dataset,
        "backbone": cell.backbone,
        "seed": cell.seed,
        "m_per_class": cell.m_per_class,
    }


def _trial_entry(folder: Path, record: TrialRecord) -> dict[str, Any]:
    path = run_folder(folder, record)
    return {
        "trial_id": record.trial_id,
        "cell": str(record.cell),
        "status": record.status or "unfinished",
        "reason": record.reason,
        "iterations": max(record.reports, default=0),
        "scores": {name: value for name, value in record.scores.items() if name not in TIMINGS},
        "cpu_s": record.scores.get("cpu_s", 0.0),
        "busy_s": record.busy_s,
        "params": record.params,
        "config": record.settings,
        "run": str(path.relative_to(folder)) if path.exists() else None,
    }
