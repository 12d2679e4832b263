"""The settings of a sweep, frozen: what is written to ``sweep.json`` and what ``--resume`` goes by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search_spaces import SPACES, SpaceContext
from trainables.errors import InputError
from trainables.latent.cache import default_cache
from trainables.latent.config import (
    BACKBONES,
    DATASET_OF,
    DATASETS,
    LABEL_TRACKS,
    METHODS,
    DataConfig,
    DistillConfig,
    EncoderConfig,
    LatentConfig,
)
from trainables.schema import check_value, flag_name, option, refuse_unknown, value_type
from tune_dd.runs.folder import check_name

SEARCHERS = ("tpe", "random", "grid")
SCHEDULERS = ("asha", "none")
OBJECTIVES = ("probe_accuracy", "roundtrip_accuracy")
DEFAULT_TRIALS = 28
PASSED_ON = (DataConfig, EncoderConfig, DistillConfig)
# What the sweep sets itself, through its lists and resources.
OWN_SETTINGS = frozenset(
    {"dataset", "backbone", "encoder_seed", "seed", "m_per_class", "method", "labels", "threads"}
)

# The encoders that take --weights.
PRETRAINED = ("resnet18", "vit_b_16")


@dataclass(frozen=True)
class Cell:
    """Trials that may be compared: same data, same encoder, as many prototypes.

    Short runs are compared, and proposals modelled, inside a cell alone; best and top-k are per cell.
    """

    dataset: str
    backbone: str
    seed: int
    m_per_class: int

    def __str__(self) -> str:
        return f"{self.dataset}/{self.backbone}/seed{self.seed}/m{self.m_per_class}"

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Cell:
        """The cell that a trial's flat settings belong to."""
        return cls(
            settings["dataset"], settings["backbone"], settings["encoder_seed"], settings["m_per_class"]
        )


def many(default: tuple[Any, ...], help: str, kind: type, **rule: Any) -> Any:
    """A field that holds several values of one kind, each under the rule of :func:`option`."""
    declared = option(None, help, **rule)
    return field(default=default, metadata={**declared.metadata, "many": kind})


@dataclass(frozen=True)
class SweepConfig:
    """The sweep: what is tried, how it is chosen, and what it may use."""

    name: str = option("", "the sweep's folder in the storage (default: digits-YYYYmmdd-HHMMSS)")
    space: str = option("latent", "the search space", choices=tuple(SPACES))
    searcher: str = option(
        "tpe", "who proposes: Optuna's TPE, chance, or the grid of known good points", choices=SEARCHERS
    )
    scheduler: str | None = option(
        None, "who stops trials early (default: asha; none for the grid)", choices=SCHEDULERS
    )
    objective: str = option(
        "probe_accuracy", "the score to maximise, on the selection half", choices=OBJECTIVES
    )
    datasets: tuple[str, ...] = many(("digits",), "data sets", str, choices=DATASETS)
    backbones: tuple[str, ...] = many(
        (), "encoders (default: conv; identity for features)", str, choices=BACKBONES
    )
    prototypes: tuple[int, ...] = many((1, 10), "prototypes per class", int, at_least=1)
    budgets: tuple[int, ...] = many(
        (),
        "real points kept per class, in rows of selection controls (default: as many as prototypes)",
        int,
        at_least=1,
    )
    seeds: tuple[int, ...] = many(
        (0,),
        "seeds of encoder and distillation, one cell each (features, which have no encoder: the first alone)",
        int,
        at_least=0,
    )
    methods: tuple[str, ...] = many(METHODS, "how prototypes are learned", str, choices=METHODS)
    labels: str = option("hard", "the label track: fixed one-hot labels, or learned", choices=LABEL_TRACKS)
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
    storage: str = option("results", "folder that holds all sweeps", metavar="DIR")
    cache: str | None = option(
        None, "folder of encoders and latents (default: the user's cache place)", metavar="DIR"
    )
    seed: int = option(0, "seed of the searcher", at_least=0)
    warm_start: str | None = option(
        None,
        "an earlier sweep in the same storage: its settings hold unless given, its trials are known",
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
        for setting, dataset in DATASET_OF.items():
            if setting in self.settings and dataset not in self.datasets:
                raise InputError(
                    f"{flag_name(setting)} is given without --datasets {dataset}",
                    f"only {dataset} reads it",
                    f"add --datasets {dataset} or leave it out",
                )
        if self.objective == "roundtrip_accuracy" and "features" in self.datasets:
            raise InputError(
                "--objective is roundtrip_accuracy with --datasets features",
                "features have no decoder, so there is no round trip",
                "leave --objective out",
            )
        # Parses every combination once: whatever is wrong is told before anything starts.
        for cell in self.cells:
            self.trial_settings(cell, {"method": self.methods[0]})

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, in the order in which they are asked for trials.

        Features have cells of the first seed alone: another seed would give the same latents, and its cells
        would look like replications of an encoder that does not exist.
        """
        return tuple(
            Cell(dataset, backbone, seed, m)
            for dataset in self.datasets
            for backbone in self._backbones(dataset)
            for seed in (self.seeds[:1] if backbone == "identity" else self.seeds)
            for m in self.prototypes
        )

    def _backbones(self, dataset: str) -> tuple[str, ...]:
        return self.backbones or (("identity",) if dataset == "features" else ("conv",))

    @property
    def cache_folder(self) -> Path:
        """Where encoders and latents are kept, absolute."""
        return Path(self.cache).expanduser().absolute() if self.cache else default_cache()

    @property
    def early_stopping(self) -> bool:
        """Whether short runs are compared and the worse ones stopped."""
        return (self.scheduler or ("none" if self.searcher == "grid" else "asha")) == "asha"

    def context(self, cell: Cell) -> SpaceContext:
        """What the search space is told about ``cell``."""
        distill = {f.name for f in dataclasses.fields(DistillConfig)}
        return SpaceContext(
            methods=self.methods,
            has_decoder=cell.backbone != "identity",
            objective=self.objective,
            fixed={name: value for name, value in self.settings.items() if name in distill},
        )

    def trial_settings(self, cell: Cell, proposed: Mapping[str, Any]) -> dict[str, Any]:
        """Every setting of one trial, flat; the proposal of a search space filled up.

        Raises:
            InputError: if they do not go together.
        """
        given = {name: value for name, value in self.settings.items() if self._concerns(name, cell)}
        own = {
            "dataset": cell.dataset,
            "backbone": cell.backbone,
            "encoder_seed": cell.seed,
            "seed": cell.seed,
            "m_per_class": cell.m_per_class,
            "labels": self.labels,
            "threads": self.cpus_per_trial,
        }
        return LatentConfig.parse({**given, **proposed, **own}).flat()

    def _concerns(self, setting: str, cell: Cell) -> bool:
        """Whether a setting given for the whole sweep is one of this cell's."""
        if setting == "weights" and cell.backbone not in PRETRAINED:
            return not any(other.backbone in PRETRAINED for other in self.cells)
        return DATASET_OF.get(setting, cell.dataset) == cell.dataset

    def to_json(self) -> dict[str, Any]:
        """Plain values, as ``sweep.json`` holds them."""
        return {**dataclasses.asdict(self), "settings": dict(self.settings)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SweepConfig:
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
            if name in OWN_SETTINGS:
                raise InputError(
                    f"the setting '{name}' is fixed by hand",
                    "a sweep sets it itself",
                    "use the sweep's lists, such as --methods, --prototypes and --seeds",
                )
    elif "many" in declared.metadata:
        if not isinstance(value, tuple | list):
            raise InputError(f"{flag} is {value!r}", "must be a list of values", "give a list")
        for one in value:
            check_value(flag, one, declared.metadata["many"], declared.metadata)
        if len(set(value)) != len(value):
            raise InputError(
                f"{flag} is {' '.join(map(str, value))}", "must name each value once", "drop the repeated"
            )
        if not value and declared.default:
            raise InputError(
                f"{flag} is empty", "must name at least one value", "leave it out for the default"
            )
    else:
        kind, optional = value_type(SweepConfig, declared.name)
        if not (optional and value is None):
            check_value(flag, value, kind, declared.metadata)
