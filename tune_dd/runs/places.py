"""Where results lie: in a folder, or in a bucket, of which this machine keeps a copy to work on."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainables.buckets import Bucket, is_uri
from trainables.errors import InputError
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


def refuse_bucket(flag: str, place: str) -> None:
    """Of what is no sweep.

    Raises:
        InputError: the place is named by a URI.
    """
    if is_uri(place):
        raise InputError(
            f"{flag} is {place}", "must be a folder: sweeps alone can lie in a bucket", "give a folder"
        )


def bring(folder: Path, leave: Collection[str] = ()) -> None:
    """Copy to this machine what a bucket has of these results and this machine has not, or an older version.

    Files of a trial's folder that are as long are taken for the same.

    Args:
        folder: of a run or a sweep; nothing happens where it is no copy.
        leave: names that are left alone.

    Raises:
        StoreError: the bucket cannot be read.
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

    all_at_once(bring_file, [(name, *of) for name, of in results_in(bucket).items() if name not in leave])


def publish(folder: Path, patterns: Sequence[str]) -> None:
    """Copy to the bucket what is newer here.

    Args:
        folder: of a run or a sweep; nothing happens where it is no copy.
        patterns: of the files that may go there, such as ``evaluation*.json``.

    Raises:
        StoreError: the bucket cannot be written.
    """
    bucket = bucket_of(folder)
    if bucket is None:
        return
    there = results_in(bucket)
    found = [file for pattern in patterns for file in folder.glob(pattern) if file.is_file()]
    files = [(file, str(file.relative_to(folder))) for file in found]
    all_at_once(bucket.upload, [(file, name) for file, name in files if is_newer(file, there.get(name))])


def is_newer(file: Path, there: tuple[int, datetime] | None) -> bool:
    """Whether a file was changed after its object, of a size and a time, was made, or there is none."""
    return there is None or there[1] < _changed(file)


def all_at_once(do: Callable[..., object], all_arguments: Sequence[tuple[Any, ...]]) -> None:
    """Requests take longer to be answered than to be made. After one that fails no other is begun."""
    pool = ThreadPoolExecutor(REQUESTS)
    try:
        for done in [pool.submit(do, *arguments) for arguments in all_arguments]:
            done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def result_files(folder: Path) -> list[Path]:
    """Finished files of results; those that are being written have names with a dot before them."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in found if not _is_hidden(str(path.relative_to(folder)))]


def results_in(bucket: Bucket) -> dict[str, tuple[int, datetime]]:
    """Finished files of results there, but for checkpoints: bytes and when each was made, by name."""
    return {
        name: of
        for name, of in bucket.files().items()
        if not name.startswith(_CHECKPOINTS) and not _is_hidden(name)
    }


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _changed(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)
