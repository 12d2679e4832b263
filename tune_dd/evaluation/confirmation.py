"""The chosen few again, on seeds that no search has seen, beside every control.

What comes out is frozen: readings that are fitted once, scored on the selection half here, and on test
by whoever is entitled to open it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables import latent
from trainables.latent.cache import Report, content_key
from trainables.latent.config import LatentConfig
from trainables.latent.controls import (
    FULL_DATA,
    control_sets,
    full_data_readings,
    full_data_scores,
)
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.latents import LatentData
from trainables.latent.methods import start_run
from trainables.latent.scores import Readings, chance_scores, fit_readings, score_readings
from tune_dd.evaluation.intervals import Hits

# Fresh seeds start here, far above what people type; a search's own seeds are skipped all the same.
FIRST_FRESH_SEED = 1000


@dataclass(frozen=True)
class Frozen:
    """One row of an evaluation: a configuration or control, trained on every seed, never to change again.

    Attributes:
        name: the method and trial, or the control.
        kind: ``learned`` or ``control``.
        identity: a hash of all that determines the readings; test is read once per identity.
        trial_id: the trial a learned row comes from.
        config: its settings, flat; empty for a control.
        runs: one fitted reading per seed, or a single one where every seed gives the same points.
        classes: how many classes there are.
        has_decoder: whether there are round trips.
        size_bytes: bytes of one distilled set.
        cpu_s: CPU seconds of making each run's set.
    """

    name: str
    kind: str
    identity: str
    classes: int
    has_decoder: bool
    runs: tuple[Readings | None, ...]
    size_bytes: int
    cpu_s: tuple[float, ...] = ()
    trial_id: str | None = None
    config: dict[str, Any] = field(default_factory=dict)

    def scores(self, x: Tensor, y: Tensor, full_accuracy: float) -> list[dict[str, float]]:
        """Scores of each run on items (k, d), (k,) that the readings never saw."""
        return [self._score(run, x, y, full_accuracy) for run in self.runs]

    def hits(self, x: Tensor, y: Tensor) -> Hits:
        """(runs, k): which items each run's probe gets right; a diverged run gets none right."""
        return np.stack([self._hits(run, x, y) for run in self.runs])

    def _score(self, run: Readings | None, x: Tensor, y: Tensor, full_accuracy: float) -> dict[str, float]:
        if run is None:
            return chance_scores(self.classes, full_accuracy, self.size_bytes, has_decoder=self.has_decoder)
        if self.name == FULL_DATA:
            return full_data_scores(run, x, y)
        return score_readings(run, x, y, full_accuracy)

    @staticmethod
    def _hits(run: Readings | None, x: Tensor, y: Tensor) -> Hits:
        if run is None:
            return np.zeros(len(y), dtype=bool)
        return np.asarray((run.probe.predict(x) == y).cpu().numpy(), dtype=bool)


def fresh_seeds(n: int, taken: Sequence[int]) -> list[int]:
    """``n`` seeds that are not among ``taken``; the same ones for the same sweep."""
    found = (seed for seed in range(FIRST_FRESH_SEED, FIRST_FRESH_SEED + n + len(taken)) if seed not in taken)
    return [next(found) for _ in range(n)]


def freeze_configuration(
    name: str, trial_id: str, config: LatentConfig, data: LatentData, seeds: Sequence[int], report: Report
) -> Frozen:
    """Distil with ``config`` once per seed, each time from the start to the end.

    The number of threads is the configuration's: it is part of what gives the same bits again.
    """
    torch.set_num_threads(config.distill.threads)
    runs: list[Readings | None] = []
    cpu_s: list[float] = []
    sets: list[DistilledSet] = []
    for seed in seeds:
        run = start_run(dataclasses.replace(config.distill, seed=seed), data)
        while not run.done:
            run.step()
        distilled = run.distilled()
        sets.append(distilled)
        runs.append(None if run.diverged else fit_readings(distilled, data))
        cpu_s.append(run.optimise_cpu_s)
    report(f"{name}: distilled again on {len(seeds)} seeds, {sum(cpu_s):.1f} s of CPU")
    return Frozen(
        name=name,
        kind="learned",
        identity=_identity(
            data, seeds, {"distill": dataclasses.asdict(dataclasses.replace(config.distill, seed=0))}
        ),
        classes=len(data.class_names),
        has_decoder=data.codec is not None,
        runs=tuple(runs if _seed_matters(sets) else runs[:1]),
        size_bytes=sets[0].size_bytes,
        cpu_s=tuple(cpu_s),
        trial_id=trial_id,
        config=config.flat(),
    )


def freeze_controls(
    data: LatentData,
    m_per_class: int,
    labels: str,
    seeds: Sequence[int],
    budgets: Sequence[int],
    report: Report,
) -> list[Frozen]:
    """Every control of this label track on the same seeds, the full-data probe first.

    A control that gives the same points for every seed is fitted once.
    """
    made: dict[str, list[tuple[DistilledSet, float]]] = {}
    for seed in seeds:
        clock = time.process_time()
        for name, distilled in control_sets(data, m_per_class, seed, budgets, soft_labels=labels == "soft"):
            made.setdefault(name, []).append((distilled, time.process_time() - clock))
            clock = time.process_time()
    report(f"{len(made) + 1} controls made on the same seeds")
    full = full_data_readings(data)
    rows = [
        Frozen(
            FULL_DATA,
            "control",
            _identity(data, [], {"control": FULL_DATA}),
            classes=len(data.class_names),
            has_decoder=data.codec is not None,
            runs=(full,),
            size_bytes=full.distilled.size_bytes,
        )
    ]
    for name, entries in made.items():
        first = entries[0][0]
        kept = entries if _seed_matters([distilled for distilled, _ in entries]) else entries[:1]
        rows.append(
            Frozen(
                name,
                "control",
                _identity(data, seeds, {"control": name, "m_per_class": m_per_class}),
                classes=len(data.class_names),
                has_decoder=data.codec is not None,
                runs=tuple(fit_readings(distilled, data) for distilled, _ in kept),
                size_bytes=first.size_bytes,
                cpu_s=tuple(cpu for _, cpu in kept),
            )
        )
    return rows


def _seed_matters(sets: Sequence[DistilledSet]) -> bool:
    """Whether seeds gave different sets; if not, they are one run, and an interval would be a lie."""
    return any(not torch.equal(sets[0].x, other.x) for other in sets[1:])


def _identity(data: LatentData, seeds: Sequence[int], what: dict[str, Any]) -> str:
    code = {"code": code_version(), "torch": torch.__version__}
    return content_key({"latents": data.key, "seeds": list(seeds), **code, **what})


@functools.cache
def code_version() -> str:
    """A digest of all sources that a row's scores may depend on: other code makes other rows."""
    digest = hashlib.sha256()
    folder = Path(latent.__file__).parent
    for path in sorted([*folder.rglob("*.py"), *folder.parent.glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()
