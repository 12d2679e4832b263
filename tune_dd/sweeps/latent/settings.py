"""The settings of a sweep over latent distillations."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from search_spaces import LATENT_SPACES, LatentContext, Space
from trainables.errors import InputError
from trainables.latent.cache import default_cache
from trainables.latent.config import BACKBONES, DATASET_OF, DATASETS, DataConfig, EncoderConfig, LatentConfig
from trainables.latent.distill_config import LABEL_TRACKS, METHODS, PROTOTYPE_METHODS, DistillConfig
from trainables.latent.image_scoring import CROSS_ENCODER, PIXEL, ImageScoring
from trainables.latent.pixel_recipe import PIXEL_PASSES
from trainables.latent.shaping.idle import refuse_idle
from trainables.schema import flag_name, option
from tune_dd.sweeps.axes import Axis
from tune_dd.sweeps.latent.cell import LatentCell
from tune_dd.sweeps.latent.fronts import ACCURACY_BYTES, ACCURACY_ROUNDTRIP, AGAINST, check_front
from tune_dd.sweeps.settings import Cell, SweepConfig, many

if TYPE_CHECKING:
    from tune_dd.sweeps.latent.kind import LatentKind

TIE_BREAKS = {
    "probe_accuracy": "roundtrip_accuracy",
    "roundtrip_accuracy": "probe_accuracy",
    CROSS_ENCODER: "probe_accuracy",
    PIXEL: "probe_accuracy",
}
"""What can be maximised, and the accuracy that decides where it cannot. Equal scores are common on small
selection halves."""
CROSS_ENCODER_SEED = 100
"""Of the other encoder, unless told otherwise: far above the seeds that people type."""
_OBJECTIVE_OF = {"cross_encoder_seed": CROSS_ENCODER, "pixel_passes": PIXEL}
# The encoders that take --weights.
PRETRAINED = ("resnet18", "vit_b_16")


@dataclass(frozen=True)
class LatentSweep(SweepConfig):
    """The sweep: what is tried, how it is chosen, and what it may use."""

    KIND: ClassVar[str] = "latent"
    COMMAND: ClassVar[str] = "tune-dd search"
    DESCRIPTION: ClassVar[str] = (
        "Sweep latent dataset distillations: Optuna proposes, ASHA stops the worse. For "
        "reinforcement-learning tasks see tune-dd search environment --help."
    )
    CELL: ClassVar[type[Cell]] = LatentCell
    PASSED_ON: ClassVar[tuple[type, ...]] = (DataConfig, EncoderConfig, DistillConfig, ImageScoring)
    OWN_SETTINGS: ClassVar[frozenset[str]] = frozenset(
        {"dataset", "backbone", "encoder_seed", "seed", "m_per_class", "method", "labels", "threads"}
    )
    LISTS: ClassVar[str] = "--methods, --prototypes and --seeds"
    COMPARED: ClassVar[tuple[type, ...]] = (DistillConfig,)
    NEEDED: ClassVar[frozenset[str]] = frozenset(
        {"method", "dataset", "backbone", "encoder_seed", "m_per_class"}
    )
    REPORTED: ClassVar[frozenset[str]] = frozenset({"probe_accuracy", "gap_to_full", "size_bytes"})
    TIE_BREAKS: ClassVar[Mapping[str, str]] = TIE_BREAKS
    OTHER_SOURCE: ClassVar[str] = "other data or another encoder"
    PATHS: ClassVar[tuple[str, ...]] = (
        "data_root", "custom_train_dir", "custom_test_dir", "features_train", "features_test",
        "shape_schedule",
    )  # fmt: skip
    PATHS_OR_WORDS: ClassVar[Mapping[str, tuple[str, ...]]] = {"weights": ("none", "default")}
    PINNED: ClassVar[Mapping[str, str]] = {"shape_schedule": "shape_schedule_sha256"}

    name: str = option("", "the sweep's folder in the storage (default: digits-YYYYmmdd-HHMMSS)")
    space: str = option("latent", "the search space", choices=tuple(LATENT_SPACES))
    objective: str = option(
        "probe_accuracy", "the score to maximise, on the selection half", choices=tuple(TIE_BREAKS)
    )
    pareto: str = option(
        "none",
        "two scores at once, the objective and a set's bytes (trials choose among --prototypes then, and "
        "rl_selection among --budgets) or its round trip: looks for all that no other trial betters in both",
        choices=("none", ACCURACY_BYTES, ACCURACY_ROUNDTRIP),
    )
    seeds: tuple[int, ...] = many(
        (0,),
        "seeds of encoder and distillation, one cell each (features, which have no encoder: the first alone)",
        int,
        at_least=0,
    )
    datasets: tuple[str, ...] = many(("digits",), "data sets", str, choices=DATASETS)
    backbones: tuple[str, ...] = many(
        (), "encoders (default: conv; identity for features)", str, choices=BACKBONES
    )
    prototypes: tuple[int, ...] = many((1, 10), "prototypes per class", int, at_least=1)
    budgets: tuple[int, ...] = many(
        (),
        "real points kept per class, by rl_selection in cells of that size and in rows of selection controls"
        " (default: as many as prototypes)",
        int,
        at_least=1,
    )
    proto_rl_lrs: tuple[float, ...] = many(
        (),
        "learning rates of rl_shaping's actor-critic to choose among (default: a range)",
        float,
        at_least=0.0,
        at_most=1e30,
    )
    methods: tuple[str, ...] = many(
        (),
        "how prototypes are learned, or real points chosen (default: all that the label track has)",
        str,
        choices=METHODS,
    )
    labels: str = option("hard", "the label track: fixed one-hot labels, or learned", choices=LABEL_TRACKS)
    cache: str | None = option(
        None, "folder of encoders and latents (default: the user's cache place)", metavar="DIR"
    )

    @classmethod
    def still_meant(cls, settings: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
        datasets, objective = fields.get("datasets", cls.datasets), fields.get("objective", cls.objective)
        return {
            name: value
            for name, value in settings.items()
            if (name not in DATASET_OF or DATASET_OF[name] in datasets)
            and (name not in _OBJECTIVE_OF or _OBJECTIVE_OF[name] == objective)
        }

    def check_own(self) -> None:
        for setting, dataset in DATASET_OF.items():
            if setting in self.settings and dataset not in self.datasets:
                raise InputError(
                    f"{flag_name(setting)} is given without --datasets {dataset}",
                    f"only {dataset} reads it",
                    f"add --datasets {dataset} or leave it out",
                )
        if self.proto_rl_lrs and "rl_shaping" not in self.tried_methods:
            raise InputError(
                f"--proto-rl-lrs is given with --methods {' '.join(self.tried_methods)}",
                "rl_shaping alone reads it",
                "add that method, or leave it out",
            )
        if self.proto_rl_lrs and "proto_rl_lr" in self.settings:
            raise InputError(
                f"--proto-rl-lr is {self.settings['proto_rl_lr']} with --proto-rl-lrs",
                "the one is for all trials, the others are chosen among",
                "leave one of them out",
            )
        if self.budgets and "sel_budget_per_class" in self.settings:
            raise InputError(
                f"--sel-budget-per-class is {self.settings['sel_budget_per_class']} with --budgets",
                "the one is for all trials, the others are tried one by one",
                "leave one of them out",
            )
        for method in self.tried_methods:
            DistillConfig(method=method, labels=self.labels)
        for setting, objective in _OBJECTIVE_OF.items():
            if setting in self.settings and objective != self.objective:
                raise InputError(
                    f"{flag_name(setting)} is {self.settings[setting]} with --objective {self.objective}",
                    "images are scored where that is the objective, as it takes time",
                    f"add --objective {objective} or leave it out",
                )
        if self.objective != "probe_accuracy" and "features" in self.datasets:
            lacking = "round trip" if self.objective == "roundtrip_accuracy" else "image"
            raise InputError(
                f"--objective is {self.objective} with --datasets features",
                f"features have no decoder, so there is no {lacking}",
                "leave --objective out",
            )
        if self.pareto != "none":
            check_front(self)
        self.scoring.refuse_own_encoder(self.seeds, f"--seeds {' '.join(map(str, self.seeds))}")

    @property
    def axes(self) -> tuple[Axis, Axis] | None:
        return None if self.pareto == "none" else (Axis(self.objective), AGAINST[self.pareto])

    @property
    def sizes(self) -> tuple[int, ...]:
        """Points per class among which trials choose; empty where cells have a number each."""
        if self.pareto != ACCURACY_BYTES:
            return ()
        selects = "rl_selection" in self.tried_methods
        learns = set(self.tried_methods) != {"rl_selection"}
        return tuple(sorted({*(self.prototypes * learns), *(self._budgets * selects)}))

    def refuse_unread(self, given: Collection[str]) -> None:
        if "shape_schedule" in given:
            own = {name: value for name, value in self.settings.items() if name in given}
            lists = {"proto_rl_lrs": self.proto_rl_lrs} if "proto_rl_lrs" in given else {}
            refuse_idle({**own, **lists}, self.tried_methods)

    @property
    def _budgets(self) -> tuple[int, ...]:
        """Real points per class that rl_selection keeps."""
        fixed = self.settings.get("sel_budget_per_class")
        return (self.budgets if fixed is None else (fixed,)) or self.prototypes

    def _methods_of(self, m_per_class: int | None) -> tuple[str, ...]:
        """Methods whose sets have so many points per class and are compared; all, where that is searched."""
        if m_per_class is None:
            return self.tried_methods
        learned, selected = m_per_class in self.prototypes, m_per_class in self._budgets
        return tuple(
            method for method in self.tried_methods if (selected if method == "rl_selection" else learned)
        )

    @property
    def cells(self) -> tuple[LatentCell, ...]:
        """All cells, in the order in which they are asked for trials.

        Features have cells of the first seed alone: another seed would give the same latents, and its cells
        would look like replications of an encoder that does not exist.
        """
        numbers = dict.fromkeys((*self.prototypes, *self._budgets))
        sizes = [m for m in numbers if self._methods_of(m)]
        return tuple(
            LatentCell(dataset, backbone, seed, m)
            for dataset in self.datasets
            for backbone in self._backbones(dataset)
            for seed in (self.seeds[:1] if backbone == "identity" else self.seeds)
            for m in ([None] if self.pareto == ACCURACY_BYTES else sizes)
        )

    @property
    def tried_methods(self) -> tuple[str, ...]:
        """The methods given, otherwise all; real points have no learned labels."""
        return self.methods or (METHODS if self.labels == "hard" else PROTOTYPE_METHODS)

    def _backbones(self, dataset: str) -> tuple[str, ...]:
        return self.backbones or (("identity",) if dataset == "features" else ("conv",))

    @property
    def space_of_choice(self) -> Space[LatentContext]:
        return LATENT_SPACES[self.space]

    @property
    def metric(self) -> str:
        return self.objective

    @property
    def scoring(self) -> ImageScoring:
        """The scores of images that trials report: the one that is maximised."""
        seed = self.settings.get("cross_encoder_seed", CROSS_ENCODER_SEED)
        passes = self.settings.get("pixel_passes", PIXEL_PASSES)
        return ImageScoring(
            cross_encoder_seed=seed if self.objective == CROSS_ENCODER else None,
            pixel_passes=passes if self.objective == PIXEL else None,
        )

    @property
    def compared(self) -> tuple[str, ...]:
        asked = {name: value for name, value in dataclasses.asdict(self.scoring).items() if value is not None}
        return (*super().compared, *asked)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as ``sweep.json`` holds them; a default that decides what a score is among them."""
        content = super().to_json()
        for name, value in dataclasses.asdict(self.scoring).items():
            if value is not None:
                content["settings"][name] = value
        return content

    def example(self, cell: Cell) -> Mapping[str, Any]:
        assert isinstance(cell, LatentCell)
        return {
            "method": self._methods_of(cell.m_per_class)[0],
            **({"m_per_class": max(self.prototypes)} if self.pareto == ACCURACY_BYTES else {}),
        }

    @property
    def cache_folder(self) -> Path:
        """Where encoders and latents are kept, absolute."""
        return Path(self.cache).expanduser().absolute() if self.cache else default_cache()

    def context(self, cell: Cell) -> LatentContext:
        assert isinstance(cell, LatentCell)
        distill = {f.name for f in dataclasses.fields(DistillConfig)}
        return LatentContext(
            objective=self.objective,
            fixed={name: value for name, value in self.settings.items() if name in distill},
            methods=self._methods_of(cell.m_per_class),
            has_decoder=cell.backbone != "identity",
            budgets=self.budgets if cell.m_per_class is None else (),
            actor_lrs=self.proto_rl_lrs,
            sizes=self.prototypes if self.pareto == ACCURACY_BYTES else (),
        )

    def trial_settings(self, cell: Cell, proposed: Mapping[str, Any]) -> dict[str, Any]:
        assert isinstance(cell, LatentCell)
        given = {name: value for name, value in self.settings.items() if self._concerns(name, cell)}
        own = {
            "dataset": cell.dataset,
            "backbone": cell.backbone,
            "encoder_seed": cell.seed,
            "seed": cell.seed,
            **({} if cell.m_per_class is None else {"m_per_class": cell.m_per_class}),
            "labels": self.labels,
            "threads": self.cpus_per_trial,
            **dataclasses.asdict(self.scoring),
        }
        return LatentConfig.parse({**given, **proposed, **own}).flat()

    def _concerns(self, setting: str, cell: LatentCell) -> bool:
        """Whether a setting given for the whole sweep is one of this cell's."""
        if setting == "weights" and cell.backbone not in PRETRAINED:
            return not any(other.backbone in PRETRAINED for other in self.cells)
        return DATASET_OF.get(setting, cell.dataset) == cell.dataset

    def cell_of(self, settings: Mapping[str, Any]) -> LatentCell:
        m_per_class = None if self.pareto == ACCURACY_BYTES else settings["m_per_class"]
        return LatentCell(settings["dataset"], settings["backbone"], settings["encoder_seed"], m_per_class)

    def other_source(self, source: str, former: str, found: str) -> InputError:
        return InputError(
            f"the latents of {source} are not those the sweep began with",
            "trials with other data or another encoder cannot be compared",
            "start a new sweep, or restore the data and the version of tune-dd",
        )

    def open(self) -> LatentKind:
        from tune_dd.sweeps.latent.kind import LatentKind

        return LatentKind(self)

    @classmethod
    def default_name(cls, given: Mapping[str, Any]) -> str:
        return str(given.get("datasets", ("digits",))[0])
