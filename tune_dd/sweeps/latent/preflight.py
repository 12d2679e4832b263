"""What is checked of data and encoders before a sweep starts or writes anything."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from trainables.errors import InputError
from trainables.latent.backbones import build_network, image_shape, resolve, start_from_weights
from trainables.latent.compute import choose_compute
from trainables.latent.config import DataConfig, LatentConfig
from trainables.latent.datasets import load_train_pool, pool_facts
from trainables.latent.latents import cached_key, open_latents
from trainables.latent.shaping.schedules import read_schedule
from trainables.latent.splits import make_split
from tune_dd.sweeps.kind import Report
from tune_dd.sweeps.latent.settings import LatentSweep
from tune_dd.sweeps.plurals import counted
from tune_dd.threads import check_threads

DOWNLOADED = ("cifar10", "cifar100")
"""Data sets that are fetched where they are missing."""


def check_data(config: LatentSweep, cache: Path, report: Report, *, fetch: bool = True) -> None:
    """Check each encoder's settings, and prototypes and budgets against the smallest class of its data.

    Args:
        cache: holds encoders and latents; data that were never read are read into it.
        report, fetch: see :meth:`tune_dd.sweeps.kind.Kind.check`.

    Raises:
        InputError: if a class is too small, an encoder cannot be had, or data cannot be used at all.
    """
    if config.address is None:  # a cluster's nodes are not this machine
        check_threads(config.settings.get("encoder_threads") or 1, "--encoder-threads")
    firsts: dict[tuple[str, str], LatentConfig] = {}
    for cell in config.cells:
        parsed = LatentConfig.parse(config.trial_settings(cell, config.example(cell)))
        firsts.setdefault((cell.dataset, cell.backbone), parsed)
    for parsed in firsts.values():
        check_test_place(parsed.data)
        distill = parsed.distill
        if distill.shape_schedule is not None and "rl_shaping" in config.tried_methods:
            schedule = read_schedule(Path(distill.shape_schedule), distill.shape_schedule_sha256)
            schedule.check(distill, has_decoder=parsed.encoder.backbone != "identity")
    for parsed in firsts.values():
        _check_encoder(parsed, cache, report, fetch, here=config.address is None)
    for dataset in config.datasets:
        parsed = next(parsed for (name, _), parsed in firsts.items() if name == dataset)
        smallest = _smallest_class(parsed, cache, report, fetch)
        fixed = config.settings.get("sel_budget_per_class")
        for flag, numbers in (
            ("--prototypes", config.prototypes),
            ("--budgets", config.budgets),
            ("--sel-budget-per-class", () if fixed is None else (fixed,)),
        ):
            if smallest is not None and numbers and max(numbers) > smallest:
                raise InputError(
                    f"{flag} is {max(numbers)}",
                    f"the smallest class of {dataset} has {counted(smallest, 'training item')}",
                    f"give {smallest} or fewer",
                )


def _check_encoder(parsed: LatentConfig, cache: Path, report: Report, fetch: bool, *, here: bool) -> None:
    """Device and weights of one encoder; weights it was trained with already are good.

    Args:
        here: whether this machine trains it.
    """
    facts = pool_facts(parsed.data, cache, report)
    encoder = resolve(parsed.encoder, parsed.data, facts)
    if encoder.backbone == "identity":
        return
    shape = image_shape(facts.item_shape)
    may_lack = not here and encoder.device.startswith("cuda")
    choose_compute(dataclasses.replace(encoder, device="cpu") if may_lack else encoder, shape[1] * shape[2])
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
