"""The truth of a sweep: an append-only file of what was proposed, reported, saved and ended.

Ray Tune has a snapshot of its own, but it is several files that are neither written atomically nor
at one moment (the trials, the searcher's state; the scheduler's state not at all), at intervals of
seconds: after a kill between two of the writes, restoring it loses trials or runs them twice. Here
each event is one line, appended with one write. A kill can cut off the last line alone, which is then
dropped; and because a proposal is on file before its trial starts, and an end before it counts, every
trial is there once.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainables.errors import InputError
from tune_dd.sweeps.settings import Cell

JOURNAL_FILE = "journal.jsonl"


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
        failures: times its worker died or it raised.
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

    Raises:
        InputError: if another process has the sweep, or the file is damaged before its last line.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL_FILE
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
        self.records: dict[str, TrialRecord] = {}
        self._size = 0
        for line, event in _events(self.path):
            _apply(self.records, event)
            self._size += len(line)
        os.ftruncate(self._file, self._size)

    def close(self) -> None:
        """Let go of the sweep."""
        os.close(self._file)

    def proposed(
        self, trial_id: str, cell: Cell, params: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> None:
        """A new trial; on the disk before this returns."""
        cell_fields = [cell.dataset, cell.backbone, cell.seed, cell.m_per_class]
        self._append("proposed", trial_id, cell=cell_fields, params=dict(params), settings=dict(settings))
        os.fsync(self._file)

    def reported(self, trial_id: str, iteration: int, scores: Mapping[str, float], busy_s: float) -> None:
        """Scores of one iteration. The same iteration again (after a restart) replaces the former."""
        self._append("reported", trial_id, iteration=iteration, scores=dict(scores), busy_s=busy_s)

    def saved(self, trial_id: str, checkpoint: str) -> None:
        """A checkpoint that is complete."""
        self._append("saved", trial_id, checkpoint=checkpoint)

    def broke_off(self, trial_id: str, reason: str) -> None:
        """The trial's worker died, or it raised; it may go on."""
        self._append("broke_off", trial_id, reason=reason)

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
        _apply(self.records, json.loads(line))


def read_records(folder: Path) -> dict[str, TrialRecord]:
    """The trials of a sweep, by id, without taking hold of it."""
    records: dict[str, TrialRecord] = {}
    for _, event in _events(folder / JOURNAL_FILE):
        _apply(records, event)
    return records


def _events(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            return  # cut off by a kill: it never counted
        try:
            event = json.loads(line)
            if not isinstance(event, dict):
                raise ValueError("it holds no names")
        except ValueError as error:
            raise InputError(
                f"{path} is damaged in line {number}",
                "each line must be a JSON object",
                "restore it from a copy",
            ) from error
        yield line, event


def _apply(records: dict[str, TrialRecord], event: Mapping[str, Any]) -> None:
    trial_id = event["trial"]
    if event["event"] == "proposed":
        cell = Cell(*event["cell"])
        records[trial_id] = TrialRecord(trial_id, cell, event["params"], event["settings"])
        return
    record = records[trial_id]
    if event["event"] == "reported":
        record.reports[event["iteration"]] = event["scores"]
        record.busy_s += event["busy_s"]
    elif event["event"] == "saved":
        record.checkpoint = event["checkpoint"]
    elif event["event"] == "broke_off":
        record.failures += 1
    elif event["event"] == "ended":
        record.status, record.reason = event["status"], event["reason"]
