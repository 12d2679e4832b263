"""A sweep's summary, as the verbs that come after a search read it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from trainables.errors import InputError, nearest_name
from tune_dd.runs.folder import check_shape, read_json
from tune_dd.runs.places import folder_of, place_of
from tune_dd.sweeps.copies import bring_sweep
from tune_dd.sweeps.results import (
    SWEEP_FILE,
    SWEEP_SUMMARY_FILE,
    check_record,
    check_schema,
    recorded_config,
    sweep_around,
)
from tune_dd.sweeps.settings import SweepConfig

Summary = Mapping[str, Any]
"""The content of ``sweep_summary.json``."""
_SHAPE = {
    "name": str,
    "state": str,
    "objective": str,
    "config": dict,
    "cells": [{"cell": str, "best": str | None, "ranking": [str], "under_way": [str]}],
    "trials": [
        {"trial_id": str, "cell": str, "status": str, "iterations": int, "scores": dict, "config": dict}
    ],
}
"""What the verbs after a search rely on."""
_FRONTS = {"cells": [{"pareto": {"front": [{"trial_id": str}]}}]}
"""And where two scores were weighed against each other."""


def read_summary(folder: Path) -> dict[str, Any]:
    """Read the summary of the sweep in ``folder``, under the folder's name: it may have been copied.

    Raises:
        InputError: there is none, it is damaged, or it is of another version.
    """
    bring_sweep(folder)
    if not folder.is_dir():
        sweeps = [path.parent.name for path in folder.parent.glob(f"*/{SWEEP_FILE}")]
        siblings = sweeps or [path.name for path in folder.parent.glob("*/")]
        remedy = nearest_name(folder.name, siblings) if siblings else "run tune-dd search first"
        raise InputError(f"{place_of(folder)} does not exist", "it must be the folder of a sweep", remedy)
    if not (folder / SWEEP_SUMMARY_FILE).exists():
        raise InputError(
            f"{place_of(folder)} holds no {SWEEP_SUMMARY_FILE}",
            "a sweep's folder has one once the sweep has ended",
            resume_command(folder) if (folder / SWEEP_FILE).exists() else _name_a_sweep(folder),
        )
    path = folder / SWEEP_SUMMARY_FILE
    remedy = f"write it again: {resume_command(folder)}"  # the journal holds all of it
    summary = check_schema(path, read_json(path, "a sweep's summary", remedy))
    check_shape(path, "a sweep's summary", summary, _SHAPE, remedy)
    check_record(path, "a sweep's summary", summary, remedy)
    return {**summary, "name": folder.name}


def _name_a_sweep(folder: Path) -> str:
    around = sweep_around(folder)
    return f"give {around}" if around else "give the folder of a sweep, results/NAME"


def resume_command(folder: Path) -> str:
    """What goes on with the sweep in ``folder``, and writes its summary again."""
    return f"tune-dd search --resume --name {quote(folder.name)} --storage {quote(place_of(folder.parent))}"


def open_sweep(results: str, cache: str | None) -> tuple[Path, dict[str, Any], SweepConfig]:
    """What a verb after a search starts with.

    Args:
        results: the sweep's folder, or its URI in a bucket, as the user gave it.
        cache: the value of ``--cache``; ``None`` for the folder that the sweep used.

    Returns:
        The sweep's folder, its summary, and its settings, with that cache folder.

    Raises:
        InputError: as :func:`read_summary`; or a cache is given, and such sweeps have none.
    """
    folder = folder_of(results)
    summary = read_summary(folder)
    path = folder / SWEEP_SUMMARY_FILE
    config = recorded_config(path, summary)
    if config.axes:
        remedy = f"write it again: {resume_command(folder)}"
        check_shape(path, "a sweep's summary", summary, _FRONTS, remedy)
    if cache is not None:
        if "cache" not in {declared.name for declared in dataclasses.fields(config)}:
            raise InputError(
                f"--cache is {cache}", f"sweeps of kind {config.KIND} keep nothing in one", "leave it out"
            )
        config = dataclasses.replace(config, cache=cache)  # type: ignore[call-arg]
    return folder, summary, config


def no_scores(summary: Summary, purpose: str) -> InputError:
    """What to say of a sweep in which no trial ended with a score."""
    reported = sum(len(cell["under_way"]) for cell in summary["cells"])
    have = "one has" if reported == 1 else "ones have"
    so_far = f" ({reported} unfinished {have} scores so far)" if reported else ""
    return InputError(
        f"the sweep {summary['name']} has no trial that ended with a score{so_far}",
        f"there must be one to {purpose}",
        f"finish it first: tune-dd search --resume --name {summary['name']}",
    )
