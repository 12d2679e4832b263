"""A sweep's summary, as the verbs that come after a search read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from trainables.errors import InputError, nearest_name
from trainables.latent.cache import default_cache
from tune_dd.runs.folder import read_json
from tune_dd.sweeps.results import SWEEP_FILE, SWEEP_SCHEMA, SWEEP_SUMMARY_FILE

Summary = Mapping[str, Any]
"""The content of ``sweep_summary.json``."""


def read_summary(folder: Path) -> dict[str, Any]:
    """Read the summary of the sweep in ``folder``.

    Raises:
        InputError: there is none, it is damaged, or it is of another version.
    """
    if not folder.is_dir():
        sweeps = [path.parent.name for path in folder.parent.glob(f"*/{SWEEP_FILE}")]
        siblings = sweeps or [path.name for path in folder.parent.glob("*/")]
        remedy = nearest_name(folder.name, siblings) if siblings else "run tune-dd search first"
        raise InputError(f"{folder} does not exist", "it must be the folder of a sweep", remedy)
    if not (folder / SWEEP_SUMMARY_FILE).exists():
        raise InputError(
            f"{folder} holds no {SWEEP_SUMMARY_FILE}",
            "a sweep's folder has one once the sweep has ended",
            _resume(folder),
        )
    try:
        summary = read_json(folder / SWEEP_SUMMARY_FILE, "a sweep's summary")
    except InputError as error:  # the journal holds all of it
        raise InputError(error.value, error.rule, f"write it again: {_resume(folder)}") from error
    if summary.get("schema_version") != SWEEP_SCHEMA:
        raise InputError(
            f"{folder / SWEEP_SUMMARY_FILE} has schema version {summary.get('schema_version')}",
            f"this tune-dd reads version {SWEEP_SCHEMA}",
            "use the version of tune-dd that the file names",
        )
    return summary


def _resume(folder: Path) -> str:
    return f"tune-dd search --resume --name {quote(folder.name)} --storage {quote(str(folder.parent))}"


def cache_of(summary: Summary) -> Path:
    """The cache folder that the sweep used."""
    named = summary["config"]["cache"]
    return Path(named).expanduser().absolute() if named else default_cache()


def no_scores(summary: Summary, purpose: str) -> InputError:
    """What to say of a sweep in which no trial got as far as a score."""
    return InputError(
        f"the sweep {summary['name']} has no trial that reported a score",
        f"there must be one to {purpose}",
        f"finish it first: tune-dd search --resume --name {summary['name']}",
    )
