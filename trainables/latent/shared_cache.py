"""The entries of a cache, on a place that all machines of a cluster see.

A cache folder is local to a machine: its entries are locked, renamed and memory-mapped, which network file
systems do badly and object stores not at all. Here an entry is a few files that are copied in whole: its
manifest goes last, and an entry without one is not there. So a writer that was killed leaves nothing that
anybody would read, and what was cut short on the way shows in the manifest's digests.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.errors import InputError

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class SharedCache:
    """Entries by kind and key under a folder, or a URL such as ``s3://bucket/prefix``.

    Attributes:
        place: the folder, absolute, or the URL.
    """

    place: str

    def has(self, kind: str, key: str) -> bool:
        """Whether an entry is there, whole.

        Raises:
            InputError: the place cannot be read.
        """
        with _told(self.place):
            return self._is_file(f"{kind}/{key}/{MANIFEST}")

    def fetch(self, kind: str, key: str, folder: Path) -> bool:
        """Copy an entry's files into an empty folder, if it is there.

        Raises:
            InputError: the place cannot be read.
        """
        from pyarrow.fs import FileSelector, FileType, copy_files

        if not self.has(kind, key):
            return False
        with _told(self.place):
            files, root = self._opened()
            for found in files.get_file_info(FileSelector(f"{root}/{kind}/{key}")):
                if found.type == FileType.File:
                    copy_files(found.path, str(folder / found.base_name), source_filesystem=files)
        return True

    def publish(self, kind: str, key: str, folder: Path, *, replacing: bool = False) -> None:
        """Copy a finished entry there, unless it is there already.

        Args:
            folder: the entry's, which holds its manifest and no folders.
            replacing: also where it is.

        Raises:
            InputError: the place cannot be written, or is full.
        """
        from pyarrow.fs import copy_files

        there = self.has(kind, key)
        if there and not replacing:
            return
        with _told(self.place):
            files, root = self._opened()
            files.create_dir(f"{root}/{kind}/{key}", recursive=True)
            if there:
                files.delete_file(f"{root}/{kind}/{key}/{MANIFEST}")
            for file in sorted(folder.iterdir(), key=lambda file: file.name == MANIFEST):
                copy_files(str(file), f"{root}/{kind}/{key}/{file.name}", destination_filesystem=files)

    def _is_file(self, path: str) -> bool:
        from pyarrow.fs import FileType

        files, root = self._opened()
        return bool(files.get_file_info(f"{root}/{path}").type == FileType.File)

    def _opened(self) -> tuple[Any, str]:
        """The file system, and the place's path in it."""
        from pyarrow.fs import FileSystem, LocalFileSystem

        if "://" not in self.place:
            return LocalFileSystem(), self.place
        files, root = FileSystem.from_uri(self.place)
        return files, root.rstrip("/")


@contextlib.contextmanager
def _told(place: str) -> Iterator[None]:
    """What goes wrong on the way, in one line."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"the cluster's cache {place} cannot be used ({error.strerror or error})",
            "encoders are handed to all machines through it",
            "make room there, or give another --storage",
        ) from error
