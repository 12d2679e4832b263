"""Where a run's files lie, and how they appear there: whole or not at all.

``<storage>/<name>/<dataset>/<backbone>/<run>/`` holds ``experiment_summary.json``, the artefact file and
pictures. Sweeps and single runs share this layout and the summary's schema.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainables.errors import InputError
from trainables.whole_files import NO_ROOM, whole_file, whole_folder
from tune_dd import __version__

SUMMARY_FILE = "experiment_summary.json"
SUMMARY_SCHEMA = 1
"""Raised when a reader of the former version would misread the file."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=@-]*")
_LONGEST_NAME = 120  # file systems allow 255 bytes, and temporary names are longer than the final ones
_PROBE_BYTES = 1 << 20
RESTORE = "restore it from a copy"
_STORAGE_ERRORS = NO_ROOM | {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}
PACKAGES = (
    "torch", "torchvision", "ray", "optuna", "numpy", "scikit-learn", "gymnasium", "mujoco", "ale-py",
)  # fmt: skip
"""Those whose versions scores depend on."""


def check_name(flag: str, name: str) -> str:
    """A name that becomes one folder.

    Returns:
        The name.

    Raises:
        InputError: if it could leave its parent folder, hide in it, or trip a shell.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise InputError(
            f"{flag} is '{name}'",
            f"must be one folder's name: letters, digits and . _ + = @ -, at most {_LONGEST_NAME}, "
            "a letter or digit first",
            "choose a name such as 'first-try'",
        )
    return name


def run_path(storage: Path, name: str, dataset: str, backbone: str, run: str) -> Path:
    """The folder of one run, absolute.

    Raises:
        InputError: for a name that cannot be a folder's.
    """
    check_name("--name", name)
    check_name("--run-name", run)
    return storage.expanduser().absolute() / name / dataset / backbone / run


def check_writable(flag: str, folder: Path) -> None:
    """Try, before any work, whether files could be written into a folder that need not exist yet.

    Writes and removes a small file in it, or in the closest parent that exists; creates nothing.

    Raises:
        InputError: if that fails, for example for want of permission or room.
    """
    place = folder.expanduser().absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place) as stream:
            stream.write(bytes(_PROBE_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise InputError(
            f"{flag} is {folder} ({error.strerror})",
            "files must be writable there",
            "make room or give another folder" if error.errno in NO_ROOM else "give another folder",
        ) from error


def refuse_existing(path: Path) -> None:
    """Keep results of an earlier run.

    Raises:
        InputError: if the folder exists.
    """
    if path.exists():
        raise InputError(
            f"{path} exists already",
            "a run never overwrites another",
            "choose another --run-name or --name, or remove the folder",
        )


@contextlib.contextmanager
def new_run_folder(path: Path) -> Iterator[Path]:
    """A folder to fill; it gets its name when the block ends well and disappears otherwise.

    Raises:
        InputError: if the folder exists already, or cannot be written.
    """
    refuse_existing(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_folder(path) as temporary:
            yield temporary
            refuse_existing(path)
    except OSError as error:
        if error.errno not in _STORAGE_ERRORS:
            raise
        raise InputError(
            f"{path} cannot be written ({error.strerror})",
            "a run's folder must be writable",
            "make room or choose another --storage",
        ) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON as a person reads it; the file is there whole or not at all.

    Raises:
        ValueError: for NaN and infinities, which JSON does not have.
    """
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    with whole_file(path) as stream:
        stream.write(text.encode())


def read_json(path: Path, what: str, remedy: str = RESTORE) -> dict[str, Any]:
    """The content of a file that :func:`write_json` wrote.

    Args:
        what: the file in words ("a sweep's settings"), for the message.
        remedy: what to do where it is damaged.

    Raises:
        InputError: it is missing, unreadable or no JSON.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror})", f"{what} must stand there", "check the path"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error})", f"{what} must be valid JSON", remedy) from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged (it holds no names)", f"{what} must be a JSON object", remedy)
    return content


def check_shape(
    path: Path, what: str, content: Any, shape: Any, remedy: str = RESTORE, place: str = "it"
) -> None:
    """Hold what a JSON file contains against what is written there, before anything relies on it.

    Args:
        path, what, remedy: as for :func:`read_json`.
        shape: a type; a dict with the shape of every name that must be there, among others; or a list with
            that of each of its items.
        place: where in the file ``content`` stands, for the message.

    Raises:
        InputError: something is missing, or of another type.
    """
    kind = type(shape) if isinstance(shape, dict | list) else shape
    found = None if isinstance(content, kind) else f"{place} is of type {type(content).__name__}"
    if found is None and isinstance(shape, dict):
        missing = sorted(shape.keys() - content.keys())
        found = f"{place} holds no '{missing[0]}'" if missing else None
    if found is not None:
        raise InputError(f"{path} is damaged ({found})", f"{what} must be as it was written", remedy)
    if isinstance(shape, dict):
        for name, part in shape.items():
            check_shape(path, what, content[name], part, remedy, f"'{name}' in {place}")
    elif isinstance(shape, list):
        for number, item in enumerate(content):
            check_shape(path, what, item, shape[0], remedy, f"item {number} of {place}")


def experiment_summary(
    *,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    artifact_schema: int,
    scores: Mapping[str, Mapping[str, float]],
    per_class_accuracy: Mapping[str, Mapping[str, float]],
    timings: Mapping[str, Any],
    **more: Any,
) -> dict[str, Any]:
    """The content of ``experiment_summary.json``.

    Args:
        config: every setting, flat.
        provenance: data hashes and the encoder's key and metrics.
        artifact_schema: version of the artefact file's schema.
        scores: validation scores (selection half) by method; a function of config and data alone.
        per_class_accuracy: the probe's recall by method and class name.
        timings: everything that differs between two runs of the same configuration.
        more: further entries, for example a sweep's trial id.
    """
    return {
        "schema_version": SUMMARY_SCHEMA,
        "artifact_schema_version": artifact_schema,
        **more,
        "config": dict(config),
        "scores": {name: dict(values) for name, values in scores.items()},
        "per_class_accuracy": {name: dict(values) for name, values in per_class_accuracy.items()},
        "data": dict(provenance),
        "versions": versions(),
        "timings": dict(timings),
    }


def versions() -> dict[str, str | None]:
    """Versions of all that scores depend on, the project's git commit among them where there is one.

    They are looked up once: what this process runs is what it has imported.
    """
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"tune-dd": __version__, "commit": git_commit()}
    found |= {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def git_commit() -> str | None:
    """The commit of the checkout this code runs from, with "-dirty" where files differ from it."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # an installed copy, perhaps inside somebody else's checkout
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
