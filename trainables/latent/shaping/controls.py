"""What an actor-critic has to beat: schedules searched for without looking at states, by as many episodes.

Each control is played in batches as large as the actor-critic's. The first half of them looks around, widely;
the second half around the best eight so far, ever closer, so that no control loses for want of care.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainables.latent.shaping.task import Rollout, ShapingTask
from trainables.seeds import generator

# Deviation of the logarithms of weights that are tried at first, and at the end of the search.
WIDE, NARROW = 1.5, 0.3
ELITE = 8
# Population-based training: after how many decisions members are compared (each time costs as much as an
# end), what share is replaced by the best, and what a weight is multiplied or divided by.
READY = 2
QUARTER = 4
PERTURBATION = 1.2


@dataclass(frozen=True)
class Found:
    """The best of a search.

    Attributes:
        points: what its episode made.
        actions: (T, K) float32 its schedule.
        score, accuracy: what it was worth, as :class:`~trainables.latent.shaping.task.Outcome` says.
        episodes: how many were played.
    """

    points: Tensor
    actions: Tensor
    score: float
    accuracy: float
    episodes: int


Expand = Callable[[Tensor, int], Tensor]
"""Parameters of schedules (E, P), and the number of decisions T, to actions (E, T, K)."""

Control = Callable[[ShapingTask[Any], int, int, int], Found]


def best_fixed_weights(task: ShapingTask[Any], episodes: int, batch: int, seed: int) -> Found:
    """Weights that hold for the whole episode."""
    return _searched(task, episodes, batch, seed, "fixed", len(task.terms), _constant)


def random_schedules(task: ShapingTask[Any], episodes: int, batch: int, seed: int) -> Found:
    """Weights drawn for each decision; the search is over all of them at once."""
    width = task.decisions * len(task.terms)
    return _searched(task, episodes, batch, seed, "random", width, lambda p, t: p.view(len(p), t, -1))


def linear_annealing(task: ShapingTask[Any], episodes: int, batch: int, seed: int) -> Found:
    """Weights whose logarithms go straight from one value to another."""
    return _searched(task, episodes, batch, seed, "annealing", 2 * len(task.terms), _straight)


def population_based_training(task: ShapingTask[Any], episodes: int, batch: int, seed: int) -> Found:
    """Each batch is a population: now and then its worst quarter goes on from where the best stands.

    Weights are copied too, and perturbed. Those that a population starts with are searched for as the other
    controls' are: widely at first, then around those that the best members of former populations started
    with. Whoever is judged between decisions is not counted as an episode.

    Paper: Jaderberg et al., "Population based training of neural networks", 2017, algorithm 1 with truncation
    selection.
    """
    best: Found | None = None
    starts = _Tried.none(task, len(task.terms))
    for played in range(0, episodes, batch):
        n = min(batch, episodes - played)
        randomness = generator(seed, "population", played)
        actions = starts.drawn(n, played / max(episodes - batch, 1), randomness)
        members, history = task.begin(n), task.centre.new_empty(n, 0, len(task.terms))
        for decision in range(task.decisions):
            task.advance(members, actions)
            history = torch.cat([history, actions[:, None]], 1)
            last = decision == task.decisions - 1
            if last or decision % READY < READY - 1:
                continue
            order = task.judge(members).scores.argsort(descending=True)
            rows = torch.arange(n, device=order.device)
            few = n // QUARTER
            rows[order[n - few :]] = order[:few]
            task.resume_from(members, rows)
            history, actions = history[rows], actions[rows].clone()
            up = torch.randint(2, (few, len(task.terms)), generator=randomness).to(actions) * 2 - 1
            actions[order[n - few :]] += math.log(PERTURBATION) * up
        outcome = task.judge(members)
        starts.note(history[:, 0], outcome.scores)
        best = _better(task, best, Rollout(history, outcome, members), played + n)
    assert best is not None  # at least one episode is asked for
    return best


CONTROLS: dict[str, Control] = {
    "best_fixed_weights": best_fixed_weights,
    "random_schedules": random_schedules,
    "linear_annealing": linear_annealing,
    "population_based_training": population_based_training,
}
"""By name; each takes a task, how many episodes, how many of them side by side, and a seed."""


def _searched(
    task: ShapingTask[Any], episodes: int, batch: int, seed: int, name: str, width: int, expand: Expand
) -> Found:
    """Random search that narrows: see the module's account."""
    best: Found | None = None
    tried = _Tried.none(task, width)
    for played in range(0, episodes, batch):
        n = min(batch, episodes - played)
        randomness = generator(seed, name, played)
        drawn = tried.drawn(n, played / max(episodes - batch, 1), randomness)
        rollout = task.play(expand(drawn, task.decisions))
        tried.note(drawn, rollout.outcome.scores)
        best = _better(task, best, rollout, played + n)
    assert best is not None
    return best


@dataclass
class _Tried:
    """Parameters so far, (N, P) float32, and what each was worth, (N,) float64."""

    parameters: Tensor
    worth: Tensor

    @classmethod
    def none(cls, task: ShapingTask[Any], width: int) -> _Tried:
        nothing = task.centre.new_empty(0, width)
        return cls(nothing, nothing.new_empty(0, dtype=torch.float64))

    def drawn(self, n: int, progress: float, randomness: torch.Generator) -> Tensor:
        """The next ones, (n, P), where ``progress`` is 1 at the last batch."""
        noise = torch.randn(n, self.parameters.shape[1], generator=randomness).to(self.parameters)
        if not len(self.worth) or progress < 0.5:
            return WIDE * noise
        around: Tensor = self.worth.topk(min(ELITE, len(self.worth))).indices
        parents = around[torch.randint(len(around), (n,), generator=randomness).to(around.device)]
        deviation = WIDE * (NARROW / WIDE) ** min(2 * progress - 1, 1.0)
        moved: Tensor = self.parameters[parents] + deviation * noise
        return moved

    def note(self, parameters: Tensor, worth: Tensor) -> None:
        self.parameters = torch.cat([self.parameters, parameters])
        self.worth = torch.cat([self.worth, worth])


def _better(task: ShapingTask[Any], best: Found | None, rollout: Rollout[Any], played: int) -> Found:
    """The best so far or that of a batch, with the number of episodes brought up to date."""
    which = int(rollout.outcome.scores.argmax())
    score, accuracy = float(rollout.outcome.scores[which]), float(rollout.outcome.accuracies[which])
    if best is not None and best.score >= score:
        return dataclasses.replace(best, episodes=played)
    return Found(task.made(rollout.episodes, which), rollout.actions[which], score, accuracy, played)


def _constant(parameters: Tensor, decisions: int) -> Tensor:
    return parameters[:, None].expand(-1, decisions, -1)


def _straight(parameters: Tensor, decisions: int) -> Tensor:
    start, end = parameters.chunk(2, 1)  # (E, K) each
    shares = torch.linspace(0, 1, decisions, device=parameters.device)[:, None]
    return start[:, None] + shares * (end - start)[:, None]
