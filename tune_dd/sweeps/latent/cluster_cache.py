"""Where the machines of a cluster keep what their caches share."""

from __future__ import annotations

from pathlib import Path

from trainables.latent.cache import share_entries
from trainables.latent.shared_cache import SharedCache
from tune_dd.sweeps.latent.settings import LatentSweep

CLUSTER_CACHE = ".cache"
"""Folder of a cluster's storage that holds it; no sweep can have its name."""


def shared_cache(config: LatentSweep) -> SharedCache | None:
    """What the machines of the sweep's cluster share; ``None`` where it ran on one machine alone."""
    if config.address is None:
        return None
    return SharedCache(str(Path(config.storage).absolute() / CLUSTER_CACHE))


def borrow_entries(config: LatentSweep, cache: Path) -> None:
    """What a cluster trained is not trained again where its sweep is looked at afterwards.

    Args:
        cache: this machine's.
    """
    shared = shared_cache(config)
    if shared is not None and Path(shared.place).is_dir():
        share_entries(cache.absolute(), shared, offer=False)
