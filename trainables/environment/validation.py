"""What fresh learners make of a distilled set."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from trainables.environment.distilled_set import DistilledSet
from trainables.environment.families import draw_architectures
from trainables.environment.inner_step import inner_step
from trainables.environment.learners import Learner, NetworkLearner, Parameters
from trainables.environment.rollouts import episode_returns
from trainables.environment.tasks import Task
from trainables.seeds import derive_seed, generator


@dataclass(frozen=True)
class Returns:
    """Returns of learners.

    Attributes:
        by_learner: mean return of each learner, (n,) float64.
    """

    by_learner: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.by_learner.mean())

    @property
    def sd(self) -> float:
        """Standard deviation of learners' means; not a number where there is one learner."""
        return float(self.by_learner.std(ddof=1)) if len(self.by_learner) > 1 else math.nan

    @property
    def sem(self) -> float:
        """Standard error of the mean, over learners."""
        return self.sd / math.sqrt(len(self.by_learner))


def validate(
    distilled: DistilledSet,
    task: Task,
    learners: int = 100,
    episodes: int = 5,
    *,
    family: str = "same",
    greedy: bool = False,
    inner_steps: int | None = None,
    seed: int = 0,
) -> Returns:
    """Train fresh learners on a set and let them act.

    Their initialisations are drawn for the purpose, so that they are none of a distillation's, whatever its
    seed was.

    Args:
        learners: how many, all of one family.
        episodes: of each.
        family: one of :data:`~trainables.environment.choices.FAMILIES`, or ``FILE.py:NAME``, a network of
            the user's own (see :mod:`trainables.environment.own_modules`).
        greedy: act by the likeliest action in place of sampling.
        inner_steps: gradient steps (default: those the set was made for); with 0, learners stay untrained.
        seed: of initialisations, episodes and actions.

    Raises:
        InputError: if the set does not fit the task.
    """
    distilled.check_fits(task, "the distilled set")
    perception = distilled.perception(task)
    means = []
    for architecture, stepped in stepped_learners(distilled, task, learners, family, inner_steps, seed):
        layers = str(architecture.layers) if isinstance(architecture, NetworkLearner) else ""
        played = derive_seed(seed, "validation episodes", _word(family), layers)
        means.append(
            episode_returns(task, architecture, stepped, perception, episodes, played, greedy).mean(1)
        )
    return Returns(np.concatenate(means))


def stepped_learners(
    distilled: DistilledSet, task: Task, learners: int, family: str, inner_steps: int | None, seed: int
) -> Iterator[tuple[Learner, Parameters]]:
    """The learners of :func:`validate` after their steps, in the order of its returns, by architecture."""
    draws = generator(seed, "validation", _word(family))
    inputs = distilled.perception(task).encode(distilled.x)
    for architecture, count in draw_architectures(family, task, distilled.level, learners, draws):
        yield (
            architecture,
            inner_step(
                architecture,
                architecture.draw(count, draws),
                inputs,
                distilled.y,
                distilled.inner_lr,
                y_log_std=distilled.y_log_std,
                loss=distilled.loss,
                steps=distilled.inner_steps if inner_steps is None else inner_steps,
                create_graph=False,
            ),
        )


def untrained(task: Task, learners: int, episodes: int, seed: int = 0) -> Returns:
    """Fresh learners before any step, for comparison where there is no set yet."""
    log_std = None if task.discrete else torch.zeros(1, task.actions)
    nothing = DistilledSet(
        torch.zeros(1, *task.observation_shape), torch.zeros(1, task.actions), torch.zeros(()), log_std
    )
    return validate(nothing, task, learners, episodes, inner_steps=0, seed=seed)


def _word(family: str) -> str:
    """What seeds go by: where a file lies must not matter."""
    return family.rpartition(":")[2]
