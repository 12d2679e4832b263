"""The entries of a cache, in a folder that all machines of a cluster see, such as one on NFS.

An entry is a folder that is copied in under another name and renamed: it is there whole or not at all,
whoever else copies one in at the same time.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainables.errors import InputError
from trainables.latent.shared_cache import MANIFEST, SharedCache


@dataclass(frozen=True)
class SharedFolder(SharedCache):
    """Entries by kind and key under a folder, absolute, which is made where it is missing."""

    def manifest(self, kind: str, key: str) -> str | None:
        with self._told():
            try:
                return (self._entry(kind, key) / MANIFEST).read_text()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def look_again(self, kind: str) -> None:
        """Listing an entry's folder makes network file systems ask for it again."""
        with contextlib.suppress(OSError):
            os.listdir(Path(self.place) / kind)

    def fetch(self, kind: str, key: str, folder: Path) -> bool:
        with self._told():
            try:
                for file in self._entry(kind, key).iterdir():
                    shutil.copyfile(file, folder / file.name)
            except (FileNotFoundError, NotADirectoryError):
                return False
        return (folder / MANIFEST).exists()

    def publish(self, kind: str, key: str, folder: Path) -> None:
        place = self._entry(kind, key)
        fresh, former = (place.with_name(f".{key}.{secrets.token_hex(4)}") for _ in range(2))
        with self._told():
            try:
                fresh.parent.mkdir(parents=True, exist_ok=True)
                shutil.copytree(folder, fresh)
                with contextlib.suppress(FileNotFoundError):
                    place.rename(former)
                try:
                    fresh.rename(place)
                except OSError:
                    if not self.has(kind, key):  # otherwise somebody was first, and all take theirs
                        raise
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
                shutil.rmtree(former, ignore_errors=True)

    def _entry(self, kind: str, key: str) -> Path:
        return Path(self.place) / kind / key

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong in the shared folder, in one line."""
        try:
            yield
        except OSError as error:
            if error.filename is not None and not str(error.filename).startswith(self.place):
                raise
            raise InputError(
                f"the cluster's cache {self.place} cannot be used ({error.strerror or error})",
                "encoders are handed to all machines through it",
                "make room there, or give another --storage",
            ) from error
