"""Files as wholes: written whole or not at all, and known by their digest."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
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
