"""The encoders of a sweep: trained or opened by the driver, before any worker exists that would wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from trainables.latent.config import LatentConfig
from trainables.latent.full_probe import full_probe
from trainables.latent.latents import LatentData, prepare_latents, save_split
from tune_dd.sweeps.results import SPLITS_FOLDER, Encoder, encoder_name, encoder_of
from tune_dd.sweeps.settings import SweepConfig


def prepare_encoders(
    config: SweepConfig, cache: Path, report: Callable[[str], None]
) -> dict[Encoder, LatentData]:
    """The latents of all cells, from the cache or made now.

    Raises:
        InputError: data, settings or cache cannot be used.
    """
    prepared: dict[Encoder, LatentData] = {}
    for cell in config.cells:
        encoder = encoder_of(cell)
        if encoder not in prepared:
            parsed = LatentConfig.parse(config.trial_settings(cell, {"method": config.methods[0]}))
            data = prepare_latents(parsed.data, parsed.encoder, cache, report)
            full_probe(data)  # every trial's gap needs it; the first ones would wait for each other
            prepared[encoder] = data
    return prepared


def keep_splits(folder: Path, prepared: Mapping[Encoder, LatentData]) -> None:
    """Copy each encoder's split into the sweep's folder: the cache may be emptied, results stay."""
    for encoder, data in prepared.items():
        path = folder / SPLITS_FOLDER / f"{encoder_name(*encoder)}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_split(data, path)
