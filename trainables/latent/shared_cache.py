"""The entries of a cache, where all machines of a cluster find them.

A cache folder is local to a machine: its entries are locked and memory-mapped, which network file systems do
badly and object stores not at all. What was damaged on the way shows in a manifest's digests.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from trainables.buckets import is_uri

MANIFEST = "manifest.json"
LOOKS_S = 0.5


@dataclass(frozen=True)
class SharedCache(ABC):
    """Entries by kind and key.

    Every method raises InputError where the place cannot be read or written.

    Attributes:
        place: path of a folder, or URI of a bucket's prefix.
    """

    place: str

    @abstractmethod
    def manifest(self, kind: str, key: str) -> str | None:
        """The content of an entry's manifest, which differs between any two entries that differ."""

    @abstractmethod
    def fetch(self, kind: str, key: str, folder: Path) -> bool:
        """Copy an entry's files into an empty folder, if it is there.

        Raises:
            OSError: the folder cannot be written.
        """

    @abstractmethod
    def publish(self, kind: str, key: str, folder: Path) -> None:
        """Copy a finished entry there, in the place of one that differs.

        Args:
            folder: the entry's, which holds its manifest and no folders.
        """

    def look_again(self, kind: str) -> None:
        """Make sure that what was not there a moment ago is looked for again."""
        del kind

    def has(self, kind: str, key: str) -> bool:
        """Whether an entry is there."""
        return self.manifest(kind, key) is not None

    def wait_for(self, kind: str, key: str, timeout_s: float) -> bool:
        """Whether an entry is there, or shows within the time.

        Network file systems remember for up to a minute that something was not there.
        """
        deadline = time.monotonic() + timeout_s
        while not self.has(kind, key):
            if time.monotonic() > deadline:
                return False
            self.look_again(kind)
            time.sleep(LOOKS_S)
        return True


def open_shared(place: str) -> SharedCache:
    """What is shared at a path or URI.

    Raises:
        InputError: the URI names no bucket.
    """
    from trainables.latent.shared_bucket import SharedBucket
    from trainables.latent.shared_folder import SharedFolder

    return SharedBucket(place) if is_uri(place) else SharedFolder(place)
