"""Where a distilled set's file lies, however it was named, and what is known of it beside it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainables.buckets import is_uri
from trainables.environment.distilled_set import SET_FILE
from trainables.errors import InputError
from trainables.latent.artifacts import ARTIFACTS_FILE
from tune_dd.runs.folder import SUMMARY_FILE, read_json
from tune_dd.runs.places import bring, folder_of
from tune_dd.sweeps.results import SWEEP_SUMMARY_FILE

SET_FILES = (ARTIFACTS_FILE, SET_FILE)
_BELOW = "*/*/*"
"""From the folder of runs that belong together to each of them."""


def set_file(place: str) -> Path:
    """The file of a set.

    Args:
        place: the file itself, or the folder of a run or a trial; in a bucket, too, from where it is copied.

    Raises:
        InputError: the folder holds no set, or the bucket has nothing there, or cannot be read. A file on
            this machine need not exist.
    """
    path = Path(place).expanduser()
    if is_uri(place):
        # Its summary says more of it, so a file comes with its folder.
        parent, _, name = place.rstrip("/").rpartition("/")
        alone = name.endswith(".pt")
        folder = folder_of(parent if alone else place)
        bring(folder)
        path = folder / name if alone else folder
        if not path.exists():
            raise InputError(f"{place} does not exist", "it must be a set or its folder", "check its name")
    if not os.path.isdir(path):  # which a name that is too long is not, either
        return path
    for name in SET_FILES:
        if (path / name).is_file():
            return path / name
    example = next(_sets_below(path), None)
    raise InputError(
        f"{place or path.absolute()} holds no distilled set",
        f"a run's or a trial's folder has {' or '.join(SET_FILES)}",
        f"give one of those below, such as {example.parent}"
        if example
        else "give such a folder, or the file",
    )


def _sets_below(folder: Path) -> Iterator[Path]:
    """Of a sweep's folder its cells' best sets, the last cell's first; then those of any folder of runs."""
    if (folder / SWEEP_SUMMARY_FILE).is_file():
        summary = read_json(folder / SWEEP_SUMMARY_FILE, "a sweep's summary")
        runs = {trial.get("trial_id"): trial.get("run") for trial in parts(summary, "trials")}
        best = [str(runs.get(cell.get("best"))) for cell in reversed(parts(summary, "cells"))]
        for name in SET_FILES:
            yield from (path for run in best if (path := folder / run / name).is_file())
    for name in SET_FILES:
        yield from sorted(folder.glob(f"{_BELOW}/{name}"))


def facts_beside(file: Path) -> tuple[str, dict[str, Any]]:
    """What stands beside a set: its run's summary, or for ``NAME.pt`` the file ``NAME.json``.

    Returns:
        The name of that file and its content; empty ones where there is none.

    Warns:
        UserWarning: the file is damaged, and left out.
    """
    for path in (file.with_name(SUMMARY_FILE), file.with_suffix(".json")):
        if path.is_file():
            try:
                return path.name, read_json(path, "what is known of the set")
            except InputError as error:
                warnings.warn(f"{error.value}: it is left out", stacklevel=2)
    return "", {}


def part(content: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """What stands in JSON under one name in another; empty where that is nothing, or of another kind."""
    for name in names:
        found = content.get(name)
        content = found if isinstance(found, Mapping) else {}
    return content


def parts(content: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The same of a list of such objects."""
    found = content.get(name)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []
