"""One line that says how a sweep stands: rewritten in place on a terminal, now and then in a log file."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import TextIO

from tune_dd.sweeps.journal import SCORED, TrialRecord
from tune_dd.sweeps.pareto import front
from tune_dd.sweeps.plurals import counted
from tune_dd.sweeps.results import ranking
from tune_dd.sweeps.settings import Cell, SweepConfig

TERMINAL_PERIOD_S = 0.5
FILE_PERIOD_S = 10.0
MOST_CELLS_SHOWN = 3


class LiveDisplay:
    """Shows progress on a stream; threads may have something to say at the same time.

    Args:
        stream: a terminal, or anything that takes text.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._terminal = self._stream.isatty()
        self._shown = ""
        self._shown_at = float("-inf")
        self._writing = threading.Lock()

    def say(self, line: str) -> None:
        """A line that stays."""
        with self._writing:
            if self._terminal and self._shown:
                self._stream.write("\r\x1b[2K")
                self._shown = ""
            self._stream.write(line + "\n")
            self._stream.flush()

    @property
    def due(self) -> bool:
        """Whether the line shown last is old enough for another."""
        period = TERMINAL_PERIOD_S if self._terminal else FILE_PERIOD_S
        return time.monotonic() - self._shown_at >= period

    def show(self, line: str, now: bool = False) -> None:
        """The line of the moment; on a terminal it takes the place of the former one.

        Args:
            now: whether it should be shown though the former is recent.
        """
        if line == self._shown or not (now or self.due):
            return
        with self._writing:
            if self._terminal:
                width = shutil.get_terminal_size().columns - 1
                self._stream.write("\r\x1b[2K" + (line if len(line) <= width else line[: width - 1] + "…"))
            else:
                self._stream.write(line + "\n")
            self._stream.flush()
            self._shown, self._shown_at = line, time.monotonic()

    def end(self) -> None:
        """Leave the last line standing."""
        if self._terminal and self._shown:
            self._stream.write("\n")
            self._stream.flush()
        self._shown = ""


class Standing:
    """How trials have ended, and the best of each cell: kept up as they end, however many there are.

    Args:
        records: all of the sweep's, those that are added to it later too.
    """

    def __init__(self, config: SweepConfig, records: Collection[TrialRecord]) -> None:
        self.config, self._records = config, records
        self.ended: Counter[str] = Counter()
        self.best: dict[Cell, list[TrialRecord]] = {}
        for record in records:
            self.add(record)

    def add(self, record: TrialRecord) -> None:
        """A trial that may have ended."""
        if record.status is None:
            return
        self.ended[record.status] += 1
        cell, config = record.cell, self.config
        # What was bettered once is bettered for good.
        rivals = [*self.best.get(cell, ()), record]
        self.best[cell] = front(rivals, cell, config) if config.axes else ranking(rivals, cell, config)[:1]

    @property
    def unended(self) -> int:
        """Trials that run or wait."""
        return len(self._records) - self.ended.total()


def progress_line(
    standing: Standing,
    score_words: Callable[[TrialRecord], str],
    total: int,
    seconds_left: float | None,
    workers: int,
) -> str:
    """How a sweep stands: ended trials by how they ended, running ones, the best so far, time left.

    Args:
        score_words: a trial's score in words.
        total: trials of the whole sweep.
        workers: trials that run at a time.
    """
    ended = standing.ended
    parts = [f"{ended.total()} of {counted(total, 'trial')}"]
    for status, words in (
        ("completed", "complete"),
        ("stopped_early", "stopped early"),
        ("diverged", "diverged"),
        ("failed", "failed"),
    ):
        if ended[status] or status in SCORED:
            parts.append(f"{ended[status]} {words}")
    running = min(standing.unended, workers)  # the others wait for a worker
    line = ", ".join([*parts, f"{running} running"])
    best = _best(standing, score_words)
    if best:
        line += f" | {'' if standing.config.axes else 'best '}{best}"
    if seconds_left is not None:
        line += f" | {clock(seconds_left)} left"
    return line


def _best(standing: Standing, score_words: Callable[[TrialRecord], str]) -> str:
    config, cells = standing.config, standing.config.cells
    found = [(cell, best) for cell in cells if (best := standing.best.get(cell))]
    if config.axes:
        return _fronts(found, len(cells), score_words)
    leaders = [(cell, best[0]) for cell, best in found]
    if len(cells) > MOST_CELLS_SHOWN:
        leaders = sorted(leaders, key=lambda pair: -pair[1].scores[config.metric])[:1]
        return "".join(f"{score_words(record)} ({cell})" for cell, record in leaders)
    if len({cell.group for cell in cells}) > 1:
        return ", ".join(f"{score_words(record)} at {cell}" for cell, record in leaders)
    if cells[0].size is None:
        return ", ".join(score_words(record) for _, record in leaders)
    parts = [f"{score_words(record)} at {cell.size}" for cell, record in leaders]
    return ", ".join(parts) + (f" {cells[0].SIZE_WORDS}" if parts else "")


def _fronts(
    fronts: list[tuple[Cell, list[TrialRecord]]], cells: int, score_words: Callable[[TrialRecord], str]
) -> str:
    """Each front's ends, and of many the longest one's."""
    if cells > MOST_CELLS_SHOWN:
        fronts = sorted(fronts, key=lambda pair: -len(pair[1]))[:1]
    return ", ".join(
        f"front of {len(found)}, "
        + " to ".join(dict.fromkeys(score_words(found[place]) for place in (0, -1)))
        + (f" ({cell})" if cells > 1 else "")
        for cell, found in fronts
    )


def clock(seconds: float) -> str:
    """``1:05``, or with hours ``2:01:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
