"""Episodes as RLlib gets them, against the task's own equations, and the batch that is made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from trainables.ppmo.batch import LEARNER, PpmoBatch
from trainables.ppmo.run import PpmoRun

pytestmark = pytest.mark.timeout(300)
ENVS, LEARNERS, STEPS = 6, 3, 70
SETTINGS = {"num_envs": ENVS, "learners": LEARNERS, "rollout_steps": STEPS, "probe_learners": 2}


@pytest.fixture
def run(started: Callable[..., PpmoRun]) -> PpmoRun:
    return started(env="CartPole-v1", **SETTINGS)


def sampled(run: PpmoRun) -> list[Any]:
    """One call's episodes."""
    episodes: list[Any] = run._algorithm.env_runner.sample(num_timesteps=ENVS * STEPS)
    return episodes


def test_episodes_follow_the_tasks_equations(run: PpmoRun) -> None:
    """Each observation is what gymnasium's cart-pole makes of the one before and the action; so is the last,
    which an automatic restart must not replace."""
    episodes = sampled(run)
    assert sum(map(len, episodes)) == ENVS * STEPS and any(e.is_terminated for e in episodes)
    reference = gym.make("CartPole-v1").unwrapped
    reference.reset(seed=0)
    for episode in episodes:
        seen, actions = episode.get_observations(), episode.get_actions()
        for t in range(len(episode)):
            reference.state, reference.steps_beyond_terminated = tuple(map(float, seen[t])), None
            expected, reward, terminated, _, _ = reference.step(int(actions[t]))
            np.testing.assert_allclose(seen[t + 1], expected, atol=1e-5)
            assert episode.get_rewards(t) == reward
            assert terminated == (episode.is_terminated and t == len(episode) - 1)


def test_probabilities_are_those_of_the_learner_that_acted(run: PpmoRun) -> None:
    module = run._algorithm.env_runner.module
    (architecture,), (stepped,) = module.population.architectures, module.stepped.parameters_of()
    owners = set()
    for episode in sampled(run):
        (owner,) = set(episode.get_extra_model_outputs(LEARNER).tolist())
        owners.add(owner)
        own = {name: tensor[owner : owner + 1] for name, tensor in stepped.items()}
        logits = architecture(own, torch.from_numpy(episode.get_observations()[:-1]).unsqueeze(0))[0]
        actions = torch.from_numpy(episode.get_actions())
        logp = logits.log_softmax(-1).gather(-1, actions[:, None])[:, 0].numpy()
        np.testing.assert_allclose(episode.get_extra_model_outputs("action_logp"), logp, atol=1e-5)
    assert owners == set(range(LEARNERS))


def test_parts_of_an_episode_go_on_where_they_were_cut(run: PpmoRun) -> None:
    first, second = sampled(run), sampled(run)
    cut = {tuple(e.get_observations()[-1]) for e in first if not e.is_done}
    starts = {tuple(e.get_observations()[0]) for e in second}
    assert len(cut) == ENVS and cut <= starts


def test_the_batch_has_each_step_with_its_own_advantage(run: PpmoRun) -> None:
    """Advantages by the recursion, episode by episode, with the critic's values."""
    gamma, lam = 0.9, 0.8
    learner = run._algorithm.learner_group._learner
    module = learner.module[DEFAULT_MODULE_ID].unwrapped()
    episodes = sampled(run)
    made = PpmoBatch(gamma, lam, LEARNERS)(rl_module=learner.module, batch={}, episodes=episodes)
    batch = made[DEFAULT_MODULE_ID]
    expected: dict[tuple[float, ...], tuple[int, float, float]] = {}
    for episode in episodes:
        seen = torch.from_numpy(episode.get_observations())
        values = module.compute_values({"obs": seen}).detach().double().tolist()
        if episode.is_terminated:
            values[-1] = 0.0
        following = 0.0
        for t in reversed(range(len(episode))):
            error = float(episode.get_rewards(t)) + gamma * values[t + 1] - values[t]
            following = error + gamma * lam * following
            owner = int(episode.get_extra_model_outputs(LEARNER)[t])
            expected[tuple(seen[t].tolist())] = owner, following, following + values[t]
    advantages = np.array([advantage for _, advantage, _ in expected.values()])
    assert batch["obs"].shape == (LEARNERS, ENVS * STEPS // LEARNERS, 4) and len(expected) == ENVS * STEPS
    for owner in range(LEARNERS):
        for t, state in enumerate(batch["obs"][owner]):
            whose, advantage, target = expected[tuple(state.tolist())]
            assert whose == owner
            normalised = (advantage - advantages.mean()) / advantages.std()
            assert float(batch["advantages"][owner, t]) == pytest.approx(normalised, abs=1e-4)
            assert float(batch["value_targets"][owner, t]) == pytest.approx(target, abs=1e-4)
