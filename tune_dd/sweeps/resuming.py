"""What must be the same where a sweep goes on: its settings, its data, and if possible its versions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.errors import InputError
from tune_dd.runs.folder import versions
from tune_dd.sweeps.results import Encoder, encoder_name, read_sweep, sweep_path
from tune_dd.sweeps.settings import SweepConfig

RESUMABLE = frozenset({"time_budget_s", "max_concurrent", "address"})
"""Settings that may differ when a sweep is resumed: they do not change what a trial is."""
_FIELDS = frozenset(field.name for field in dataclasses.fields(SweepConfig))


def resumed_config(storage: str, name: str, given: Mapping[str, Any]) -> SweepConfig:
    """The settings of an interrupted sweep.

    Args:
        given: what the user said besides; it must agree, but for :data:`RESUMABLE`.

    Raises:
        InputError: there is no such sweep, or ``given`` disagrees.
    """
    recorded = SweepConfig.from_json(read_sweep(sweep_path(storage, name), "--resume")["config"])
    changes: dict[str, Any] = {"storage": str(sweep_path(storage, name).parent)}
    for field, value in given.items():
        if field in ("name", "storage"):
            continue
        known = recorded.settings.get(field) if field not in _FIELDS else getattr(recorded, field)
        if field in RESUMABLE:
            changes[field] = value
        elif value != known:
            raise InputError(
                f"--{field.replace('_', '-')} is {_words(value)} with --resume",
                f"the sweep was started with {_words(known)}",
                "leave it out, or start a new sweep with --warm-start",
            )
    return dataclasses.replace(recorded, **changes)


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def changed_versions(folder: Path) -> list[str]:
    """``torch 2.14 -> 2.15`` for everything that scores depend on and that changed since the sweep began."""
    recorded, current = read_sweep(folder, "--resume")["versions"], versions()
    return [f"{name} {old} -> {current.get(name)}" for name, old in recorded.items()
            if current.get(name) != old]  # fmt: skip


def check_same_latents(folder: Path, facts: Mapping[Encoder, Mapping[str, Any]]) -> None:
    """Hold the latents at hand against those that are on record, if any are.

    Raises:
        InputError: the data or the encoder are not those the sweep began with.
    """
    recorded = read_sweep(folder, "--name")["data"]
    for encoder, found in facts.items():
        former = recorded.get(encoder_name(*encoder), found)
        if former["key"] != found["key"]:
            raise InputError(
                f"the latents of {encoder_name(*encoder)} are not those the sweep began with",
                "trials with other data or another encoder cannot be compared",
                "start a new sweep, or restore the data and the version of tune-dd",
            )
