"""The entries of a cache in a bucket, which all machines of a cluster reach."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from trainables.buckets import Bucket
from trainables.latent.shared_cache import MANIFEST, SharedCache


@dataclass(frozen=True)
class SharedBucket(SharedCache):
    """Entries by kind and key under a bucket's prefix.

    The files of an entry are named by its manifest, which comes last: it is there whole or not at all, and
    two machines that bring entries that differ never mix them.
    """

    def __post_init__(self) -> None:
        Bucket(self.place)  # refuses what is none

    def manifest(self, kind: str, key: str) -> str | None:
        content = self._entry(kind, key).read(MANIFEST)
        return None if content is None else content.decode()

    def fetch(self, kind: str, key: str, folder: Path) -> bool:
        manifest = self.manifest(kind, key)
        if manifest is None:
            return False
        files = self._entry(kind, key) / _digest(manifest)
        for name in files.files():
            files.download(name, folder / name)
        (folder / MANIFEST).write_text(manifest)
        return True

    def publish(self, kind: str, key: str, folder: Path) -> None:
        entry, manifest = self._entry(kind, key), (folder / MANIFEST).read_text()
        files = entry / _digest(manifest)
        for file in folder.iterdir():
            if file.name != MANIFEST:
                files.upload(file, file.name)
        entry.write(MANIFEST, manifest.encode())

    def _entry(self, kind: str, key: str) -> Bucket:
        return Bucket(self.place) / kind / key


def _digest(manifest: str) -> str:
    return hashlib.sha256(manifest.encode()).hexdigest()[:16]
