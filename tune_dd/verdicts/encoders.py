"""The encoders of a verdict, opened from the cache or trained.

One that takes a single CPU is trained by a worker while others make sets on the encoders that are ready;
one that takes more, or a GPU, is trained before, when nobody else is at work.
"""

from __future__ import annotations

from pathlib import Path

from trainables.latent.backbones import image_shape
from trainables.latent.cache import Report
from trainables.latent.compute import choose_compute, trial_device
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.datasets import pool_facts
from trainables.latent.full_probe import full_probe
from trainables.latent.latents import LatentData, open_latents, prepare_latents
from tune_dd.verdicts.plan import Plan


def prepare(data: DataConfig, encoder: EncoderConfig, cache: Path, report: Report = print) -> LatentData:
    """The latents, and in the cache beside them the probe of all data, which runs ask for."""
    device = trial_device(encoder.device, 0)
    latents = prepare_latents(data, encoder, cache, report, codec_device=device)
    full_probe(latents)
    return latents


def prepare_large(plan: Plan, keys: dict[int, str], cache: Path, report: Report) -> list[EncoderConfig]:
    """Open what is cached, and train what needs more than a CPU.

    Args:
        keys: of the latents by encoder seed.

    Returns:
        The encoders that are yet to be trained, on a CPU each.

    Raises:
        InputError: the data cannot be used.
    """
    small = []
    for seed, key in keys.items():
        encoder = plan.with_seed(seed)
        if open_latents(key, cache) is None and _takes_one_cpu(plan, encoder, cache, report):
            small.append(encoder)
            continue
        prepare(plan.data, encoder, cache, report)
    return small


def _takes_one_cpu(plan: Plan, encoder: EncoderConfig, cache: Path, report: Report) -> bool:
    if not plan.has_decoder:  # features take no training
        return False
    _, height, width = image_shape(pool_facts(plan.data, cache, report).item_shape)
    compute = choose_compute(encoder, height * width)
    return compute.device.type == "cpu" and compute.threads == 1
