"""What is checked before a sweep starts or writes anything."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from trainables.errors import InputError
from trainables.latent.config import DataConfig, LatentConfig
from trainables.latent.datasets import load_train_pool
from trainables.latent.latents import cached_key, open_latents
from trainables.latent.splits import make_split
from tune_dd.runs.folder import check_writable
from tune_dd.sweeps.ray_session import Resources
from tune_dd.sweeps.results import sweep_path
from tune_dd.sweeps.settings import Cell, SweepConfig

LEAST_FREE_BYTES = 16 << 20
Report = Callable[[str], None]


def check_place(config: SweepConfig, resume: bool) -> Path:
    """The sweep's folder, which must be new, or with ``resume`` there.

    Raises:
        InputError: if it is not, cannot be written, or its disk is nearly full.
    """
    folder = sweep_path(config.storage, config.name)
    if folder.exists() and not resume:
        raise InputError(
            f"--name is {config.name}, and {folder} exists already",
            "a sweep never mixes with another",
            f"choose another name, go on with --resume --name {config.name}, "
            f"or let a new sweep know its trials with --warm-start {config.name}",
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


def trials_at_a_time(config: SweepConfig, available: Resources) -> int:
    """How many trials run side by side.

    Raises:
        InputError: if even one does not fit, or fewer than ``--max-concurrent`` do.
    """
    fits = [available.cpus // config.cpus_per_trial]
    if config.cpus_per_trial > available.cpus:
        raise InputError(
            f"--cpus-per-trial is {config.cpus_per_trial}",
            f"there are {available.cpus} CPUs",
            f"give {available.cpus} or fewer",
        )
    if config.gpus_per_trial:
        if config.gpus_per_trial > available.gpus:
            raise InputError(
                f"--gpus-per-trial is {config.gpus_per_trial}",
                f"there are {available.gpus:g} GPUs",
                f"give {available.gpus:g} or less" if available.gpus else "leave it out",
            )
        fits.append(int(available.gpus / config.gpus_per_trial))
    most = min(fits)
    if config.max_concurrent is not None and config.max_concurrent > most:
        raise InputError(
            f"--max-concurrent is {config.max_concurrent}",
            f"{most} trials of {config.cpus_per_trial} CPUs"
            + (f" and {config.gpus_per_trial:g} GPUs" if config.gpus_per_trial else "")
            + f" fit into {available.cpus} CPUs"
            + (f" and {available.gpus:g} GPUs" if config.gpus_per_trial else ""),
            f"give {most} or fewer",
        )
    return config.max_concurrent or most


def check_data(config: SweepConfig, cache: Path, report: Report) -> None:
    """Hold prototypes and budgets against the smallest class of each data set's training part.

    Raises:
        InputError: if a class is too small, or the data cannot be used at all.
    """
    for cell in config.cells:
        parsed = LatentConfig.parse(config.trial_settings(cell, {"method": config.methods[0]}))
        check_test_place(parsed.data)
    for dataset in config.datasets:
        cell = next(cell for cell in config.cells if cell.dataset == dataset)
        smallest = _smallest_class(config, cell, cache, report)
        for flag, numbers in (("--prototypes", config.prototypes), ("--budgets", config.budgets)):
            if numbers and max(numbers) > smallest:
                raise InputError(
                    f"{flag} is {max(numbers)}",
                    f"the smallest class of {dataset} has {smallest} training items",
                    f"give {smallest} or fewer",
                )


def check_test_place(data: DataConfig) -> None:
    """Look, without opening anything, whether test data exist and are not the training data.

    Raises:
        InputError: if they are missing, or lie in the training data or the other way round.
    """
    for flag, test, train in (
        ("--custom-test-dir", data.custom_test_dir, data.custom_train_dir),
        ("--features-test", data.features_test, data.features_train),
    ):
        if test is None or train is None:
            continue
        if not Path(test).exists():
            raise InputError(f"{flag} is {test}", "nothing is there", "check the path, or leave it out")
        ours, theirs = Path(test).resolve(), Path(train).resolve()
        if ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
            raise InputError(
                f"{flag} is {test}", f"it shares items with the training data {train}", "keep them apart"
            )


def _smallest_class(config: SweepConfig, cell: Cell, cache: Path, report: Report) -> int:
    parsed = LatentConfig.parse(config.trial_settings(cell, {"method": config.methods[0]}))
    known = open_latents(cached_key(parsed.data, parsed.encoder, cache, report), cache)
    if known is not None:
        labels = known.train_y
    else:
        pool = load_train_pool(parsed.data, cache, report)
        labels = torch.from_numpy(pool.labels[make_split(pool.labels, parsed.data).train])
    return int(torch.bincount(labels).min())
