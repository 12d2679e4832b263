"""Scores by iteration for TensorBoard, written where the sweep's results lie."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event  # type: ignore[import-untyped]
from tensorboardX.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboardX.record_writer import RecordWriter  # type: ignore[import-untyped]


class TensorboardLog:
    """One folder of event files per trial, ``<folder>/<trial id>``.

    Tune's own logger writes into Ray's session folder and copies from there now and then, so that
    after a kill files are missing; these are in place from the first report. The usual writer hands
    events to a thread, which blocks for ever once the disk is full; here writing fails where it is asked for.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, RecordWriter] = {}

    def log(self, trial_id: str, iteration: int, scores: Mapping[str, float]) -> None:
        """Add one iteration's scores.

        Raises:
            OSError: the folder cannot be written, or the disk is full.
        """
        now = time.time()
        if trial_id not in self._writers:
            place = self._folder / trial_id
            place.mkdir(parents=True, exist_ok=True)
            # TensorBoard orders the files of one folder by this number: a resumed trial adds a file.
            self._writers[trial_id] = RecordWriter(str(place / f"events.out.tfevents.{now:.6f}"))
            self._write(trial_id, Event(wall_time=now, file_version="brain.Event:2"))
        values = [Summary.Value(tag=name, simple_value=value) for name, value in scores.items()]
        self._write(trial_id, Event(wall_time=now, step=iteration, summary=Summary(value=values)))

    def _write(self, trial_id: str, event: Event) -> None:
        writer = self._writers[trial_id]
        writer.write(event.SerializeToString())
        writer.flush()

    def close(self, trial_id: str) -> None:
        """A trial's last word."""
        writer = self._writers.pop(trial_id, None)
        if writer is not None:
            writer.close()
