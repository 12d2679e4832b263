"""Encoders of a sweep that runs on a cluster: each is trained once, on a node that has what that takes."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from trainables.errors import InputError
from trainables.latent.cache import default_cache, share_entries
from trainables.latent.compute import trial_device
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.full_probe import full_probe
from trainables.latent.latents import KIND, cached_key, open_latents, prepare_latents
from trainables.latent.shared_cache import SharedCache
from tune_dd.clusters.once import Report, once_in_cluster
from tune_dd.sweeps.latent.settings import LatentSweep

SHOWS_WITHIN_S = 90.0
"""How long a network file system may take to show on one machine what another has written."""


def train_in_cluster(
    config: LatentSweep,
    data: DataConfig,
    encoder: EncoderConfig,
    cache: Path,
    shared: SharedCache,
    report: Report,
) -> None:
    """Have an encoder trained, and the full-data probe of its latents, unless that has been done.

    Args:
        cache: this machine's; it takes part in sharing from then on.

    Raises:
        InputError: as :func:`trainables.latent.latents.prepare_latents`; or it does not show here.
    """
    share_entries(cache, shared, offer=True)
    key = cached_key(data, encoder, cache, report)
    if shared.has(KIND, key) or open_latents(key, cache) is not None:
        return
    cpus, gpus = training_resources(config)
    encoder = dataclasses.replace(encoder, device=trial_device(encoder.device, gpus), encoder_threads=cpus)
    # Without --cache each machine has its user's.
    work = functools.partial(_train, data, encoder, None if config.cache is None else cache, shared)
    once_in_cluster(key, work, cpus, gpus, report)
    if not shared.wait_for(KIND, key, SHOWS_WITHIN_S):
        raise InputError(
            f"an encoder was trained, and does not show in {shared.place}",
            "this machine must see what the nodes write there",
            "give a --storage that all machines share; tune-dd check --address auto looks at it",
        )


def training_resources(config: LatentSweep) -> tuple[int, float]:
    """CPUs and GPUs that an encoder is trained with: those of a trial, of a GPU the whole."""
    if config.gpus_per_trial:
        return config.cpus_per_trial, max(config.gpus_per_trial, 1.0)
    return int(config.settings.get("encoder_threads") or config.cpus_per_trial), 0.0


def _train(
    data: DataConfig, encoder: EncoderConfig, cache: Path | None, shared: SharedCache, report: Report
) -> None:
    """On a node: into its cache, and from there to where all others find it."""
    cache = cache or default_cache()
    share_entries(cache, shared, offer=True)
    full_probe(prepare_latents(data, encoder, cache, report))
