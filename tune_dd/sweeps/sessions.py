"""The versions that a sweep's sessions ran with: what its scores depend on besides settings and data.

``sweep.json`` and ``sweep_summary.json`` hold them alike:

- ``versions``: those of the first session (see :func:`tune_dd.runs.folder.versions`), never rewritten;
- ``sessions``: an entry for each later session that ran with versions which no session before it had,
  ``{"started": "2026-01-31T12:00:00+00:00", "versions": {...}}``; missing in files of earlier versions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tune_dd.runs.folder import versions

Versions = Mapping[str, str | None]


def first_session() -> dict[str, Any]:
    """The entries of a sweep that begins now."""
    return {"versions": versions(), "sessions": []}


def with_this_session(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a sweep that goes on now, given the content of its ``sweep.json``."""
    current, sessions = versions(), list(recorded.get("sessions", []))
    if current not in all_versions(recorded):
        sessions.append({"started": datetime.now(UTC).isoformat(timespec="seconds"), "versions": current})
    return {"versions": recorded["versions"], "sessions": sessions}


def all_versions(recorded: Mapping[str, Any]) -> list[Versions]:
    """The different versions that the sessions on record ran with, the first session's first."""
    return [recorded["versions"], *(session["versions"] for session in recorded.get("sessions", []))]


def differing(several: Sequence[Versions]) -> dict[str, list[str]]:
    """Everything that was not the same throughout, with its different versions in order."""
    names = dict.fromkeys(name for one in several for name in one)
    found = {name: list(dict.fromkeys(str(one.get(name)) for one in several)) for name in names}
    return {name: values for name, values in found.items() if len(values) > 1}
