"""Files and folders as wholes: written whole or not at all; files known by their digest."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The numbers of errors that speak of a full disk."""


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A stream to fill: written under a temporary name beside ``path``, synced, then renamed to it.

    A block that raises leaves ``path`` as it was.

    Raises:
        OSError: the folder cannot be written, or its disk is full; its ``filename`` says where.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a write knows no name
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A folder to fill, under a temporary name beside ``path``; renamed to it when the block ends well.

    A block that raises leaves ``path`` as it was.

    Args:
        replace: whether a folder of that name is removed, once the new one is there.

    Raises:
        OSError: the parent folder cannot be written, or its disk is full; or ``path`` is there already.
    """
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    former = temporary.with_name(f"{temporary.name}-former")
    try:
        temporary.chmod(0o755)  # mkdtemp's privacy is not for results
        yield temporary
        if replace and path.exists():
            path.rename(former)
        temporary.rename(path)
    finally:
        if former.exists() and not path.exists():
            former.rename(path)
        for leftover in (temporary, former):
            if leftover.exists():
                shutil.rmtree(leftover)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_if_readable(path: Path) -> str | None:
    """The same; ``None`` where it cannot be read, for whoever reads it after all to tell."""
    try:
        return sha256_of(path)
    except OSError:
        return None
