"""What is checked before a sweep starts or writes anything."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.buckets import is_uri
from trainables.errors import InputError
from tune_dd.clusters.nodes import Node
from tune_dd.runs.folder import check_writable
from tune_dd.runs.places import bucket_of, check_storage, place_of
from tune_dd.sweeps.kind import Kind, Report
from tune_dd.sweeps.plurals import counted
from tune_dd.sweeps.ray_session import Resources, resources
from tune_dd.sweeps.results import SWEEP_FILE, check_kind, read_sweep, sweep_around, sweep_path
from tune_dd.sweeps.settings import SweepConfig

LEAST_FREE_BYTES = 16 << 20
GPU_PARTS = 10_000
"""Ray counts GPUs in shares of this size."""


@dataclass(frozen=True)
class Plan:
    """Where a sweep lies and what it gets, once everything has been checked.

    Attributes:
        folder: the sweep's, absolute.
        available: CPUs and GPUs that there are.
        workers: trials that run at a time.
    """

    folder: Path
    available: Resources
    workers: int


def check_sweep(kind: Kind[Any], resume: bool, report: Report, *, fetch: bool = True) -> Plan:
    """Check all that can be known before a sweep starts.

    Args:
        resume: whether the sweep should be there already.
        report, fetch: see :meth:`tune_dd.sweeps.kind.Kind.check`.

    Raises:
        InputError: something cannot be used; nothing was written but what the kind's own check writes.
    """
    config = kind.config
    folder = check_place(config, resume)
    available = resources(config)
    workers = trials_at_a_time(config, available)
    if config.warm_start is not None:
        old = sweep_path(config.storage, config.warm_start)
        check_kind(type(config), old / SWEEP_FILE, read_sweep(old, "--warm-start"), "--warm-start")
    kind.check(report, fetch=fetch)
    return Plan(folder, available, workers)


def check_place(config: SweepConfig, resume: bool) -> Path:
    """The sweep's folder, which must be new, or with ``resume`` there.

    Raises:
        InputError: if it is not, cannot be written, or its disk is nearly full.
    """
    folder = sweep_path(config.storage, config.name)
    if is_uri(config.storage):
        check_storage(config.storage)
    if not resume:
        refuse_taken(config)
    around = sweep_around(folder)
    if around is not None:
        raise InputError(
            f"--storage is {config.storage}",
            f"that is inside the sweep {around.name}, and sweeps lie side by side",
            f"give --storage {place_of(around.parent)}",
        )
    check_writable("--storage", folder)
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < LEAST_FREE_BYTES:
        raise InputError(
            f"--storage is {config.storage} with {free >> 20} MB free",
            f"a sweep needs at least {LEAST_FREE_BYTES >> 20} MB",
            "make room or give another folder",
        )
    return folder


def refuse_taken(config: SweepConfig) -> None:
    """Keep results of an earlier sweep.

    Raises:
        InputError: there is one of that name.
    """
    folder = sweep_path(config.storage, config.name)
    bucket = bucket_of(folder)
    if folder.exists() or (bucket is not None and bucket.read(SWEEP_FILE) is not None):
        raise InputError(
            f"--name is {config.name}, and {place_of(folder)} exists already",
            "a sweep never mixes with another",
            f"choose another name, go on with --resume --name {config.name}, "
            f"or let a new sweep know its trials with --warm-start {config.name}",
        )


def trials_at_a_time(config: SweepConfig, available: Resources) -> int:
    """How many trials run side by side: as many as fit, node by node, or as many as are asked for.

    A trial lies on one node, and its share of a GPU on one GPU: two GPUs hold four trials of 0.4, not five.
    In a cluster more may be asked for than fit: nodes may join, and an autoscaler starts some for those that
    wait.

    Raises:
        InputError: on this machine even one does not fit, or fewer than ``--max-concurrent`` do.
    """
    _check_share(config.gpus_per_trial)
    most = room(config, available.nodes)
    if config.address is not None:
        return config.max_concurrent or max(most, 1)  # those that do not fit wait for a node that has room
    cpus, gpus = available.cpus, available.gpus
    if cpus < config.cpus_per_trial:
        raise InputError(
            f"--cpus-per-trial is {config.cpus_per_trial}",
            f"there {'is' if cpus == 1 else 'are'} {counted(cpus, 'CPU')}",
            f"give {cpus} or fewer" if cpus > 1 else "leave it out",
        )
    if gpus < config.gpus_per_trial:
        raise InputError(
            f"--gpus-per-trial is {config.gpus_per_trial:g}",
            f"there {'is' if gpus == 1 else 'are'} {counted(gpus, 'GPU')}",
            f"give {gpus} or less" if gpus else "leave it out",
        )
    if config.max_concurrent is not None and config.max_concurrent > most:
        raise InputError(
            f"--max-concurrent is {config.max_concurrent}",
            f"{counted(most, 'trial')} of {_needs(config)}"
            f" fit{'s' * (most == 1)} into {counted(cpus, 'CPU')}"
            + (f" and {counted(gpus, 'GPU')}" if config.gpus_per_trial else ""),
            f"give {most} or fewer" if most > 1 else "leave it out",
        )
    return config.max_concurrent or most


def room(config: SweepConfig, nodes: Iterable[Node]) -> int:
    """How many trials these nodes hold."""
    return sum(_fitting(config, node) for node in nodes)


def _needs(config: SweepConfig) -> str:
    return counted(config.cpus_per_trial, "CPU") + (
        f" and {counted(config.gpus_per_trial, 'GPU')}" if config.gpus_per_trial else ""
    )


def _fitting(config: SweepConfig, node: Node) -> int:
    """Trials that one node holds."""
    share = config.gpus_per_trial
    by_cpus = node.cpus // config.cpus_per_trial
    if not share:
        return by_cpus
    parts = round(share * GPU_PARTS)
    return min(by_cpus, node.gpus // (parts // GPU_PARTS) if share > 1 else node.gpus * (GPU_PARTS // parts))


def _check_share(share: float) -> None:
    parts = round(share * GPU_PARTS)
    if share and ((share > 1 and parts % GPU_PARTS) or not parts):
        raise InputError(
            f"--gpus-per-trial is {share:g}",
            f"must be a whole number, or a share of one GPU of at least {1 / GPU_PARTS:g}",
            f"give {max(round(share), 1)}",
        )
