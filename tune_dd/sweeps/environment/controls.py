"""What distilled environments have to beat: learners that have learned nothing, and no learner at all."""

from __future__ import annotations

import math

import numpy as np

from trainables.environment.rollouts import MOST_STEPS
from trainables.environment.tasks import Task
from trainables.environment.validation import untrained
from trainables.seeds import derive_seed


def control_returns(task: Task, learners: int, episodes: int) -> dict[str, dict[str, float]]:
    """Scores of untrained learners and of random actions, by name.

    Args:
        learners, episodes: of a probe; there are as many episodes of random actions.
    """
    fresh = untrained(task, learners, episodes, seed=derive_seed(0, "controls"))
    drawn = random_returns(task, learners * episodes, derive_seed(0, "random actions"))
    return {
        "untrained": {"probe_return": fresh.mean, "probe_return_sem": fresh.sem},
        "random actions": {
            "probe_return": float(drawn.mean()),
            "probe_return_sem": float(drawn.std(ddof=1)) / math.sqrt(len(drawn)),
        },
    }


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
