"""What distilled environments have to beat: learners that have learned nothing, and no learner at all."""

from __future__ import annotations

import functools
import math

import numpy as np

from trainables.environment.config import EnvironmentConfig
from trainables.environment.rollouts import MOST_STEPS
from trainables.environment.tasks import Task, open_task
from trainables.environment.validation import untrained
from trainables.seeds import derive_seed


def control_returns(settings: EnvironmentConfig) -> dict[str, dict[str, float]]:
    """Scores of untrained learners and of random actions, by name.

    There are as many of each as in a probe. The untrained ones are those that each trial with these settings
    begins with (see :class:`~trainables.ppmo.run.PpmoRun`): other ones would differ by luck alone.
    """
    task, probe = open_task(settings.distilled.env), settings.probe
    learners, episodes = probe.probe_learners, probe.probe_episodes
    fresh = untrained(task, learners, episodes, derive_seed(settings.outer.seed, "untrained"))
    mean, error = _random_actions(task, learners * episodes)
    return {
        "untrained": {"probe_return": fresh.mean, "probe_return_sem": fresh.sem},
        "random actions": {"probe_return": mean, "probe_return_sem": error},
    }


@functools.cache
def _random_actions(task: Task, episodes: int) -> tuple[float, float]:
    """Mean return and its standard error; the same for all seeds."""
    drawn = random_returns(task, episodes, derive_seed(0, "random actions"))
    return float(drawn.mean()), float(drawn.std(ddof=1)) / math.sqrt(len(drawn))


def random_returns(task: Task, episodes: int, seed: int) -> np.ndarray:
    """Undiscounted returns of episodes in which each action is as likely, (episodes,) float64."""
    env = task.make(episodes)
    env.action_space.seed(seed % 2**31)
    returns, running = np.zeros(episodes), np.ones(episodes, bool)
    try:
        env.reset(seed=seed % 2**31)
        for _ in range(MOST_STEPS):
            if not running.any():
                break
            _, rewards, terminated, truncated, _ = env.step(env.action_space.sample())
            returns += np.where(running, rewards, 0.0)
            running &= ~(terminated | truncated)
    finally:
        env.close()
    return returns
