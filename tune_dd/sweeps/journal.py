"""The truth of a sweep: an append-only file of what was proposed, reported, saved and ended.

Ray Tune has a snapshot of its own, but it is several files that are neither written atomically nor
at one moment (the trials, the searcher's state; the scheduler's state not at all), at intervals of
seconds: after a kill between two of the writes, restoring it loses trials or runs them twice. Here
each event is one line, appended with one write. A kill can cut off the last line alone, which is then
dropped; and because a proposal is on file before its trial starts, and an end before it counts, every
trial is there once.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainables.errors import InputError
from tune_dd.runs.folder import RESTORE
from tune_dd.sweeps.settings import Cell

JOURNAL_FILE = "journal.jsonl"
SCORED = ("completed", "stopped_early")
"""How trials end whose scores count."""
ENDS = (*SCORED, "diverged", "failed")


@dataclass
class TrialRecord:
    """What is known of one trial.

    Attributes:
        trial_id: its number in the sweep, as text.
        cell: where it is compared.
        params: what the search space was asked for, by its names.
        settings: every setting, flat.
        reports: scores by ``training_iteration``.
        checkpoint: folder of the last checkpoint, relative to the sweep's, or ``None``.
        status: ``completed``, ``stopped_early``, ``diverged``, ``failed``, or ``None`` while it may go on.
        reason: why it failed.
        busy_s: seconds a worker has spent on it, idle time between two calls not counted.
        failures: times its worker died or it raised, the node's death not counted.
        restored: times it was handed to a worker with a checkpoint to go on from.
    """

    trial_id: str
    cell: Cell
    params: dict[str, Any]
    settings: dict[str, Any]
    reports: dict[int, dict[str, float]] = field(default_factory=dict)
    checkpoint: str | None = None
    status: str | None = None
    reason: str | None = None
    busy_s: float = 0.0
    failures: int = 0
    restored: int = 0

    def values(self, metric: str) -> dict[int, float]:
        """One score by ``training_iteration``, in order."""
        return {iteration: self.reports[iteration][metric] for iteration in sorted(self.reports)}

    @property
    def scores(self) -> dict[str, float]:
        """The last report, empty where there was none."""
        return self.reports[max(self.reports)] if self.reports else {}


class Journal:
    """Appends events to a sweep's journal, and holds the records that follow from it.

    The file stays locked as long as this object lives, so that two processes never run one sweep.

    Args:
        folder: the sweep's folder.
        cell_type: of its trials.

    Raises:
        InputError: if another process has the sweep, or the file is damaged; it is left as it is then.
    """

    def __init__(self, folder: Path, cell_type: type[Cell]) -> None:
        self.path = folder / JOURNAL_FILE
        self._cell_type = cell_type
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise InputError(
                f"the sweep in {folder} is running in another process",
                "one process at a time runs a sweep",
                "wait for it, or stop it first",
            ) from None
        try:
            self.records, self._size = _read(self.path, cell_type)
        except InputError:
            self.close()
            raise
        os.ftruncate(self._file, self._size)

    def close(self) -> None:
        """Let go of the sweep."""
        os.close(self._file)

    def proposed(
        self, trial_id: str, cell: Cell, params: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> None:
        """A new trial; on the disk before this returns."""
        cell_fields = list(dataclasses.astuple(cell))
        self._append("proposed", trial_id, cell=cell_fields, params=dict(params), settings=dict(settings))
        os.fsync(self._file)

    def reported(self, trial_id: str, iteration: int, scores: Mapping[str, float], busy_s: float) -> None:
        """Scores of one iteration. The same iteration again (after a restart) replaces the former."""
        self._append("reported", trial_id, iteration=iteration, scores=dict(scores), busy_s=busy_s)

    def saved(self, trial_id: str, checkpoint: str) -> None:
        """A checkpoint that is complete; on the disk before this returns, as the former one goes then."""
        self._append("saved", trial_id, checkpoint=checkpoint)
        os.fsync(self._file)

    def restored(self, trial_id: str) -> None:
        """A worker is about to go on with the trial from its checkpoint."""
        self._append("restored", trial_id)

    def broke_off(self, trial_id: str, reason: str) -> None:
        """The trial's worker died, or it raised; it may go on."""
        self._append("broke_off", trial_id, reason=reason)

    def node_lost(self, trial_id: str, node: str) -> None:
        """Why it broke off last: its node is gone, which is nothing that the trial did."""
        self._append("node_lost", trial_id, node=node)

    def ended(self, trial_id: str, status: str, reason: str | None = None) -> None:
        """The trial's end; on the disk before this returns."""
        self._append("ended", trial_id, status=status, reason=reason)
        os.fsync(self._file)

    def _append(self, event: str, trial_id: str, **content: Any) -> None:
        line = json.dumps({"event": event, "trial": trial_id, **content}, allow_nan=False).encode() + b"\n"
        try:
            written = os.write(self._file, line)
            if written < len(line):  # a disk that fills up takes a part
                os.write(self._file, line[written:])
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)
        _apply(self.records, json.loads(line), self._cell_type)


def read_records(folder: Path, cell_type: type[Cell]) -> dict[str, TrialRecord]:
    """The trials of a sweep, by id, without taking hold of it.

    Raises:
        InputError: if the file is damaged.
    """
    return _read(folder / JOURNAL_FILE, cell_type)[0]


def _read(path: Path, cell_type: type[Cell]) -> tuple[dict[str, TrialRecord], int]:
    """The records, and the bytes of the lines they follow from."""
    records: dict[str, TrialRecord] = {}
    size = 0
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            break  # cut off by a kill: it never counted
        try:
            event = json.loads(line)
            _check_event(records, event)
            _apply(records, event, cell_type)
        except ValueError as error:
            raise InputError(
                f"{path} is damaged in line {number} ({error})",
                "each line must be an event of a trial that was proposed before",
                RESTORE,
            ) from error
        size += len(line)
    return records, size


def _check_event(records: Mapping[str, TrialRecord], event: Any) -> None:
    """Hold a line's content against what :class:`Journal` writes.

    Raises:
        ValueError: saying what it is not.
    """
    if not isinstance(event, dict) or not _is_text(event.get("trial")):
        raise ValueError("it names no trial")
    kind, trial = event.get("event", ""), event["trial"]
    if not _is_text(kind) or kind not in _CONTENT:
        raise ValueError("it names no event")
    if (kind == "proposed") == (trial in records):
        raise ValueError(f"trial {trial} was {'proposed before' if trial in records else 'never proposed'}")
    for name, is_fine in _CONTENT[kind].items():
        if not is_fine(event.get(name)):
            raise ValueError(f"its {name} is {event.get(name)!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_CONTENT: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "proposed": {
        "params": _is_object,
        "settings": _is_object,
    },
    "reported": {
        "iteration": lambda iteration: type(iteration) is int,
        "scores": lambda scores: _is_object(scores) and all(map(_is_number, scores.values())),
        "busy_s": _is_number,
    },
    "saved": {"checkpoint": _is_text},
    "restored": {},
    "broke_off": {},
    "node_lost": {},
    "ended": {
        "status": lambda status: status in ENDS,
        "reason": lambda reason: reason is None or _is_text(reason),
    },
}
"""What each event holds besides its trial, as far as it is read."""


def _apply(records: dict[str, TrialRecord], event: Mapping[str, Any], cell_type: type[Cell]) -> None:
    trial_id = event["trial"]
    if event["event"] == "proposed":
        cell = cell_type.read(event.get("cell"))
        records[trial_id] = TrialRecord(trial_id, cell, event["params"], event["settings"])
        return
    record = records[trial_id]
    if event["event"] == "reported":
        record.reports[event["iteration"]] = event["scores"]
        record.busy_s += event["busy_s"]
    elif event["event"] == "saved":
        record.checkpoint = event["checkpoint"]
    elif event["event"] == "restored":
        record.restored += 1
    elif event["event"] == "broke_off":
        record.failures += 1
    elif event["event"] == "node_lost":
        record.failures -= 1
    elif event["event"] == "ended":
        record.status, record.reason = event["status"], event["reason"]
