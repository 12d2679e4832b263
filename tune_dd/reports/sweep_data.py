"""A sweep's files as its report reads them: summary, journal and evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tune_dd.runs.folder import check_shape, read_json
from tune_dd.runs.places import place_of
from tune_dd.sweeps.finished import open_sweep
from tune_dd.sweeps.journal import SCORED, TrialRecord, read_records
from tune_dd.sweeps.kind import Kind
from tune_dd.sweeps.results import EVALUATION_FILE, UNREAD_FILE
from tune_dd.sweeps.settings import Cell

Trial = Mapping[str, Any]
"""An entry of ``trials`` in ``sweep_summary.json``."""


@dataclass(frozen=True)
class CellData:
    """Trials that may be compared.

    Attributes:
        cell: what they share.
        entry: of ``cells`` in ``sweep_summary.json``.
        trials: in the order in which they were proposed.
        evaluation: of ``cells`` in ``evaluation.json``; ``None`` where nobody has evaluated it.
    """

    cell: Cell
    entry: Mapping[str, Any]
    trials: Sequence[Trial]
    evaluation: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        return str(self.entry["cell"])

    @property
    def best(self) -> Trial | None:
        """The trial that is ranked first, if any ended with a score."""
        return next((trial for trial in self.trials if trial["trial_id"] == self.entry["best"]), None)

    @property
    def scored(self) -> list[Trial]:
        """Trials that ended with a score."""
        return [trial for trial in self.trials if trial["status"] in SCORED and trial["scores"]]


@dataclass(frozen=True)
class SweepData:
    """One sweep.

    Attributes:
        folder: the sweep's.
        summary: the content of ``sweep_summary.json``.
        kind: what was swept.
        evaluated: the content of ``evaluation.json``, or of what ``evaluate --no-test`` wrote; ``None``
            where nobody has evaluated the sweep.
    """

    folder: Path
    summary: Mapping[str, Any]
    kind: Kind[Any]
    evaluated: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        return str(self.summary["name"])

    @property
    def place(self) -> str:
        """The sweep's folder or URI, as commands name it."""
        return place_of(self.folder)

    @property
    def metric(self) -> str:
        """The score that was maximised."""
        return str(self.summary["objective"])

    @property
    def trials(self) -> Sequence[Trial]:
        found: Sequence[Trial] = self.summary["trials"]
        return found

    @cached_property
    def records(self) -> Mapping[str, TrialRecord]:
        """What the journal holds, with every report."""
        return read_records(self.folder, self.kind.config.CELL)

    @cached_property
    def cells(self) -> list[CellData]:
        """In the order of the summary."""
        by_name = {str(cell): cell for cell in self.kind.config.cells}
        evaluated = {entry["cell"]: entry for entry in (self.evaluated or {}).get("cells", ())}
        return [
            CellData(
                by_name[entry["cell"]],
                entry,
                [trial for trial in self.trials if trial["cell"] == entry["cell"]],
                evaluated.get(entry["cell"]),
            )
            for entry in self.summary["cells"]
        ]

    @cached_property
    def names(self) -> list[str]:
        """What rows of trials are named, such as methods, in the order in which they came up."""
        return list(dict.fromkeys(self.kind.trial_name(trial["config"]) for trial in self.trials))

    def name_of(self, trial: Trial) -> str:
        """What a trial's row is named."""
        return self.kind.trial_name(trial["config"])

    def reports(self, trial_id: str) -> Iterator[tuple[int, Mapping[str, float]]]:
        """A trial's scores by ``training_iteration``, in order."""
        reports = self.records[trial_id].reports if trial_id in self.records else {}
        return iter(sorted(reports.items()))


def read_sweep_data(results: str, cache: str | None = None) -> SweepData:
    """Read a sweep.

    Args:
        results: its folder, or its URI in a bucket.
        cache: of encoders and latents; ``None`` for the one that the sweep used.

    Raises:
        InputError: there is no such sweep, it has no summary yet, or one of its files is damaged.
    """
    folder, summary, config = open_sweep(results, cache)
    return SweepData(folder, summary, config.open(), read_evaluation(folder))


def read_evaluation(folder: Path) -> Mapping[str, Any] | None:
    """What ``tune-dd evaluate`` found, on test where it was read; ``None`` where it has not run.

    Raises:
        InputError: the file is damaged.
    """
    for name in (EVALUATION_FILE, UNREAD_FILE):
        path, remedy = folder / name, f"remove it, and run tune-dd evaluate {place_of(folder)} again"
        if path.exists():
            content = read_json(path, "a sweep's evaluation", remedy)
            shape = {"cells": [{"cell": str, "chosen": str, "rows": [{"name": str, "kind": str}]}]}
            check_shape(path, "a sweep's evaluation", content, shape, remedy)
            return content
    return None
