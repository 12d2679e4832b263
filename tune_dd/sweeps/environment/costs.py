"""Roughly, what an environment distillation costs: its simulation is timed, its learning goes by sizes."""

from __future__ import annotations

import functools
import math
import operator
import time
from dataclasses import dataclass, replace

import gymnasium as gym

from trainables.environment.cartpole import MAX_EPISODE_STEPS, dimensions_of
from trainables.environment.choices import LEVELS
from trainables.environment.config import EnvironmentConfig
from trainables.environment.population import training_population
from trainables.environment.tasks import Task
from trainables.seeds import generator

TIMED_S = 0.2
BY_WEIGHTS = 0.3
"""The share of ``state`` that goes by the number of weights; the rest is as much for each network."""


@dataclass(frozen=True)
class Costs:
    """What is known of tasks that show alike: CPU seconds of all but simulating, on one core.

    Attributes:
        timed_envs: environments that simulating is timed with; a batch of many games takes seconds to make.
        episode: steps until the last episode of a probe has ended, unless the task itself ends it before.
        iteration: of a meta-iteration, whatever its size.
        sampled: of an environment step, for the learner that acts and for its episode's record.
        judged: of an environment step in a probe.
        update: of an outer step, whatever its size.
        row: of an environment step in an outer step.
        state: of a synthetic state in the inner step of one of the task's own learners, back-propagated
            through.
        learner: of a learner's inner step, however many its states are.
    """

    timed_envs: int
    episode: int
    iteration: float
    sampled: float
    judged: float
    update: float
    row: float
    state: float
    learner: float


# Fitted to meta-iterations of cart-poles, Hopper, Ant and Pong with 1 to 50 learners and 2 to 512 states,
# timed as in benchmarks/meta_iteration.py; within a quarter of each of them. Games were timed on a processor
# that computes in bfloat16.
VECTORS = Costs(
    timed_envs=50,
    episode=500,  # some walk on to the end at 1,000, others soon fall
    iteration=0.02,
    sampled=6e-6,
    judged=2.5e-6,
    update=2.5e-3,
    row=3e-6,
    state=3.2e-6,
    learner=7e-5,
)
PICTURES = Costs(
    timed_envs=10,
    episode=1_000,
    iteration=0.1,
    sampled=5e-4,
    judged=7e-4,
    update=0.0,
    row=1.6e-3,
    state=2.4e-3,
    learner=6e-2,
)
# Where all layers but the last are the encoder's: learners and critic share them.
ENCODED_PICTURES = replace(PICTURES, row=8e-4, state=3e-4, learner=1e-3)


def simulated_s(task: Task) -> float:
    """CPU seconds of one environment step with a random action, timed here."""
    number = _costs(task).timed_envs
    env = task.make(number)
    env.action_space.seed(0)
    try:
        env.reset(seed=0)
        steps, started, until = 0, time.process_time(), time.monotonic() + TIMED_S
        while not steps or time.monotonic() < until:
            env.step(env.action_space.sample())
            steps += number
        return (time.process_time() - started) / steps
    finally:
        env.close()


def distillation_s(settings: EnvironmentConfig, task: Task, step_s: float) -> float:
    """CPU seconds of a distillation that makes all its meta-iterations.

    Args:
        step_s: those of an environment step (see :func:`simulated_s`).
    """
    distilled, outer, probe = settings.distilled, settings.outer, settings.probe
    level = distilled.encoder_level
    costs = _costs(task, level)
    steps = outer.num_envs * outer.rollout_steps
    updates = outer.epochs * outer.groups * math.ceil(steps / outer.minibatch_size / outer.groups)
    rows = outer.epochs * steps / updates
    own = _weights(("same",), task, level, 1)
    relative = _weights(distilled.family_names, task, level, outer.learners) / own
    state = costs.state * (1 - BY_WEIGHTS + BY_WEIGHTS * relative)
    inner = outer.learners / outer.groups * (costs.learner + distilled.batch_size * state)
    iteration = (
        costs.iteration
        + steps * (step_s + costs.sampled)
        + updates * (costs.update + rows * costs.row + distilled.inner_steps * inner)
    )
    # Sampled and greedy at each report, and untrained learners once.
    probes = 2 * math.ceil(outer.iterations / probe.iterations_per_report) + 1
    judged = probe.probe_learners * probe.probe_episodes * min(costs.episode, _time_limit(task))
    return outer.iterations * iteration + probes * judged * (step_s + costs.judged)


def _costs(task: Task, level: str = "none") -> Costs:
    if not task.sees_pictures:
        return VECTORS
    shared = LEVELS[level] / max(LEVELS.values())
    between = {
        name: (1 - shared) * getattr(PICTURES, name) + shared * getattr(ENCODED_PICTURES, name)
        for name in ("row", "state", "learner")
    }
    return replace(PICTURES, **between)


@functools.cache  # drawing convolutional networks takes a while, and all trials of a task ask for the same
def _weights(families: tuple[str, ...], task: Task, level: str, count: int) -> float:
    """Weights of one of ``count`` training learners, on average."""
    population = training_population(families, task, level, count)
    drawn = [one.draw(1, generator(0, "weights")) for one in population.architectures]
    numbers = [sum(tensor.numel() for tensor in parameters.values()) for parameters in drawn]
    return sum(map(operator.mul, population.counts, numbers)) / count


def _time_limit(task: Task) -> float:
    """Steps after which the task ends an episode."""
    if dimensions_of(task.env_id) is not None:
        return MAX_EPISODE_STEPS
    spec = gym.registry.get(task.env_id)
    return math.inf if spec is None else spec.max_episode_steps or math.inf
