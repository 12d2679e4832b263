"""Distilled sets of one run with everything that is reported of them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trainables.latent.controls import FULL_DATA, control_sets, full_data_readings, full_data_scores
from trainables.latent.distill_config import DistillConfig
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.image_scorer import ImageScorer
from trainables.latent.latents import LatentData
from trainables.latent.methods import start_run
from trainables.latent.scores import fit_readings, per_class_accuracy, score_readings

Show = Callable[[int, int, dict[str, float]], None]
"""Shows progress: iteration, iterations in all, its scores."""


@dataclass(frozen=True)
class ScoredSet:
    """One method's set, on the selection half.

    Attributes:
        scores: of :func:`~trainables.latent.scores.score_readings`; the same bytes for the same seed.
        recall: the probe's accuracy in [0, 1] by class name; empty where the run diverged.
        cpu_s: CPU seconds of making the set.
        distilled: the set; ``None`` for the full data.
        state: what the run resumes from, where it was learned.
    """

    scores: dict[str, float]
    recall: dict[str, float]
    cpu_s: float
    distilled: DistilledSet | None = None
    state: dict[str, Any] | None = None

    @property
    def row(self) -> dict[str, float]:
        """Its scores as tables show them, with the CPU seconds of making the set."""
        return {**self.scores, "optimise_cpu_s": self.cpu_s}

    @property
    def note(self) -> str:
        """What its scores do not tell; empty where that is nothing."""
        state = self.state
        if state is None or "schedule" not in state or self.scores["diverged"]:
            return ""
        if state["schedule"] is None:
            return "every episode diverged, so the set is the one that they started from"
        if torch.equal(state["points"], state["base"]["x"]):
            return "no episode was better than the set that they started from, which is kept"
        return ""

    @property
    def track(self) -> str:
        """The label track: "hard" or "soft"."""
        return "soft" if self.distilled is not None and self.distilled.soft_labels is not None else "hard"


def score_controls(
    data: LatentData,
    m_per_class: int,
    seed: int,
    budgets: Sequence[int] = (),
    images: ImageScorer | None = None,
) -> dict[str, ScoredSet]:
    """The full data and every control, by name.

    Args:
        m_per_class: points per class.
        seed: of the random choices.
        budgets: points per class of further selection controls.
        images: scores their images, too.

    Raises:
        InputError: if a class has fewer training points than asked for.
    """
    started = time.process_time()
    readings = full_data_readings(data)
    cpu_s = time.process_time() - started
    full = full_data_scores(readings, data.selection_x, data.selection_y)
    full |= images.of_full_data() if images else {}
    table = {FULL_DATA: ScoredSet(full, _by_class(data, readings.probe.predict(data.selection_x)), cpu_s)}
    started = time.process_time()
    for name, distilled in control_sets(data, m_per_class, seed, budgets):
        cpu_s = time.process_time() - started
        scores, recall = _score(distilled, data, full["probe_accuracy"])
        scores |= images.score(distilled, seed) if images else {}
        table[name] = ScoredSet(scores, recall, cpu_s, distilled)
        started = time.process_time()
    return table


def learn_set(config: DistillConfig, method: str, data: LatentData, show: Show) -> ScoredSet:
    """Learn prototypes by one method.

    Args:
        config: with any method; ``method`` replaces it.
        show: called after every iteration.

    Raises:
        InputError: as :class:`~trainables.latent.run.Run`.
    """
    config = dataclasses.replace(config, method=method)
    run = start_run(config, data)
    report: dict[str, float] = {}
    while not run.done:
        report = run.step()
        show(run.iteration, config.iterations, report)
    cpu_s = report.pop("optimise_cpu_s")
    distilled = run.distilled()
    recall = dict(zip(data.class_names, run.per_class, strict=False))  # none where it diverged
    return ScoredSet(report, recall, cpu_s, distilled, run.state_dict())


def _score(
    distilled: DistilledSet, data: LatentData, full_accuracy: float
) -> tuple[dict[str, float], dict[str, float]]:
    readings = fit_readings(distilled, data)
    scores = score_readings(readings, data.selection_x, data.selection_y, full_accuracy)
    return scores, _by_class(data, readings.probe.predict(data.selection_x))


def _by_class(data: LatentData, predicted: Any) -> dict[str, float]:
    recalls = per_class_accuracy(predicted, data.selection_y, len(data.class_names))
    return dict(zip(data.class_names, recalls, strict=True))
