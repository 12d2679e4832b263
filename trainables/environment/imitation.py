"""Controls for a distilled set: what an expert's experience teaches, in one step or as many as it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainables.environment.cartpole import Batch
from trainables.environment.distilled_set import DistilledSet
from trainables.environment.families import learners as architectures_of
from trainables.environment.inner_step import learner_losses
from trainables.environment.learners import LOG_STD, Learner, Parameters
from trainables.environment.perception import Perception
from trainables.environment.rollouts import choose, episode_returns, visited_states
from trainables.environment.tasks import Task
from trainables.environment.validation import Returns, validate
from trainables.seeds import derive_seed, generator

INNER_LRS = tuple(10 ** (exponent / 2) for exponent in range(-4, 7))
"""From 0.01 to 1,000, two to a decade."""


@dataclass(frozen=True)
class Policy:
    """Trained learners. An expert is one.

    Attributes:
        learner: their architecture.
        parameters: (K, ...) each.
        perception: how they see the task; without an encoder.
    """

    learner: Learner
    parameters: Parameters
    perception: Perception


@dataclass(frozen=True)
class Demonstrations:
    """States that an expert visited, in no order, and what it makes of them.

    Attributes:
        x: (n, *observation) float32, normalised as the expert sees them.
        y: (n, actions) float32: its logits (their mean taken off, which says nothing) or means.
        y_log_std: (1, actions), where actions are vectors.
        perception: the expert's.
    """

    x: Tensor
    y: Tensor
    y_log_std: Tensor | None
    perception: Perception


def demonstrate(task: Task, expert: Policy, count: int, seed: int) -> Demonstrations:
    """Let the expert act by its probabilities, and keep ``count`` of its states, picked at random."""
    draws = generator(seed, "demonstrations")

    def outputs_for(inputs: Tensor) -> Tensor:
        with torch.no_grad():
            return expert.learner(expert.parameters, inputs.unsqueeze(0))  # (1, n, actions)

    def act(_: Batch, observations: np.ndarray) -> np.ndarray:
        outputs = outputs_for(expert.perception.normalise(torch.from_numpy(observations)))
        return task.clip(choose(outputs, expert.parameters, task.discrete, False, draws)[0].numpy())

    states = visited_states(task, act, count, derive_seed(seed, "demonstrations"))
    x = expert.perception.normalise(states)
    y = outputs_for(x)[0]
    if task.discrete:
        y = y - y.mean(-1, keepdim=True)
    return Demonstrations(x, y, expert.parameters.get(LOG_STD), expert.perception)


def labelled_set(
    task: Task,
    demonstrations: Demonstrations,
    seed: int,
    inner_lrs: Sequence[float] = INNER_LRS,
    learners: int = 20,
) -> DistilledSet:
    """Demonstrations as a set for one step, with the learning rate of ``inner_lrs`` that teaches best.

    Args:
        seed: of the learners the rate is judged by. They are none of :func:`validate`'s with any small seed.
        learners: how many these are, of one episode each.
    """
    sets = [
        DistilledSet(
            demonstrations.x,
            demonstrations.y,
            torch.tensor(inner_lr),
            demonstrations.y_log_std,
            mean=demonstrations.perception.mean,
            variance=demonstrations.perception.variance,
        )
        for inner_lr in inner_lrs
    ]
    judges = derive_seed(seed, "inner learning rate")
    return max(sets, key=lambda tried: validate(tried, task, learners, 1, seed=judges).mean)


def clone(
    task: Task,
    demonstrations: Demonstrations,
    learners: int,
    seed: int,
    steps: int = 2000,
    minibatch: int = 128,
    learning_rate: float = 3e-3,
) -> Policy:
    """Behaviour cloning: fresh learners, trained by Adam on all demonstrations as often as ``steps`` says.

    The loss is the cross-entropy with the expert's probabilities, or the squared error of means (the best
    ``log_std``, the expert's own, is taken over); the rate falls linearly to zero.

    Args:
        learners: how many; they see the same minibatches.
        seed: of initialisations and minibatches.

    Returns:
        The learners, (learners, ...), which see as the expert does.
    """
    (learner,) = architectures_of("same", task)
    draws = generator(seed, "cloning")
    parameters = learner.draw(learners, draws)
    if demonstrations.y_log_std is not None:
        parameters[LOG_STD] = demonstrations.y_log_std.repeat(learners, 1)
    trained = [p.requires_grad_() for name, p in parameters.items() if name != LOG_STD]
    optimiser = torch.optim.Adam(trained, learning_rate, foreach=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    x, y = demonstrations.x, demonstrations.y
    targets, loss = (y.softmax(-1), "cross_entropy") if task.discrete else (y, "mse")
    for _ in range(steps):
        rows = torch.randperm(len(x), generator=draws)[:minibatch]
        shared = x[rows].expand(learners, *x[rows].shape)
        total = learner_losses(learner, parameters, shared, targets[rows], None, loss).sum()
        optimiser.zero_grad()
        torch.autograd.backward(total)
        optimiser.step()
        schedule.step()
    fixed = {name: p.detach() for name, p in parameters.items()}
    return Policy(learner, fixed, demonstrations.perception)


def returns_of(task: Task, trained: Policy, episodes: int, seed: int, greedy: bool = False) -> Returns:
    """Mean return of each of some trained learners."""
    played = derive_seed(seed, "returns of trained learners")
    return Returns(
        episode_returns(
            task, trained.learner, trained.parameters, trained.perception, episodes, played, greedy
        ).mean(1)
    )
