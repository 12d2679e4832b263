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

MOST_STEPS = 27_000
"""Where an episode is cut off that nothing else ends: Atari's 108,000 frames."""
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
            for _ in range(MOST_STEPS):
                if not running.any():
                    break
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


def random_states(task: Task, count: int, seed: int) -> Tensor:
    """Scaled observations that random actions lead to, in no order; (count, *observation) float32."""
    num_envs = 32
    env = task.make(num_envs)
    env.action_space.seed(seed % 2**31)
    try:
        observations, _ = env.reset(seed=seed % 2**31)
        seen = [observations]
        # Ten times as many as wanted, so that those drawn are not neighbours in time.
        for _ in range(10 * count // num_envs + 10):
            seen.append(env.step(env.action_space.sample())[0])
    finally:
        env.close()
    pool = np.concatenate(seen)
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))[:count]
    return torch.from_numpy(pool[order.numpy()]).float() * task.observation_scale


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
