"""How well stepped learners do: whole episodes, learner by learner."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from trainables.environment.cartpole import Batch
from trainables.environment.learners import LOG_STD, Learner, Parameters
from trainables.environment.perception import Perception
from trainables.environment.tasks import Task

Watch = Callable[[Batch, np.ndarray, np.ndarray], None]


def episode_returns(
    task: Task,
    learner: Learner,
    parameters: Parameters,
    perception: Perception,
    episodes: int,
    seed: int,
    greedy: bool = False,
    watch: Watch | None = None,
) -> np.ndarray:
    """Undiscounted return of the first ``episodes`` episodes of each of K learners, side by side.

    Args:
        parameters: of K learners.
        seed: of the episodes' starts and the actions.
        greedy: the likeliest action in place of one drawn by its probability.
        watch: called before each step with the environment, which then can draw itself, the observations
            and the returns so far, (K * episodes,); for ended episodes these mean nothing.

    Returns:
        (K, episodes) float64.
    """
    count = next(iter(parameters.values())).shape[0]
    env = task.make(count * episodes, pictures=watch is not None)
    generator = torch.Generator().manual_seed(seed)
    returns = np.zeros(count * episodes)
    running = np.ones(count * episodes, bool)
    try:
        observations, _ = env.reset(seed=seed % 2**31)
        with torch.inference_mode():
            while running.any():
                if watch is not None:
                    watch(env, observations, returns)
                features = perception(torch.from_numpy(observations))
                features = features.reshape(count, episodes, *features.shape[1:])
                outputs = learner(parameters, features)  # (K, episodes, actions)
                actions = choose(outputs, parameters, task.discrete, greedy, generator)
                observations, rewards, terminated, truncated, _ = env.step(
                    task.clip(actions.flatten(0, 1).numpy())
                )
                returns += np.where(running, rewards, 0.0)
                running &= ~(terminated | truncated)
    finally:
        env.close()
    return returns.reshape(count, episodes)


def choose(
    outputs: Tensor, parameters: Parameters, discrete: bool, greedy: bool, generator: torch.Generator
) -> Tensor:
    """Actions of K learners, (K, n) int64 or (K, n, actions) float32, given their outputs (K, n, actions)."""
    if discrete:
        if greedy:
            return outputs.argmax(-1)
        # The largest of logits plus Gumbel noise is distributed as the softmax says.
        noise = torch.empty_like(outputs).exponential_(generator=generator).log()
        return (outputs - noise).argmax(-1)
    if greedy:
        return outputs
    deviation = parameters[LOG_STD].exp().unsqueeze(1)  # (K, 1, actions)
    return outputs + deviation * torch.randn(outputs.shape, generator=generator)
