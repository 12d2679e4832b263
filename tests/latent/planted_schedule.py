"""A task whose best schedule is known: one loss opens a gate, the other goes through, and neither at once."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.latent.shaping.task import Outcome, ShapingTask


@dataclass
class GateEpisodes:
    """E episodes: how far the gate is open, and how far they are through; both (E,) in [0, 1]."""

    opened: Tensor
    through: Tensor
    decisions: int = 0


class GateTask(ShapingTask[GateEpisodes]):
    """Two losses share the pull by their weights; with half of it each, next to nothing goes through.

    Opening draws back who has gone through, so the best is to open, and half-way to pass.
    """

    terms = ("open", "pass")
    decisions = 8
    observed = 3

    def __init__(self) -> None:
        self.centre = torch.ones(2)

    def begin(self, n: int) -> GateEpisodes:
        return GateEpisodes(torch.zeros(n), torch.zeros(n))

    def observe(self, episodes: GateEpisodes) -> Tensor:
        progress = torch.full_like(episodes.opened, 2 * episodes.decisions / self.decisions - 1)
        return torch.stack([progress, 2 * episodes.opened - 1, 2 * episodes.through - 1], 1)

    def advance(self, episodes: GateEpisodes, actions: Tensor) -> None:
        opening, passing = self.weights(actions).square().T
        share = opening / (opening + passing)
        pull = 0.5 * share.square()
        # Whoever goes through lets the gate fall shut behind.
        moved = 0.5 * (1 - share).square() * episodes.opened
        episodes.opened = episodes.opened + pull * (1 - episodes.opened) - moved
        episodes.through = (1 - pull) * episodes.through + moved
        episodes.decisions += 1

    def judge(self, episodes: GateEpisodes) -> Outcome:
        worth = episodes.through.double()
        return Outcome(worth, worth)

    def resume_from(self, episodes: GateEpisodes, rows: Tensor) -> None:
        episodes.opened, episodes.through = episodes.opened[rows], episodes.through[rows]

    def made(self, episodes: GateEpisodes, which: int) -> Tensor:
        return torch.stack([episodes.opened[which], episodes.through[which]])

    def half_way(self) -> float:
        """What it comes to, to open for half of the decisions and then to pass."""
        opening, passing = torch.tensor([4.0, -4.0]), torch.tensor([-4.0, 4.0])
        schedule = torch.stack([opening] * (self.decisions // 2) + [passing] * (self.decisions // 2))
        return float(self.play(schedule[None]).outcome.scores)

    def every_switch(self) -> Tensor:
        """What all 256 schedules of one loss at a time come to."""
        choices = torch.tensor(list(itertools.product((-4.0, 4.0), repeat=self.decisions)))  # (256, T)
        return self.play(torch.stack([choices, -choices], 2)).outcome.scores

    def every_fixed(self) -> Tensor:
        """What 1,001 fixed ratios of the weights come to, from all of one to all of the other."""
        ratios = torch.linspace(-4, 4, 1001)[:, None].expand(-1, self.decisions)
        return self.play(torch.stack([ratios, -ratios], 2)).outcome.scores
