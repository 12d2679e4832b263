"""What is checked before a sweep starts or writes anything."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from trainables.errors import InputError
from trainables.latent.backbones import build_network, image_shape, resolve, start_from_weights
from trainables.latent.compute import choose_compute
from trainables.latent.config import DataConfig, LatentConfig
from trainables.latent.datasets import load_train_pool, pool_facts
from trainables.latent.latents import cached_key, open_latents
from trainables.latent.splits import make_split
from tune_dd.runs.folder import check_writable
from tune_dd.sweeps.ray_session import Resources, resources
from tune_dd.sweeps.results import read_sweep, sweep_around, sweep_path
from tune_dd.sweeps.settings import SweepConfig

LEAST_FREE_BYTES = 16 << 20
GPU_PARTS = 10_000
"""Ray counts GPUs in shares of this size."""
DOWNLOADED = ("cifar10", "cifar100")
"""Data sets that are fetched where they are missing."""
Report = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """Where a sweep lies and what it gets, once everything has been checked.

    Attributes:
        folder: the sweep's, absolute.
        cache: holds encoders and latents, absolute.
        available: CPUs and GPUs that there are.
        workers: trials that run at a time.
    """

    folder: Path
    cache: Path
    available: Resources
    workers: int


def check_sweep(
    config: SweepConfig, resume: bool, cache: Path, report: Report, *, fetch: bool = True
) -> Plan:
    """Check all that can be known before a sweep starts.

    Args:
        resume: whether the sweep should be there already.
        cache: holds encoders and latents; data that were never read are read into it.
        report: told of what takes long.
        fetch: whether what is missing may be downloaded; where not, it is not checked.

    Raises:
        InputError: something cannot be used; nothing was written but downloads and what the cache keeps.
    """
    folder = check_place(config, resume)
    available = resources(config)
    workers = trials_at_a_time(config, available)
    if "features" in config.datasets and len(config.seeds) > 1:
        report(
            f"features have no encoder that --seeds could change: their cells are of seed {config.seeds[0]} "
            "alone; tune-dd evaluate repeats the best trials on fresh seeds"
        )
    if config.warm_start is not None:
        read_sweep(sweep_path(config.storage, config.warm_start), "--warm-start")
    check_data(config, cache, report, fetch=fetch)
    return Plan(folder, cache, available, workers)


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
    around = sweep_around(folder)
    if around is not None:
        raise InputError(
            f"--storage is {config.storage}",
            f"that is inside the sweep {around.name}, and sweeps lie side by side",
            f"give --storage {around.parent}",
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

    A trial's share of a GPU lies on one GPU: two GPUs hold four trials of 0.4, not five.

    Raises:
        InputError: if even one does not fit, or fewer than ``--max-concurrent`` do.
    """
    most = available.cpus // config.cpus_per_trial
    if not most:
        raise InputError(
            f"--cpus-per-trial is {config.cpus_per_trial}",
            f"there are {available.cpus} CPUs",
            f"give {available.cpus} or fewer",
        )
    if config.gpus_per_trial:
        most = min(most, _trials_on_gpus(config.gpus_per_trial, available.gpus))
    if config.max_concurrent is not None and config.max_concurrent > most:
        raise InputError(
            f"--max-concurrent is {config.max_concurrent}",
            f"{most} trials of {config.cpus_per_trial} CPUs"
            + (f" and {config.gpus_per_trial:g} GPUs" if config.gpus_per_trial else "")
            + f" fit into {available.cpus} CPUs"
            + (f" and {available.gpus} GPUs" if config.gpus_per_trial else ""),
            f"give {most} or fewer",
        )
    return config.max_concurrent or most


def _trials_on_gpus(share: float, gpus: int) -> int:
    if share > gpus:
        raise InputError(
            f"--gpus-per-trial is {share:g}",
            f"there are {gpus} GPUs",
            f"give {gpus} or less" if gpus else "leave it out",
        )
    parts = round(share * GPU_PARTS)
    if (share > 1 and parts % GPU_PARTS) or not parts:
        raise InputError(
            f"--gpus-per-trial is {share:g}",
            f"must be a whole number, or a share of one GPU of at least {1 / GPU_PARTS:g}",
            f"give {max(round(share), 1)}",
        )
    return gpus // (parts // GPU_PARTS) if share > 1 else gpus * (GPU_PARTS // parts)


def check_data(config: SweepConfig, cache: Path, report: Report, *, fetch: bool = True) -> None:
    """Check each encoder's settings, and prototypes and budgets against the smallest class of its data.

    Args:
        fetch: see :func:`check_sweep`.

    Raises:
        InputError: if a class is too small, an encoder cannot be had, or data cannot be used at all.
    """
    firsts: dict[tuple[str, str], LatentConfig] = {}
    for cell in config.cells:
        parsed = LatentConfig.parse(config.trial_settings(cell, {"method": config.methods[0]}))
        firsts.setdefault((cell.dataset, cell.backbone), parsed)
    for parsed in firsts.values():
        check_test_place(parsed.data)
    for parsed in firsts.values():
        _check_encoder(parsed, cache, report, fetch)
    for dataset in config.datasets:
        parsed = next(parsed for (name, _), parsed in firsts.items() if name == dataset)
        smallest = _smallest_class(parsed, cache, report, fetch)
        for flag, numbers in (("--prototypes", config.prototypes), ("--budgets", config.budgets)):
            if smallest is not None and numbers and max(numbers) > smallest:
                raise InputError(
                    f"{flag} is {max(numbers)}",
                    f"the smallest class of {dataset} has {smallest} training items",
                    f"give {smallest} or fewer",
                )


def _check_encoder(parsed: LatentConfig, cache: Path, report: Report, fetch: bool) -> None:
    """Device and weights of one encoder; weights it was trained with already are good."""
    facts = pool_facts(parsed.data, cache, report)
    encoder = resolve(parsed.encoder, parsed.data, facts)
    if encoder.backbone == "identity":
        return
    shape = image_shape(facts.item_shape)
    choose_compute(encoder, shape[1] * shape[2])
    if encoder.weights == "none" or (encoder.weights == "default" and not fetch):
        return
    if open_latents(cached_key(parsed.data, parsed.encoder, cache, report), cache) is None:
        # The weights are the backbone's alone, whatever the number of classes.
        start_from_weights(build_network(encoder, shape, n_classes=2), encoder)


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


def _smallest_class(parsed: LatentConfig, cache: Path, report: Report, fetch: bool) -> int | None:
    """Its training items; ``None`` where the data are yet to be downloaded."""
    known = open_latents(cached_key(parsed.data, parsed.encoder, cache, report), cache)
    if known is not None:
        return int(torch.bincount(known.train_y).min())
    missing = parsed.data.download and not fetch and parsed.data.dataset in DOWNLOADED
    data = dataclasses.replace(parsed.data, download=False) if missing else parsed.data
    try:
        pool = load_train_pool(data, cache, report)
    except InputError:
        if not missing:
            raise
        report(f"{data.dataset} is not in {data.data_root}: it would be downloaded, and its classes checked")
        return None
    labels = torch.from_numpy(pool.labels[make_split(pool.labels, data, pool.class_names).train])
    return int(torch.bincount(labels).min())
