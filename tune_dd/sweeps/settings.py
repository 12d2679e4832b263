"""The settings that every sweep has, frozen: what ``sweep.json`` holds and what ``--resume`` goes by.

What is swept, a *kind* of distillation, is a subclass:
:class:`~tune_dd.sweeps.latent.settings.LatentSweep` or
:class:`~tune_dd.sweeps.environment.settings.EnvironmentSweep`.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from search_spaces import Space, SpaceContext
from trainables.errors import InputError
from trainables.schema import check_value, flag_name, option, refuse_repeated, refuse_unknown, value_type
from tune_dd.runs.folder import check_name
from tune_dd.sweeps.axes import Axis

if TYPE_CHECKING:  # torch and Ray take seconds to import: only once the settings are known to be good
    from tune_dd.sweeps.kind import Kind

SEARCHERS = ("tpe", "random", "grid")
SCHEDULERS = ("asha", "none")
DEFAULT_TRIALS = 28


@dataclass(frozen=True)
class Cell(ABC):
    """Trials that may be compared: those that share what a kind's fields say. The fields are plain values.

    Short runs are compared, and proposals modelled, inside a cell alone; best and top-k are per cell.
    """

    SIZE_WORDS: ClassVar[str]
    """What :attr:`size` counts."""

    @property
    @abstractmethod
    def source(self) -> str:
        """What the trials learn from, which cells may share."""

    @property
    @abstractmethod
    def group(self) -> str:
        """All but the size."""

    @property
    @abstractmethod
    def size(self) -> int | None:
        """Of the distilled set; ``None`` where it is searched."""

    @classmethod
    def read(cls, values: Any) -> Self:
        """A cell from the values of its fields in order, as the journal holds them.

        Raises:
            ValueError: they are no such values.
        """
        rules = [value_type(cls, part.name) for part in dataclasses.fields(cls)]
        if not isinstance(values, list) or len(values) != len(rules):
            raise ValueError(f"its cell is {values!r}")
        for value, (kind, optional) in zip(values, rules, strict=True):
            if type(value) is not kind and not (optional and value is None):
                raise ValueError(f"its cell is {values!r}")
        return cls(*values)


def many(default: tuple[Any, ...], help: str, kind: type, **rule: Any) -> Any:
    """A field that holds several values of one kind, each under the rule of :func:`option`."""
    declared = option(None, help, **rule)
    return field(default=default, metadata={**declared.metadata, "many": kind})


@dataclass(frozen=True)
class SweepConfig(ABC):
    """The sweep: what is tried, how it is chosen, and what it may use."""

    KIND: ClassVar[str]
    """The kind's name in ``sweep.json``."""
    COMMAND: ClassVar[str]
    """The command line that makes such a sweep, without its flags."""
    DESCRIPTION: ClassVar[str]
    """Of that command."""
    CELL: ClassVar[type[Cell]]
    PASSED_ON: ClassVar[tuple[type, ...]]
    """Config dataclasses whose settings flags can fix for all trials."""
    OWN_SETTINGS: ClassVar[frozenset[str]]
    """Settings among them that the sweep sets itself, through its lists and resources."""
    LISTS: ClassVar[str]
    """Flags by which it does, for a message."""
    COMPARED: ClassVar[tuple[type, ...]]
    """Config dataclasses in whose settings trials of two sweeps must agree, among others."""
    NEEDED: ClassVar[frozenset[str]]
    """Settings of a trial on record that a sweep cannot go on without."""
    REPORTED: ClassVar[frozenset[str]]
    """Scores that every report of a trial holds, among others."""
    TIE_BREAKS: ClassVar[Mapping[str, str]]
    """The score that ranks trials of equal worth, by the score that is maximised."""
    OTHER_SOURCE: ClassVar[str]
    """Why trials that learned from something else teach this sweep nothing."""
    WITHOUT_FLAG: ClassVar[frozenset[str]] = frozenset()
    """Fields that say nothing to this kind."""
    PATHS: ClassVar[tuple[str, ...]] = ()
    """Settings that are paths."""
    PATHS_OR_WORDS: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Settings that are one of these words, or a path."""
    PINNED: ClassVar[Mapping[str, str]] = {}
    """Those of them whose content is a setting, too, with the setting that holds its SHA-256."""

    name: str = option("", "the sweep's folder in the storage")
    space: str = option("", "the search space")
    searcher: str = option(
        "tpe", "who proposes: Optuna's TPE, chance, or the grid of known good points", choices=SEARCHERS
    )
    scheduler: str | None = option(
        None,
        "who stops trials early (default: asha; none for the grid, and for two scores at once)",
        choices=SCHEDULERS,
    )
    objective: str | None = option(None, "the score to maximise")
    seeds: tuple[int, ...] = many((0,), "seeds, one cell each", int, at_least=0)
    num_trials: int | None = option(
        None, f"trials (default: {DEFAULT_TRIALS}; the grid runs all its points)", at_least=1
    )
    time_budget_s: float | None = option(None, "stop after this many seconds of trials", above=0.0)
    max_concurrent: int | None = option(None, "trials at a time (default: as many as fit)", at_least=1)
    cpus_per_trial: int = option(1, "CPUs, and threads, of one trial", at_least=1)
    gpus_per_trial: float = option(0.0, "GPUs of one trial; shares such as 0.25 are fine", at_least=0.0)
    address: str | None = option(
        None, "a running Ray cluster (default: an own one, for the time of the sweep)", metavar="HOST:PORT"
    )
    storage: str = option("results", "folder or bucket (s3://BUCKET/PREFIX) of all sweeps", metavar="DIR")
    seed: int = option(0, "seed of the searcher", at_least=0)
    warm_start: str | None = option(
        None,
        "an earlier sweep in the same storage: its settings hold unless given, but for --num-trials and "
        "--time-budget-s; its trials are known",
        metavar="NAME",
    )
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for declared in dataclasses.fields(self):
            _check_field(self, declared)
        check_name("--name", self.name)
        if self.warm_start is not None:
            check_name("--warm-start", self.warm_start)
        if self.searcher == "grid" and self.num_trials is not None:
            raise InputError(
                f"--num-trials is {self.num_trials} with --searcher grid",
                "the grid runs all its points",
                "leave it out, or choose --searcher random",
            )
        if self.searcher == "grid" and self.warm_start is not None:
            raise InputError(
                f"--warm-start is {self.warm_start} with --searcher grid",
                "the grid learns from no earlier trial",
                "leave it out, or choose --searcher tpe",
            )
        self.check_own()
        # Parses every combination once: whatever is wrong is told before anything starts.
        for cell in self.cells:
            self.trial_settings(cell, self.example(cell))

    @classmethod
    def still_meant(cls, settings: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
        """Those settings of an earlier sweep that mean something to one of these fields."""
        return dict(settings)

    def refuse_unread(self, given: Collection[str]) -> None:
        """Refuse what somebody gave for a new sweep and no trial would read; sweeps on record may hold it.

        Args:
            given: fields and settings.

        Raises:
            InputError: naming the flag.
        """
        del given  # a kind whose trials read all settings refuses none

    @abstractmethod
    def check_own(self) -> None:
        """Hold the kind's own fields against each other.

        Raises:
            InputError: if they do not go together.
        """

    @property
    def compared(self) -> tuple[str, ...]:
        """Settings in which trials of two sweeps must agree to be compared by what is maximised."""
        return tuple(declared.name for part in self.COMPARED for declared in dataclasses.fields(part))

    @property
    @abstractmethod
    def cells(self) -> tuple[Cell, ...]:
        """All cells, in the order in which they are asked for trials."""

    @property
    @abstractmethod
    def space_of_choice(self) -> Space[Any]:
        """The search space that ``space`` names."""

    @property
    @abstractmethod
    def metric(self) -> str:
        """The score that is maximised."""

    @abstractmethod
    def example(self, cell: Cell) -> Mapping[str, Any]:
        """What a search space might propose, as far as settings cannot be parsed without it."""

    @abstractmethod
    def context(self, cell: Cell) -> SpaceContext:
        """What the search space is told about ``cell``."""

    @abstractmethod
    def trial_settings(self, cell: Cell, proposed: Mapping[str, Any]) -> dict[str, Any]:
        """Every setting of one trial, flat; the proposal of a search space filled up.

        Raises:
            InputError: if they do not go together.
        """

    @abstractmethod
    def cell_of(self, settings: Mapping[str, Any]) -> Cell:
        """The cell that a trial's flat settings belong to."""

    @abstractmethod
    def other_source(self, source: str, former: str, found: str) -> InputError:
        """What to say where the trials on record learned from something else.

        Args:
            source: its name.
            former, found: its key then and now.
        """

    @abstractmethod
    def open(self) -> Kind:
        """What a sweep of this kind does beside what all do; imports torch and Ray."""

    @classmethod
    @abstractmethod
    def default_name(cls, given: Mapping[str, Any]) -> str:
        """What a sweep without ``--name`` is about, in a word, from the fields that are given."""

    @property
    def axes(self) -> tuple[Axis, Axis] | None:
        """Two scores that are weighed against each other, :attr:`metric` first, where one is not enough."""
        return None

    @property
    def early_stopping(self) -> bool:
        """Whether short runs are compared and the worse ones stopped; of two scores none is the worse one."""
        usual = "none" if self.searcher == "grid" or self.axes else "asha"
        return (self.scheduler or usual) == "asha"

    def to_json(self) -> dict[str, Any]:
        """Plain values, as ``sweep.json`` holds them."""
        return {**dataclasses.asdict(self), "settings": dict(self.settings)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`.

        Raises:
            InputError: for an unknown name or a value against its rule.
        """
        refuse_unknown(content, (cls,))
        values: dict[str, Any] = dict(content)
        for name, value in values.items():
            if isinstance(value, list):
                values[name] = tuple(value)
        return cls(**values)


def _check_field(config: SweepConfig, declared: dataclasses.Field[Any]) -> None:
    value, flag = getattr(config, declared.name), flag_name(declared.name)
    if declared.name == "settings":
        if not isinstance(value, Mapping):
            raise InputError(f"the settings are {value!r}", "must have names", "give each one's name")
        for name in value:
            if name in config.OWN_SETTINGS:
                raise InputError(
                    f"the setting '{name}' is fixed by hand",
                    "a sweep sets it itself",
                    f"use the sweep's lists, such as {config.LISTS}",
                )
    elif "many" in declared.metadata:
        if not isinstance(value, tuple | list):
            raise InputError(f"{flag} is {value!r}", "must be a list of values", "give a list")
        for one in value:
            check_value(flag, one, declared.metadata["many"], declared.metadata)
        refuse_repeated(flag, value)
        if not value and declared.default:
            raise InputError(
                f"{flag} is empty", "must name at least one value", "leave it out for the default"
            )
    else:
        kind, optional = value_type(type(config), declared.name)
        if not (optional and value is None):
            check_value(flag, value, kind, declared.metadata)
