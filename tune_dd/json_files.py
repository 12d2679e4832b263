"""JSON files that are there whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from trainables.errors import InputError


def write_json(path: Path, content: Any) -> None:
    """Replace ``path`` by ``content``: a temporary name beside it, synced, then renamed.

    Raises:
        OSError: the folder cannot be written, or the disk is full; the former file is untouched.
        ValueError: ``content`` holds NaN or infinity, which no other reader of JSON would take.
    """
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path: Path, what: str) -> Any:
    """The content of a file that :func:`write_json` wrote.

    Args:
        what: the file in words ("a sweep's settings"), for the message.

    Raises:
        InputError: it is missing, unreadable or no JSON.
    """
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror})", f"{what} must stand there", "check the path"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{path} is damaged ({error})", f"{what} must be valid JSON", "restore it from a copy"
        ) from error
