"""Scores by iteration for TensorBoard, written where the sweep's results lie."""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from tensorboardX.proto.event_pb2 import Event  # type: ignore[import-untyped]
from tensorboardX.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboardX.record_writer import masked_crc32c  # type: ignore[import-untyped]


class TensorboardLog:
    """One folder of event files per trial, ``<folder>/<trial id>``.

    Tune's own logger writes into Ray's session folder and copies from there now and then, so that
    after a kill files are missing; these are in place from the first report. The usual writer hands
    events to a thread, which blocks for ever once the disk is full; here writing fails where it is asked for.
    Nothing is synced: a curve is worth less than that costs on a shared folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}

    def log(self, trial_id: str, iteration: int, scores: Mapping[str, float]) -> None:
        """Add one iteration's scores.

        Raises:
            OSError: the folder cannot be written, or the disk is full.
        """
        now = time.time()
        if trial_id not in self._files:
            place = self._folder / trial_id
            place.mkdir(parents=True, exist_ok=True)
            # TensorBoard orders the files of one folder by this number: a resumed trial adds a file.
            path = place / f"events.out.tfevents.{now:.6f}"
            self._files[trial_id] = path.open("ab", buffering=0)
            self._write(trial_id, Event(wall_time=now, file_version="brain.Event:2"))
        values = [Summary.Value(tag=name, simple_value=value) for name, value in scores.items()]
        self._write(trial_id, Event(wall_time=now, step=iteration, summary=Summary(value=values)))

    def _write(self, trial_id: str, event: Event) -> None:
        """Length and content, each with its checksum."""
        content = event.SerializeToString()
        parts = (struct.pack("<Q", len(content)), content)
        whole = b"".join(part + struct.pack("<I", masked_crc32c(part)) for part in parts)
        if self._files[trial_id].write(whole) < len(whole):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self, trial_id: str) -> None:
        """A trial's last word."""
        file = self._files.pop(trial_id, None)
        if file is not None:
            file.close()
