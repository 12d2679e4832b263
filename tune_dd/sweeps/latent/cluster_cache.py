"""Where the machines of a cluster keep what their caches share."""

from __future__ import annotations

from pathlib import Path

from trainables.buckets import is_uri
from trainables.latent.cache import share_entries
from trainables.latent.shared_cache import SharedCache, open_shared
from tune_dd.runs.places import absolute
from tune_dd.sweeps.latent.settings import LatentSweep

CLUSTER_CACHE = ".cache"
"""Folder of a cluster's storage that holds it; no sweep can have its name."""


def shared_cache(config: LatentSweep) -> SharedCache | None:
    """What the machines of the sweep's cluster share; ``None`` where it ran on one machine alone.

    What lies in a bucket is there for other machines, at the same time or later.
    """
    if is_uri(config.storage) or config.address is not None:
        return open_shared(f"{absolute(config.storage)}/{CLUSTER_CACHE}")
    return None


def borrow_entries(config: LatentSweep, cache: Path) -> None:
    """What a cluster trained is not trained again where its sweep is looked at afterwards.

    Args:
        cache: this machine's.
    """
    shared = shared_cache(config)
    if shared is not None and (is_uri(shared.place) or Path(shared.place).is_dir()):
        share_entries(cache.absolute(), shared, offer=False)
