"""Trials that are replayed: what a worker runs in ``benchmarks/sweep_scale.py``.

A trial reports the scores of the recorded trial that is nearest to its settings, writes checkpoints of about
the size, and computes nothing. ``recorded_curves.json`` is from digits:

    tune-dd search --name curves --searcher random --scheduler none --num-trials 96
    python benchmarks/sweep_scale.py --record results/curves
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from trainables.latent.cache import default_cache
from trainables.latent.config import LatentConfig
from trainables.latent.distill_config import DistillConfig
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.latents import LatentData, prepare_latents
from trainables.latent.run import Run
from trainables.latent_distillation import CACHE, SHARED, LatentDistillation
from tune_dd.sweeps.journal import read_records
from tune_dd.sweeps.latent.cell import LatentCell

CURVES = Path(__file__).resolve().parent / "recorded_curves.json"


@functools.cache
def _curves() -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = json.loads(CURVES.read_text())
    return content


def record_curves(folder: Path) -> None:
    """Keep what the complete trials of a sweep reported, and the settings that it searched."""
    trials = []
    for record in read_records(folder, LatentCell).values():
        reports = [record.reports[iteration] for iteration in sorted(record.reports)]
        if record.status != "completed":
            continue
        method = record.settings["method"]
        searched = {
            name.partition(".")[2]: value for name, value in record.params.items() if name != "method"
        }
        names = [name for name in reports[0] if name != "cpu_s"]
        scores = {name: [float(f"{report.get(name, 0.0):.5g}") for report in reports] for name in names}
        size = record.settings["m_per_class"]
        trials.append({"method": method, "m_per_class": size, "searched": searched, "scores": scores})
    CURVES.write_text("[\n" + ",\n".join(json.dumps(trial) for trial in trials) + "\n]\n")


def nearest_curve(settings: DistillConfig) -> Mapping[str, Sequence[float]]:
    """Scores by report of the recorded trial of the same method and size that is nearest.

    Rates are compared by their logarithms; another choice counts as much as a rate three times as high.
    """

    def distance(trial: Mapping[str, Any]) -> float:
        found = 0.0
        for name, theirs in trial["searched"].items():
            ours = getattr(settings, name, theirs)
            if isinstance(ours, float) and isinstance(theirs, float) and ours > 0 and theirs > 0:
                found += math.log(ours / theirs) ** 2
            elif ours != theirs:
                found += math.log(3) ** 2
        return found

    alike = (
        trial
        for trial in _curves()
        if trial["method"] == settings.method and trial["m_per_class"] == settings.m_per_class
    )
    scores: Mapping[str, Sequence[float]] = min(alike, key=distance)["scores"]
    return scores


class ReplayedRun(Run):
    """A run that has happened: its reports follow each other as fast as they are asked for."""

    def __init__(self, config: DistillConfig, data: LatentData) -> None:
        super().__init__(config, data)
        self._curve = nearest_curve(config)
        classes = len(data.class_names)
        rows = torch.arange(classes * config.m_per_class)
        self._set = DistilledSet(data.train_x[rows].clone(), rows // config.m_per_class)

    @property
    def done(self) -> bool:
        return self.iteration >= self.config.iterations

    def advance(self) -> dict[str, float]:
        raise NotImplementedError

    def step(self) -> dict[str, float]:
        self.iteration += 1
        reports = len(self._curve["steps"])
        place = math.ceil(self.iteration / self.config.iterations * reports) - 1
        scores = {name: values[place] for name, values in self._curve.items()}
        self.per_class = [scores["balanced_accuracy"]] * len(self.data.class_names)
        return scores

    def distilled(self) -> DistilledSet:
        return self._set

    def own_state(self) -> dict[str, Any]:
        """As large as a real one's: points, and two moments of each."""
        return {name: self._set.x.clone() for name in ("x", "first_moment", "second_moment")}

    def load_own_state(self, state: dict[str, Any]) -> None:
        pass


class ReplayedDistillation(LatentDistillation):
    """A trial whose run is replayed."""

    def _prepare(self, config: dict[str, Any]) -> None:
        flat = {name: value for name, value in config.items() if name not in (CACHE, SHARED)}
        self._settings = LatentConfig.parse(flat)
        torch.set_num_threads(self._settings.distill.threads)
        wanted = (self._settings.data, self._settings.encoder, self._settings.scoring)
        if wanted != self.opened_with:
            cache = Path(config[CACHE]) if config[CACHE] else default_cache()
            self._data = prepare_latents(wanted[0], wanted[1], cache, _quiet)
            self.opened_with = wanted
        self._distillation = ReplayedRun(self._settings.distill, self._data)
        self._scores = {}


def _quiet(line: str) -> None:
    """The driver has prepared the latents."""
