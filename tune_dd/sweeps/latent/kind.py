"""What a sweep over latent distillations does beside what all sweeps do."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar, Self

import torch

from trainables.latent.artifacts import ARTIFACTS_FILE, SCHEMA_VERSION, load_artifacts
from trainables.latent.cache import share_entries
from trainables.latent.compute import trial_device
from trainables.latent.config import EncoderConfig, LatentConfig
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.full_probe import full_probe
from trainables.latent.image_scorer import ImageScorer, open_image_scorer, other_encoder
from trainables.latent.image_scoring import CROSS_ENCODER, PIXEL
from trainables.latent.latents import KIND, LatentData, cached_key, prepare_latents, save_split
from trainables.latent.methods import start_run
from trainables.latent.shaping.schedules import SCHEDULE_FILE, Schedule, write_schedule
from trainables.latent_distillation import CACHE, PROGRESS_FILE, SHARED, LatentDistillation
from tune_dd.runs.folder import SUMMARY_FILE, experiment_summary, write_json
from tune_dd.runs.places import place_of
from tune_dd.runs.score_table import percent
from tune_dd.runs.scored_sets import score_controls
from tune_dd.sweeps.journal import TrialRecord
from tune_dd.sweeps.kind import Kind, Report, Rerun, Scores
from tune_dd.sweeps.latent.cell import LatentCell
from tune_dd.sweeps.latent.cluster_cache import borrow_entries, shared_cache
from tune_dd.sweeps.latent.cluster_encoders import train_in_cluster
from tune_dd.sweeps.latent.preflight import check_data
from tune_dd.sweeps.latent.settings import LatentSweep
from tune_dd.sweeps.plurals import counted
from tune_dd.sweeps.results import lasting
from tune_dd.sweeps.settings import Cell

SPLITS_FOLDER = "splits"
# On two cores, from benchmarks/sweep_overhead.py: one trial on one CPU. Those of other data differ by up to
# a few times; the estimate says so.
TRIAL_S = {"digits": 1.0, "features": 2.0}
OTHER_TRIAL_S = 4.0
# Of a selection, each subset that a probe is trained on: 13 to 25 ms at 2 and 5 points of 10 classes.
EVALUATION_S = 0.02
# Of a shaping, each episode of 200 steps at 10 points a class: of 32 dimensions, and of 128 with a codec of
# 32 x 32 pixels (benchmarks/shaping_speed.py). Half of it is the reward at its end.
EPISODE_S = {"digits": 0.08, "features": 0.25}
OTHER_EPISODE_S = 0.42
# Of a report: the probe on another encoder, and the pixel network for each image that it is shown, those of
# digits and of 32 x 32 pixels in colour (more pixels take longer, about in proportion).
CROSS_S = 0.05
PIXEL_S = {"digits": 0.0007}
OTHER_PIXEL_S = 0.013
CLASSES = {"cifar100": 100}
OTHER_CLASSES = 10
_ACCURACIES = {
    "probe_accuracy": "probe",
    "roundtrip_accuracy": "round trip",
    CROSS_ENCODER: "other encoder",
    PIXEL: "pixel",
    "ridge_accuracy": "ridge",
    "nn_accuracy": "1-NN",
}


class LatentKind(Kind[LatentSweep]):
    """Latent distillations: trials learn from latents that an encoder makes, which they share.

    Args:
        config: of the sweep.
        cache: holds encoders and latents (default: what the settings say).
    """

    TIMINGS: ClassVar[tuple[str, ...]] = ("cpu_s", "optimise_cpu_s")
    CAUSES: ClassVar[tuple[str, ...]] = ("data_fingerprint", "split_digest", "code_version")

    def __init__(self, config: LatentSweep, cache: Path | None = None) -> None:
        super().__init__(config)
        self.cache = cache or config.cache_folder
        self._shared = shared_cache(config)
        borrow_entries(config, self.cache)
        self._latents: dict[str, LatentData] = {}
        self._scorers: dict[str, ImageScorer | None] = {}

    @property
    def trainable(self) -> type[LatentDistillation]:
        return LatentDistillation

    @property
    def trial_config(self) -> dict[str, Any]:
        if self._shared is None:
            return {CACHE: str(self.cache), SHARED: None}
        # Without --cache each machine has its user's.
        return {CACHE: self.config.cache and str(self.cache), SHARED: self._shared.place}

    def check(self, report: Report, *, fetch: bool = True) -> None:
        if "features" in self.config.datasets and len(self.config.seeds) > 1:
            report(
                "features have no encoder that --seeds could change: their cells are of seed "
                f"{self.config.seeds[0]} alone; tune-dd evaluate repeats the best trials on fresh seeds"
            )
        check_data(self.config, self.cache, report, fetch=fetch)

    @contextlib.contextmanager
    def looking_only(self) -> Iterator[Self]:
        """A temporary folder shows the cache's entries; what is written there stays out of the cache."""
        with tempfile.TemporaryDirectory(prefix="tune-dd-dry-run-") as view:
            for entry in self.cache.glob("*/*"):
                shown = Path(view) / entry.relative_to(self.cache)
                if entry.is_dir():
                    shown.parent.mkdir(exist_ok=True)
                    shown.symlink_to(entry)
            yield type(self)(self.config, Path(view))

    def known_facts(self, report: Report) -> Mapping[str, Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        for cell in self.config.cells:
            if cell.source not in found:
                parsed = self._parsed(cell)
                found[cell.source] = {"key": cached_key(parsed.data, parsed.encoder, self.cache, report)}
                if other := self._other(cell):
                    found[other[0]] = {"key": cached_key(parsed.data, other[1], self.cache, report)}
        return found

    def _other(self, cell: LatentCell) -> tuple[str, EncoderConfig] | None:
        """Source and settings of the encoder that the objective asks for beside the cell's own."""
        seed = self.config.scoring.cross_encoder_seed
        if seed is None:
            return None
        return dataclasses.replace(cell, seed=seed).source, other_encoder(self._parsed(cell), seed)

    def prepare(self, report: Report) -> None:
        """Train the encoders that the cache lacks, before any worker would wait for them."""
        for cell in self.config.cells:
            if cell.source not in self._latents:
                parsed = self._parsed(cell)
                if self._shared is not None and self.config.address is None:
                    share_entries(self.cache.absolute(), self._shared, offer=True)
                elif self._shared is not None:
                    other = self._other(cell)
                    for encoder in (parsed.encoder, *([other[1]] if other else ())):
                        train_in_cluster(self.config, parsed.data, encoder, self.cache, self._shared, report)
                data = prepare_latents(parsed.data, parsed.encoder, self.cache, report)
                full_probe(data)  # every trial's gap needs it; the first ones would wait for each other
                self._latents[cell.source] = data
                self.facts[cell.source] = {"key": data.key, **data.provenance}
                scorer = self._scorers[cell.source] = self._scorer(parsed, data, report)
                if (other := self._other(cell)) and scorer is not None and scorer.other is not None:
                    self.facts[other[0]] = {"key": scorer.other.key, **scorer.other.provenance}

    def _scorer(self, parsed: LatentConfig, data: LatentData, report: Report) -> ImageScorer | None:
        device = trial_device(parsed.encoder.device, self.config.gpus_per_trial)
        if self.config.address is not None and not torch.cuda.is_available():
            device = "cpu"  # a head that trials do not run on
        return open_image_scorer(parsed, data, self.cache, report, device)

    def _parsed(self, cell: LatentCell) -> LatentConfig:
        return LatentConfig.parse(self.config.trial_settings(cell, self.config.example(cell)))

    def keep(self, folder: Path) -> None:
        """Copy each encoder's split: the cache may be emptied, results stay."""
        for source, data in self._latents.items():
            path = folder / SPLITS_FOLDER / f"{source}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_split(data, path)

    def check_checkpoint(self, checkpoint: Path) -> None:
        load_artifacts(checkpoint / ARTIFACTS_FILE)
        json.loads((checkpoint / PROGRESS_FILE).read_text())

    def run_place(self, record: TrialRecord) -> tuple[str, str, str]:
        cell = _latent(record.cell)
        method, m = record.settings["method"], record.settings["m_per_class"]
        return cell.dataset, cell.backbone, f"{method}-m{m}-seed{cell.seed}-{record.trial_id}"

    def fill_run(
        self, place: Path, record: TrialRecord, checkpoint: Path | None, more: Mapping[str, Any]
    ) -> None:
        method = record.settings["method"]
        by_class: dict[str, float] = {}
        if checkpoint is not None:
            shutil.copyfile(checkpoint / ARTIFACTS_FILE, place / ARTIFACTS_FILE)
            _leave_out_damaged(place / ARTIFACTS_FILE)
            progress = _progress(checkpoint)
            by_class = progress.get("per_class", {})
            if progress.get("schedule") is not None:
                write_schedule(place / SCHEDULE_FILE, Schedule(**progress["schedule"]))
        timings = {name: record.scores[name] for name in self.TIMINGS if name in record.scores}
        summary = experiment_summary(
            config=record.settings,
            provenance=self.facts[record.cell.source],
            artifact_schema=SCHEMA_VERSION,
            scores={method: lasting(self, record.scores)},
            per_class_accuracy={method: by_class},
            timings={**timings, "busy_s": record.busy_s},
            **more,
        )
        write_json(place / SUMMARY_FILE, summary)

    def controls(self, cell: Cell) -> dict[str, dict[str, float]]:
        own = _latent(cell)
        if own.m_per_class is not None:
            others = tuple(budget for budget in self.config.budgets if budget != own.m_per_class)
            return self._controls(own, own.m_per_class, others)
        rows = {m: self._controls(own, m, ()) for m in self.config.sizes}
        found: dict[str, dict[str, float]] = {}
        for name, first in rows[self.config.sizes[0]].items():
            alike = all(of_size[name]["size_bytes"] == first["size_bytes"] for of_size in rows.values())
            found |= {name: first} if alike else {f"{name}@{m}": rows[m][name] for m in rows}
        return found

    def _controls(self, cell: LatentCell, m: int, budgets: tuple[int, ...]) -> dict[str, dict[str, float]]:
        data, images = self._latents[cell.source], self._scorers[cell.source]
        sets = score_controls(data, m, cell.seed, budgets, images)
        # A sweep compares one label track; hard-label controls are references for both.
        return {
            name: scored.row for name, scored in sets.items() if scored.track in ("hard", self.config.labels)
        }

    def bounds(self, cell: Cell) -> tuple[tuple[float, float], tuple[float, float]]:
        """Accuracies from chance to 1; bytes from all training latents to one point per class."""
        data = self._latents[cell.source]
        classes = len(data.class_names)
        accuracy = (1 / classes, 1.0)
        if self.config.sizes:
            sets = (
                DistilledSet(data.train_x[rows], data.train_y[rows]) for rows in (slice(None), slice(classes))
            )
            whole, least = (float(one.size_bytes) for one in sets)
            return accuracy, (whole, least)
        return accuracy, accuracy

    def rerun(self, settings: Mapping[str, Any], iterations: int, report: Report) -> Rerun:
        config = LatentConfig.parse(settings)
        device = trial_device(config.encoder.device, self.config.gpus_per_trial)
        data = prepare_latents(config.data, config.encoder, self.cache, report, codec_device=device)
        torch.set_num_threads(config.distill.threads)
        run = start_run(config.distill, data, self._scorer(config, data, report))
        scores: dict[str, float] = {}
        while not run.done and run.iteration < iterations:
            scores = run.step()
        return Rerun(scores, run.iteration, {"key": data.key, **data.provenance})

    def score_words(self, record: TrialRecord) -> str:
        words = percent(record.scores[self.config.metric])
        if self.config.sizes:
            return f"{words} in {record.scores['size_bytes']:,.0f} bytes"
        return words + (f" / {percent(record.scores['roundtrip_accuracy'])}" if self.config.axes else "")

    def heading(self, cell: Cell) -> str:
        own = _latent(cell)
        words = f"{own.dataset}, {own.backbone} encoder, seed {own.seed}"
        if own.m_per_class is None:
            return words
        return f"{words}, {counted(own.m_per_class, 'point')} per class"

    def columns(self, cell: Cell) -> list[str]:
        return ["method", *(_ACCURACIES[name] for name in self._shown(cell)), "gap", "CPU s", "bytes"]

    def trial_name(self, settings: Mapping[str, Any]) -> str:
        return str(settings["method"])

    def set_name(self, cell: Cell, settings: Mapping[str, Any]) -> str:
        name = self.trial_name(settings)
        return f"{name}@{settings['m_per_class']}" if _latent(cell).m_per_class is None else name

    def row(self, cell: Cell, name: str, scores: Scores) -> list[str]:
        cpu_s = scores.get("cpu_s", scores.get("optimise_cpu_s"))
        return [
            name,
            *(percent(scores[shown]) if shown in scores else "" for shown in self._shown(cell)),
            f"{100 * scores['gap_to_full']:+.1f}",
            "" if cpu_s is None else f"{cpu_s:.1f}",
            f"{scores['size_bytes']:,.0f}",
        ]

    def _shown(self, cell: Cell) -> list[str]:
        """Accuracies of a cell's table."""
        left_out = {CROSS_ENCODER, PIXEL} - {self.config.metric}
        if _latent(cell).backbone == "identity":
            left_out.add("roundtrip_accuracy")
        return [name for name in _ACCURACIES if name not in left_out]

    @property
    def scores_are(self) -> str:
        return "All scores are on the selection half of the validation data."

    def next_commands(self, folder: Path, summary: Mapping[str, Any]) -> dict[str, str]:
        return {"the best again on fresh seeds, then on test": f"tune-dd evaluate {quote(place_of(folder))}"}

    def preparations(self) -> Sequence[str]:
        lines = []
        for source, facts in self.known_facts(print).items():
            there = (self.cache / KIND / facts["key"]).exists()
            state = "in the cache" if there else "to be trained first, which is not counted"
            lines.append(f"encoder {source}: {state}")
        return lines

    def trial_s(self, settings: Mapping[str, Any]) -> float:
        parsed = LatentConfig.parse(settings)
        seconds = TRIAL_S.get(parsed.data.dataset, OTHER_TRIAL_S)
        if parsed.distill.selects:
            seconds += EVALUATION_S * parsed.distill.sel_evaluations
        if parsed.distill.shapes:
            steps = parsed.distill.shape_decisions * parsed.distill.shape_steps
            each = EPISODE_S.get(parsed.data.dataset, OTHER_EPISODE_S) * max(steps / 200, 0.5)
            seconds += each * (1 if parsed.distill.shape_schedule else parsed.distill.shape_episodes)
        if parsed.scoring.cross_encoder_seed is not None:
            seconds += CROSS_S * parsed.distill.iterations
        if parsed.scoring.pixel_passes is not None:
            distill = parsed.distill
            per_class = distill.selection_budget if distill.selects else distill.m_per_class
            images = per_class * CLASSES.get(parsed.data.dataset, OTHER_CLASSES)
            shown = images * parsed.scoring.pixel_passes * parsed.distill.iterations
            seconds += shown * PIXEL_S.get(parsed.data.dataset, OTHER_PIXEL_S)
        return seconds


def _latent(cell: Cell) -> LatentCell:
    assert isinstance(cell, LatentCell)
    return cell


def _leave_out_damaged(path: Path) -> None:
    """Remove a trial's artefacts that were cut off; to open each would take the driver a millisecond."""
    if not zipfile.is_zipfile(path):
        warnings.warn(f"a trial's files were damaged and are left out: {path}", stacklevel=2)
        path.unlink(missing_ok=True)


def _progress(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint says besides its artefacts; nothing, where that is damaged."""
    try:
        found: dict[str, Any] = json.loads((checkpoint / PROGRESS_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return found
