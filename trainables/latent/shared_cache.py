"""The entries of a cache, in a folder that all machines of a cluster see, such as one on NFS.

A cache folder is local to a machine: its entries are locked and memory-mapped, which network file systems do
badly. Here an entry is a folder that is copied in under another name and renamed: it is there whole or not at
all, whoever else copies one in at the same time. What was damaged on the way shows in its manifest's digests.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainables.errors import InputError

MANIFEST = "manifest.json"
LOOKS_S = 0.5


@dataclass(frozen=True)
class SharedCache:
    """Entries by kind and key under a folder.

    Attributes:
        place: the folder, absolute; made where it is missing.
    """

    place: str

    def manifest(self, kind: str, key: str) -> str | None:
        """The content of an entry's manifest, which differs between any two entries that differ.

        Raises:
            InputError: the place cannot be read.
        """
        with self._told():
            try:
                return (self._entry(kind, key) / MANIFEST).read_text()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def has(self, kind: str, key: str) -> bool:
        """Whether an entry is there.

        Raises:
            InputError: the place cannot be read.
        """
        return self.manifest(kind, key) is not None

    def wait_for(self, kind: str, key: str, timeout_s: float) -> bool:
        """Whether an entry is there, or shows within the time.

        Network file systems remember for up to a minute that something was not there; listing its folder
        makes them look again.
        """
        deadline = time.monotonic() + timeout_s
        while not self.has(kind, key):
            if time.monotonic() > deadline:
                return False
            with contextlib.suppress(OSError):
                os.listdir(Path(self.place) / kind)
            time.sleep(LOOKS_S)
        return True

    def fetch(self, kind: str, key: str, folder: Path) -> bool:
        """Copy an entry's files into an empty folder, if it is there.

        Raises:
            InputError: the place cannot be read.
            OSError: the folder cannot be written.
        """
        with self._told():
            try:
                for file in self._entry(kind, key).iterdir():
                    shutil.copyfile(file, folder / file.name)
            except (FileNotFoundError, NotADirectoryError):
                return False
        return (folder / MANIFEST).exists()

    def publish(self, kind: str, key: str, folder: Path) -> None:
        """Copy a finished entry there, in the place of one that differs.

        Args:
            folder: the entry's, which holds its manifest and no folders.

        Raises:
            InputError: the place cannot be written, or is full.
        """
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
