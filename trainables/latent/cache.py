"""A folder of finished results, each named by the content that determines it.

An entry is a folder ``<cache>/<kind>/<key>`` that appears by one rename, so whoever sees it sees it
whole: the builder writes into a temporary folder, syncs every file and the folder, then renames. A
lock per key lets one process build while the others wait. A process that dies leaves a temporary
folder and an unheld lock; the next builder sweeps both up. Nothing here depends on torch.

The machines of a cluster have a cache each, and one place that they share (:func:`share_entries`): what a
cache lacks is copied from there before it is built.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from trainables.errors import InputError
from trainables.latent.shared_cache import MANIFEST, SharedCache

Report = Callable[[str], None]
"""Prints one line of progress."""

FULLY_HASHED_BYTES = 32 << 20
"""Files up to this size are hashed whole when an entry is opened; larger ones at sampled blocks."""
_BLOCK_BYTES = 1 << 16
_SAMPLED_BLOCKS = 64
_shared: dict[Path, tuple[SharedCache, bool]] = {}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class _Damaged(Exception):
    """An entry whose files are not those that were written."""


@dataclass(frozen=True)
class Entry:
    """A finished entry: its folder, and what its builder said about it."""

    path: Path
    meta: dict[str, Any]


def default_cache() -> Path:
    """The user's cache place: ``$XDG_CACHE_HOME/tune-dd``, otherwise ``~/.cache/tune-dd``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tune-dd"


def content_key(parts: Mapping[str, Any]) -> str:
    """32 hexadecimal digits that name what ``parts`` (JSON-serialisable) determine."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def share_entries(cache: Path, shared: SharedCache, *, offer: bool) -> None:
    """In this process, from now on, what a cache lacks comes from a shared place, as does what differs.

    All machines have the same bits then, whoever made them: a key leaves out on what processor that was.

    Args:
        cache: the cache folder, absolute.
        offer: whether what this cache has, and that place has not, goes there.
    """
    _shared[cache] = (shared, offer)


def open_entry(cache: Path, kind: str, key: str) -> Entry | None:
    """The entry if it is there and whole, otherwise ``None``.

    Damage is told by :func:`get_or_build`, which mends it: once, however often anybody looked before.
    """
    try:
        return _read(cache / kind / key)
    except _Damaged:
        return None


def get_or_build(
    cache: Path, kind: str, key: str, build: Callable[[Path], dict[str, Any]], report: Report, what: str
) -> Entry:
    """Open an entry, or build it once, however many processes ask at the same time.

    Args:
        cache: the cache folder; made where it is missing.
        kind: the sort of entry, a folder of the cache.
        key: from :func:`content_key`.
        build: writes the entry's files into the folder it is given (no subfolders) and returns what
            should stand in :attr:`Entry.meta` (JSON-serialisable).
        report: told when this process waits for another one.
        what: the entry in words, for messages.

    Raises:
        InputError: the folder cannot be written, or its disk is full. Nothing half-written stays.

    Warns:
        UserWarning: the entry was damaged, and is built again.
    """
    entry = open_entry(cache, kind, key)
    if entry is not None and cache in _shared:
        shared, offer = _shared[cache]
        manifest = shared.manifest(kind, key)
        if manifest is None and offer:
            shared.publish(kind, key, entry.path)
        elif manifest is not None and manifest != (entry.path / MANIFEST).read_text():
            entry = None
    if entry is None:
        entry = _have(cache, kind, key, build, report, what)
    return entry


def _have(
    cache: Path, kind: str, key: str, build: Callable[[Path], dict[str, Any]], report: Report, what: str
) -> Entry:
    """The entry, by whoever is first: fetched or built."""
    with _disk_errors(cache), _lock(cache, kind, key, report, what):
        shared, offer = _shared.get(cache, (None, False))
        manifest = None if shared is None else shared.manifest(kind, key)
        entry = None
        try:  # another process may have built it since
            entry = _read(cache / kind / key)
            if entry is not None and manifest in (None, (entry.path / MANIFEST).read_text()):
                return entry
        except _Damaged as damage:
            warnings.warn(
                f"the cache entry {cache / kind / key} is damaged ({damage}) and is built again", stacklevel=3
            )
        _sweep(cache, _temporary_prefix(kind, key))
        if shared is not None:
            with contextlib.suppress(_NotThere):
                return _put(cache, kind, key, lambda folder: _fetched(shared, kind, key, folder))
        if entry is None:
            entry = _put(cache, kind, key, lambda folder: _built(build, folder))
        if shared is not None and offer:  # there it is missing, or damaged
            shared.publish(kind, key, entry.path)
        return entry


class _NotThere(Exception):
    """The shared place has no such entry, or a damaged one."""


def _fetched(shared: SharedCache, kind: str, key: str, folder: Path) -> dict[str, Any]:
    if not shared.fetch(kind, key, folder):
        raise _NotThere
    try:
        entry = _read(folder)
    except _Damaged as damage:
        warnings.warn(
            f"the entry {kind}/{key} in {shared.place} is damaged ({damage}), and is not used", stacklevel=2
        )
        raise _NotThere from damage
    assert entry is not None  # its manifest was there
    return entry.meta


def _built(build: Callable[[Path], dict[str, Any]], folder: Path) -> dict[str, Any]:
    meta = build(folder)
    files = {file.name: _file_record(file) for file in sorted(folder.iterdir())}
    text = json.dumps({"files": files, "meta": meta})
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / MANIFEST).write_text(f"{digest}\n{text}\n")
    return meta


def _put(cache: Path, kind: str, key: str, fill: Callable[[Path], dict[str, Any]]) -> Entry:
    """The entry whose files, its manifest among them, ``fill`` writes into a folder; it returns the meta."""
    place = cache / kind / key
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=_temporary_prefix(kind, key), dir=cache))
    try:
        meta = fill(temporary)
        for file in temporary.iterdir():
            _sync(file)
        _sync(temporary)
        if place.exists():  # a damaged one: out of the way by a rename too, so that nobody sees it half gone
            place.rename(temporary.with_name(temporary.name + "-damaged"))
        temporary.rename(place)
        _sync(place.parent)
    except BaseException:  # Ctrl-C too: nothing half-written stays, and what was raised goes on
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(temporary.with_name(temporary.name + "-damaged"), ignore_errors=True)
    return Entry(place, json.loads(json.dumps(meta)))


def _read(place: Path) -> Entry | None:
    try:
        text = (place / MANIFEST).read_text()
    except (FileNotFoundError, NotADirectoryError):
        if place.exists():
            raise _Damaged("its manifest is missing") from None
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _Damaged(f"its manifest cannot be read: {error}") from error
    digest, _, body = text.partition("\n")
    if hashlib.sha256(body.rstrip("\n").encode()).hexdigest() != digest:
        raise _Damaged("its manifest was changed")
    content = json.loads(body)
    for name, record in content["files"].items():
        try:
            found = _file_record(place / name)
        except OSError as error:
            raise _Damaged(f"{name} cannot be read: {error}") from error
        if found != record:
            raise _Damaged(f"{name} was changed or cut short")
    return Entry(place, content["meta"])


def _file_record(file: Path) -> dict[str, Any]:
    """Size and digest; a large file's digest is over blocks spread over it, so that opening stays quick."""
    size = file.stat().st_size
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        if size <= FULLY_HASHED_BYTES:
            while block := stream.read(1 << 20):
                digest.update(block)
        else:
            for index in range(_SAMPLED_BLOCKS):
                stream.seek((size - _BLOCK_BYTES) * index // (_SAMPLED_BLOCKS - 1))
                digest.update(stream.read(_BLOCK_BYTES))
    return {"size": size, "sha256": digest.hexdigest()}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary_prefix(kind: str, key: str) -> str:
    return f".writing-{kind}-{key}-"


def _lock_path(cache: Path, kind: str, key: str) -> Path:
    return cache / "locks" / f"{kind}-{key}.lock"


@contextlib.contextmanager
def _lock(cache: Path, kind: str, key: str, report: Report, what: str) -> Iterator[None]:
    path = _lock_path(cache, kind, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        report(f"waiting for {what}: another process is at work on it")
        lock.acquire(poll_interval=0.2)
    try:
        yield
    finally:
        lock.release()


def _sweep(cache: Path, own_prefix: str) -> None:
    """Remove what killed processes left. A lock that can be had belongs to nobody alive.

    The caller holds its own key's lock, so any leftover of that key is a dead process's.
    """
    for leftover in cache.glob(".writing-*"):
        if leftover.name.startswith(own_prefix):
            shutil.rmtree(leftover, ignore_errors=True)
            continue
        kind, key = leftover.name.removeprefix(".writing-").split("-")[:2]
        with (
            contextlib.suppress(filelock.Timeout),
            filelock.FileLock(_lock_path(cache, kind, key), timeout=0),
        ):
            shutil.rmtree(leftover, ignore_errors=True)


@contextlib.contextmanager
def _disk_errors(cache: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Only the cache's own files are spoken of here; input files are where they are read.
        if error.errno in _NO_ROOM:
            raise InputError(
                f"the disk of the cache folder {cache} is full",
                "encoders and latents are kept there",
                "make room or choose another folder with --cache DIR",
            ) from error
        if error.filename is None or not str(error.filename).startswith(str(cache)):
            raise
        raise InputError(
            f"the cache folder {cache} cannot be written ({error.strerror})",
            "encoders and latents are kept there",
            "choose a writable folder with --cache DIR",
        ) from error
