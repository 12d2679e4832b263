"""Does RL-Shaping schedule loss weights better than its controls? Who takes part."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trainables.latent.distill_config import DistillConfig
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.latents import LatentData
from trainables.latent.shaping.controls import CONTROLS, Control
from trainables.latent.shaping.run import ShapingRun
from tune_dd.verdicts.contenders import Contender, Made

_SEARCHES = {
    "best_fixed_weights": "the best fixed weights",
    "random_schedules": "random schedules",
    "linear_annealing": "linear annealing",
    "population_based_training": "population-based training",
}
"""Controls that play as many episodes, in words."""


def contenders() -> Mapping[str, Contender]:
    """RL-Shaping first, then the prototypes that all of them begin with, then searches by the same reward."""
    return {
        "rl_shaping": Contender("RL-Shaping", _rl_shaping),
        "start": Contender("the prototypes before", _start),
        "untrained_policy": Contender("the untrained policy", _untrained),
        **{name: Contender(words, _search(CONTROLS[name])) for name, words in _SEARCHES.items()},
    }


def _rl_shaping(config: DistillConfig, data: LatentData) -> Made:
    run, spared_s = _begun(config, data)
    while not run.done:  # without the scores that each report of a run takes
        run.advance()
        run.iteration += 1
    return Made(run.distilled(), run.episodes, None if run.diverged else run.best_accuracy, spared_s)


def _untrained(config: DistillConfig, data: LatentData) -> Made:
    return _rl_shaping(dataclasses.replace(config, proto_rl_lr=0.0), data)


def _start(config: DistillConfig, data: LatentData) -> Made:
    run = ShapingRun(config, data)
    run.train_start()
    return Made(run.distilled(), evaluations=0)


def _search(control: Control) -> Callable[[DistillConfig, LatentData], Made]:
    def make(config: DistillConfig, data: LatentData) -> Made:
        run, spared_s = _begun(config, data)
        start = run.distilled()
        if run.diverged:
            return Made(start, evaluations=0, spared_cpu_s=spared_s)
        task = run.open_task()
        found = control(task, config.shape_episodes, config.shape_batch, config.seed)
        if found.score <= task.start_score:  # as RL-Shaping, whoever finds nothing better keeps the start
            return Made(start, found.episodes, task.start_accuracy, spared_s)
        return Made(DistilledSet(found.points.clone(), start.y), found.episodes, found.accuracy, spared_s)

    return make


@dataclass(frozen=True)
class _Begun:
    run: ShapingRun
    cpu_s: float


_last: list[_Begun] = []


def _begun(config: DistillConfig, data: LatentData) -> tuple[ShapingRun, float]:
    """A run with its start, and the CPU seconds spared.

    The start of one seed, with the Jacobians of its round trip, takes as long as dozens of episodes, and a
    worker meets most of a seed's contenders one after another: they share it.
    """
    run = ShapingRun(config, data)
    for kept in _last:
        with contextlib.suppress(ValueError):
            run.share_start(kept.run)
            return run, kept.cpu_s
    began = time.process_time()
    run.train_start()
    if not run.diverged:
        run.open_task()
    _last[:] = [_Begun(run, time.process_time() - began)]
    return run, 0.0
