"""Made sets in order: a panel for each question, budget and objective, a row for each contender."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from trainables.latent.cache import content_key
from trainables.latent.latents import LatentData
from trainables.latent.probe import LinearClassifier
from tune_dd.evaluation.intervals import Hits
from tune_dd.verdicts.cells import Done
from tune_dd.verdicts.objectives import OBJECTIVES, hits
from tune_dd.verdicts.plan import Cell, Plan
from tune_dd.verdicts.questions import QUESTIONS, Question

HALVES = ("selection", "reward")


@dataclass(frozen=True)
class Panel:
    """What is compared with each other."""

    question: str
    budget: int
    objective: str

    @property
    def asked(self) -> Question:
        return QUESTIONS[self.question]


@dataclass(frozen=True)
class Row:
    """One contender in a panel.

    Attributes:
        runs: for each encoder its cells with what they came to, by seed.
    """

    panel: Panel
    contender: str
    runs: tuple[tuple[tuple[Cell, Done], ...], ...]

    @property
    def name(self) -> str:
        """Different from that of any other row of the verdict."""
        panel = self.panel
        return f"{panel.question}, {panel.budget} per class, {panel.objective}, {self.contender}"

    @property
    def all_done(self) -> list[Done]:
        return [done for runs in self.runs for _, done in runs]

    def identity(self, encoder: int) -> str:
        """Of the frozen classifiers on the encoder with this number in the plan."""
        cells = [cell.identity for cell, _ in self.runs[encoder]]
        return content_key({"objective": self.panel.objective, "cells": cells})

    def hits(self, encoder: int, x: Tensor, y: Tensor) -> Hits:
        """(runs, k): which items (k, d) with labels (k,) each run on one encoder gets right."""
        return np.stack([hits(found, x, y) for found in self.classifiers(encoder)])

    def classifiers(self, encoder: int) -> list[LinearClassifier | None]:
        """Of the runs on one encoder."""
        return [done.classifiers[self.panel.objective] for _, done in self.runs[encoder]]

    def encoder_read(self, plan: Plan, encoder: int) -> int:
        """The seed of the encoder that items are seen by."""
        if OBJECTIVES[self.panel.objective].other_encoder:
            return plan.cross_encoder_seed
        return plan.encoder_seeds[encoder]


def rows_of(plan: Plan, done: Sequence[tuple[Cell, Done]]) -> list[Row]:
    """Every row, panel by panel, the RL method's first."""
    return list(_rows(plan, done))


def _rows(plan: Plan, done: Sequence[tuple[Cell, Done]]) -> Iterator[Row]:
    for name in plan.questions:
        question = QUESTIONS[name]
        controls = [contender for contender in question.contenders() if contender != question.rl]
        for budget in plan.budgets_of(name):
            for objective in plan.objectives(question):
                for contender in (question.rl, *controls):
                    runs = tuple(
                        tuple(
                            (cell, found)
                            for cell, found in done
                            if (cell.question, cell.budget, cell.contender, cell.encoder_seed)
                            == (name, budget, contender, seed)
                        )
                        for seed in plan.encoder_seeds
                    )
                    yield Row(Panel(name, budget, objective), contender, runs)


def hits_on_halves(
    plan: Plan, rows: Sequence[Row], latents: Mapping[int, LatentData]
) -> dict[str, dict[str, list[Hits]]]:
    """Half of validation -> row's name -> hits on each encoder.

    Args:
        latents: by encoder seed.
    """
    found: dict[str, dict[str, list[Hits]]] = {}
    for half in HALVES:
        found[half] = {row.name: [] for row in rows}
        for row in rows:
            for encoder in range(len(plan.encoder_seeds)):
                data = latents[row.encoder_read(plan, encoder)]
                x, y = getattr(data, f"{half}_x"), getattr(data, f"{half}_y")
                found[half][row.name].append(row.hits(encoder, x, y))
    return found
