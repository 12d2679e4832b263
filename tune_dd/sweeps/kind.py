"""What the shared parts of a sweep leave to the kind of distillation that is swept."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from ray import tune

from tune_dd.sweeps.journal import TrialRecord
from tune_dd.sweeps.settings import Cell, SweepConfig

Report = Callable[[str], None]
Config = TypeVar("Config", bound=SweepConfig)
Scores = Mapping[str, float]


@dataclass(frozen=True)
class Rerun:
    """A trial that was run again.

    Attributes:
        scores: of its last report.
        iterations: reports that were made.
        facts: of what it learned from.
    """

    scores: Scores
    iterations: int
    facts: Mapping[str, Any]


class Kind(ABC, Generic[Config]):
    """One kind of distillation, for one sweep.

    Attributes:
        config: the sweep's settings.
        facts: where trials learn from, by :attr:`Cell.source`, each with a ``key`` that is the same where
            trials can be compared; known once :meth:`prepare` has been called.
    """

    TIMINGS: ClassVar[tuple[str, ...]] = ("cpu_s",)
    """Scores that two runs of one configuration need not agree on."""
    RESUMES_EXACTLY: ClassVar[bool] = True
    """Whether a trial that went on from a checkpoint ends as if it had never been interrupted."""
    CAUSES: ClassVar[tuple[str, ...]] = ("key",)
    """Facts to name where scores differ from those on record."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.facts: dict[str, Mapping[str, Any]] = {}

    # What trials are.

    @property
    @abstractmethod
    def trainable(self) -> type[tune.Trainable]:
        """What Ray Tune runs."""

    @property
    def trial_config(self) -> dict[str, Any]:
        """What each trial's config holds beside its settings."""
        return {}

    # Before trials start.

    @abstractmethod
    def check(self, report: Report, *, fetch: bool = True) -> None:
        """Check what trials will need, before the sweep writes anything.

        Args:
            report: told of what takes long.
            fetch: whether what is missing may be downloaded; where not, it is not checked.

        Raises:
            InputError: something cannot be used.
        """

    def looking_only(self) -> contextlib.AbstractContextManager[Self]:
        """The same kind, whose checks leave nothing behind."""
        return contextlib.nullcontext(self)

    @abstractmethod
    def known_facts(self, report: Report) -> Mapping[str, Mapping[str, Any]]:
        """As much of :attr:`facts` as can be told before :meth:`prepare`, the keys at least."""

    @abstractmethod
    def prepare(self, report: Report) -> None:
        """Have what trials learn from, and know its facts.

        Raises:
            InputError: it cannot be had.
        """

    def keep(self, folder: Path) -> None:
        """Copy into the sweep's folder what results are not understood without."""

    # While they run, and afterwards.

    @abstractmethod
    def check_checkpoint(self, checkpoint: Path) -> None:
        """Open a checkpoint that a trial would go on from.

        Raises:
            InputError, OSError, ValueError: it is damaged.
        """

    @abstractmethod
    def run_place(self, record: TrialRecord) -> tuple[str, str, str]:
        """The last three folders of a trial, such as ``digits``, ``conv``, ``implicit-m10-seed0-00007``."""

    @abstractmethod
    def fill_run(
        self, place: Path, record: TrialRecord, checkpoint: Path | None, more: Mapping[str, Any]
    ) -> None:
        """Write a trial's summary and what else is kept of it.

        Args:
            place: its new folder.
            checkpoint: the last one.
            more: entries of the summary that all kinds have.
        """

    @abstractmethod
    def controls(self, cell: Cell) -> dict[str, dict[str, float]]:
        """Scores of what trials of a cell have to beat, by name."""

    def bounds(self, cell: Cell) -> tuple[tuple[float, float], tuple[float, float]]:
        """The reference and the ideal value of each of the sweep's axes; asked where it has two."""
        raise NotImplementedError

    @abstractmethod
    def rerun(self, settings: Mapping[str, Any], iterations: int, report: Report) -> Rerun:
        """One trial again, in this process.

        Args:
            settings: all of its.
            iterations: reports to stop after, where it does not end before.
        """

    # In words.

    @abstractmethod
    def score_words(self, record: TrialRecord) -> str:
        """The last score that is maximised."""

    @abstractmethod
    def heading(self, cell: Cell) -> str:
        """Over a cell's table."""

    @abstractmethod
    def columns(self, cell: Cell) -> Sequence[str]:
        """Headings between a trial's number and the note at the end; the first one names a row."""

    @abstractmethod
    def trial_name(self, settings: Mapping[str, Any]) -> str:
        """What names a trial's row."""

    def set_name(self, cell: Cell, settings: Mapping[str, Any]) -> str:
        """The same, with its size where trials of the cell differ in it and nothing else tells."""
        return self.trial_name(settings)

    @abstractmethod
    def row(self, cell: Cell, name: str, scores: Scores) -> Sequence[str]:
        """What stands in a row under :meth:`columns`; of a trial, or of a control."""

    @property
    @abstractmethod
    def scores_are(self) -> str:
        """What the tables' scores are scores of, in a sentence."""

    @abstractmethod
    def next_commands(self, folder: Path, summary: Mapping[str, Any]) -> dict[str, str]:
        """What to do with the best trials, by purpose."""

    @abstractmethod
    def preparations(self) -> Sequence[str]:
        """What :meth:`prepare` will have to do, a line each."""

    @abstractmethod
    def trial_s(self, settings: Mapping[str, Any]) -> float:
        """Roughly, how many seconds a trial with these settings, all of its, takes on one CPU."""
