"""Where results lie: in a folder, or in a bucket, of which this machine keeps a copy to work on."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainables.buckets import Bucket, is_uri
from trainables.latent.cache import default_cache
from tune_dd.runs.folder import check_writable

REQUESTS = 16
_CHECKPOINTS = "tune/"
"""Trials keep theirs in the bucket alone."""


def absolute(place: str) -> str:
    """A place as it may be put on record: a bucket's URI, or the absolute path of a folder.

    Raises:
        InputError: the URI names no bucket.
    """
    if is_uri(place):
        return Bucket(place.rstrip("/")).uri
    return str(Path(place).expanduser().absolute())


def folder_of(place: str) -> Path:
    """The folder on this machine: the place itself, or a bucket's copy.

    Raises:
        InputError: the URI names no bucket.
    """
    place = absolute(place)
    return _copies() / place.removeprefix("s3://") if is_uri(place) else Path(place)


def place_of(folder: Path) -> str:
    """The place whose folder this is, as a user names it."""
    bucket = bucket_of(folder)
    return str(folder) if bucket is None else bucket.uri


def bucket_of(folder: Path) -> Bucket | None:
    """The bucket's prefix that a folder is the copy of, if it is one."""
    if not folder.is_relative_to(_copies()) or folder == _copies():
        return None
    return Bucket(f"s3://{folder.relative_to(_copies())}")


def _copies() -> Path:
    return default_cache().absolute() / "buckets"


def check_storage(storage: str) -> None:
    """Try, before any work, whether results could be written to a storage that need not exist yet.

    Raises:
        InputError: they cannot.
    """
    if not is_uri(storage):
        check_writable("--storage", Path(storage))
        return
    name = f".tune-dd-look-{secrets.token_hex(4)}"
    Bucket(storage).write(name, b"")
    Bucket(storage).remove(name)


def bring(folder: Path) -> None:
    """Copy to this machine what a bucket has of these results and this machine has not, or an older version.

    Files of a trial's folder are written once: one of the same size is the same.

    Args:
        folder: of a run or a sweep; nothing happens where it is no copy.

    Raises:
        InputError: the bucket cannot be read.
    """
    bucket = bucket_of(folder)
    if bucket is None:
        return

    def bring_file(name: str, size: int, made: datetime) -> None:
        file = folder / name
        if not file.exists() or (
            (file.stat().st_size != size or "/" not in name) and _changed(file).replace(microsecond=0) < made
        ):
            bucket.download(name, file)
            os.utime(file, (made.timestamp(),) * 2)  # what is changed here from now on is newer

    all_at_once(bring_file, [(name, *of) for name, of in _results(bucket).items()])


def publish(folder: Path) -> None:
    """Copy to the bucket what is newer here.

    Args:
        folder: of a run or a sweep; nothing happens where it is no copy.

    Raises:
        InputError: the bucket cannot be written.
    """
    bucket = bucket_of(folder)
    if bucket is None:
        return
    there = _results(bucket)
    changed: list[tuple[Path, str]] = []
    for file in result_files(folder):
        name = str(file.relative_to(folder))
        size, made = there.get(name, (None, None))
        if made is None or ((size != file.stat().st_size or "/" not in name) and made < _changed(file)):
            changed.append((file, name))
    # The sweep's own files tell of those in folders.
    for own in (False, True):
        all_at_once(bucket.upload, [of for of in changed if ("/" not in of[1]) == own])


def all_at_once(do: Callable[..., object], all_arguments: Sequence[tuple[Any, ...]]) -> None:
    """Requests take longer to be answered than to be made."""
    with ThreadPoolExecutor(REQUESTS) as pool:
        for done in [pool.submit(do, *arguments) for arguments in all_arguments]:
            done.result()


def result_files(folder: Path) -> list[Path]:
    """Finished files of results; those that are being written have names with a dot before them."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in found if not _is_hidden(str(path.relative_to(folder)))]


def _results(bucket: Bucket) -> dict[str, tuple[int, datetime]]:
    return {
        name: of
        for name, of in bucket.files().items()
        if not name.startswith(_CHECKPOINTS) and not _is_hidden(name)
    }


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _changed(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)
