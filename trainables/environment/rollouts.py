"""How well stepped learners do: whole episodes, learner by learner."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from trainables.environment.cartpole import Batch
from trainables.environment.learners import LOG_STD, Learner, Parameters
from trainables.environment.perception import Perception
from trainables.environment.tasks import Task
from trainables.seeds import derive_seed, generator

MOST_STEPS = 27_000
"""Where an episode is cut off that nothing else ends: Atari's 108,000 frames."""
# So many that whole episodes are among them, not their beginnings alone.
_LEAST_STEPS = 1000
_NUM_ENVS = 32
Watch = Callable[[Batch, np.ndarray, np.ndarray], None]
Act = Callable[[Batch, np.ndarray], np.ndarray]


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
    draws = torch.Generator().manual_seed(seed)
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
                actions = choose(outputs, parameters, task.discrete, greedy, draws)
                observations, rewards, terminated, truncated, _ = env.step(
                    task.clip(actions.flatten(0, 1).numpy())
                )
                returns += np.where(running, rewards, 0.0)
                running &= ~(terminated | truncated)
    finally:
        env.close()
    return returns.reshape(count, episodes)


def visited_states(task: Task, act: Act, count: int, seed: int) -> Tensor:
    """Raw observations that a policy comes to, picked at random, in no order; (count, *observation).

    Args:
        act: gives actions as the environment takes them, for the observations of all its episodes.
        seed: of the episodes, the environment's own action space, and of what is picked.
    """
    steps = max(_LEAST_STEPS, math.ceil(count / _NUM_ENVS))
    draws = generator(seed, "visited states")
    # Picked beforehand, so that no more than these are held: pictures would fill the memory.
    picked = torch.randperm(steps * _NUM_ENVS, generator=draws)[:count]
    own_seed = derive_seed(seed, "episodes of visited states") % 2**31
    env = task.make(_NUM_ENVS)
    env.action_space.seed(own_seed)
    seen = []
    try:
        observations, _ = env.reset(seed=own_seed)
        for step in range(steps):
            here = picked[picked // _NUM_ENVS == step] % _NUM_ENVS
            seen.append(torch.from_numpy(observations[here.numpy()]))
            observations = env.step(act(env, observations))[0]
    finally:
        env.close()
    return torch.cat(seen)[torch.randperm(count, generator=draws)]


def random_states(task: Task, count: int, seed: int) -> Tensor:
    """Raw observations that random actions lead to, as :func:`visited_states` has them."""
    return visited_states(task, lambda env, _: env.action_space.sample(), count, seed)


def choose(
    outputs: Tensor, parameters: Parameters, discrete: bool, greedy: bool, draws: torch.Generator
) -> Tensor:
    """Actions of K learners, (K, n) int64 or (K, n, actions) float32, given their outputs (K, n, actions)."""
    if discrete:
        if greedy:
            return outputs.argmax(-1)
        # The largest of logits plus Gumbel noise is distributed as the softmax says.
        noise = torch.empty_like(outputs).exponential_(generator=draws).log()
        return (outputs - noise).argmax(-1)
    if greedy:
        return outputs
    deviation = parameters[LOG_STD].exp().unsqueeze(1)  # (K, 1, actions)
    return outputs + deviation * torch.randn(outputs.shape, generator=draws)
