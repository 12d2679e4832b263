"""Sampling with stepped learners: one batched environment, arrays all the way.

RLlib's own runner spends most of its time in connectors and on one Python object per step; this one
makes one episode object per environment and stretch.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from trainables.environment.tasks import open_task
from trainables.ppmo.batch import LEARNER
from trainables.seeds import derive_seed


class PpmoEnvRunner(SingleAgentEnvRunner):
    """Learner ``i * K // n`` acts in environment ``i`` of ``n``. Connectors and callbacks are not used."""

    def make_env(self) -> None:
        self._task = open_task(self.config.env)
        self.env = self._task.make(self.config.num_envs_per_env_runner)
        self.num_envs = self.env.num_envs
        self._needs_initial_reset = True

    def _sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool | None = None,
        random_actions: bool = False,
        force_reset: bool = False,
    ) -> list[SingleAgentEpisode]:
        if num_timesteps is None or random_actions:
            raise NotImplementedError("only a number of steps with the module's actions can be sampled")
        if force_reset or self._needs_initial_reset:
            self._reset()
        steps = math.ceil(num_timesteps / self.num_envs)
        taken = self._take(steps)
        episodes = self._cut(taken, steps)
        self._log_env_steps(metric=self._metrics_num_env_steps_sampled, num_steps=steps * self.num_envs)
        self._increase_sampled_metrics(steps * self.num_envs, sum(episode.is_done for episode in episodes))
        return episodes

    def _reset(self) -> None:
        seed = derive_seed(
            self._seed or 0, "episodes", self.worker_index or 0, self.num_env_steps_sampled_lifetime
        )
        self._observations, _ = self.env.reset(seed=seed % 2**31)
        self._draws = torch.Generator().manual_seed(seed)
        self._lengths, self._returns = np.zeros(self.num_envs, np.int64), np.zeros(self.num_envs)
        self._needs_initial_reset = False

    def _take(self, steps: int) -> _Taken:
        learners = np.arange(self.num_envs) * self.module.population.count // self.num_envs
        shape = (steps, self.num_envs)
        seen = np.empty((steps + 1, *self._observations.shape), self._observations.dtype)
        seen[0] = self._observations
        taken = _Taken(seen, learners, np.empty(shape), np.zeros(shape, bool), np.zeros(shape, bool))
        noise = self._noise(steps)
        outputs: list[torch.Tensor] = []
        actions: list[torch.Tensor] = []
        with torch.inference_mode():
            for step in range(steps):
                given = {Columns.OBS: torch.from_numpy(seen[step])}
                outputs.append(self.module.forward_exploration(given)[Columns.ACTION_DIST_INPUTS])
                actions.append(self._choose(outputs[-1], noise[step]))
                now, rewards, terminated, truncated, infos = self.env.step(
                    self._task.clip(actions[-1].numpy())
                )
                taken.rewards[step], taken.terminated[step], taken.truncated[step] = (
                    rewards,
                    terminated,
                    truncated,
                )
                for env in np.flatnonzero(terminated | truncated).tolist():
                    taken.final[step, env] = infos["final_obs"][env]
                seen[step + 1] = now
            self._observations = seen[-1].copy()
            inputs, chosen = torch.stack(outputs), torch.stack(actions)
            taken.inputs, taken.actions = inputs.numpy(), chosen.numpy()
            distribution = self.module.get_exploration_action_dist_cls().from_logits(inputs)
            taken.logp = distribution.logp(chosen).numpy()
        return taken

    def _noise(self, steps: int) -> torch.Tensor:
        shape = (steps, self.num_envs, self._task.actions)
        if self._task.discrete:
            return -torch.empty(shape).exponential_(generator=self._draws).log()
        return torch.randn(shape, generator=self._draws)

    def _choose(self, inputs: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        if self._task.discrete:  # the largest of logits plus Gumbel noise follows the softmax
            return (inputs + noise).argmax(-1)
        mean, log_std = inputs.chunk(2, -1)
        return mean + log_std.exp() * noise

    def _cut(self, taken: _Taken, steps: int) -> list[SingleAgentEpisode]:
        """One episode object for each stretch between two ends."""
        episodes = []
        for env in range(self.num_envs):
            ends = np.flatnonzero(taken.terminated[:, env] | taken.truncated[:, env]) + 1
            for start, end in itertools.pairwise(sorted({0, *ends.tolist(), steps})):
                episodes.append(self._episode(taken, env, start, end))
        return episodes

    def _episode(self, taken: _Taken, env: int, start: int, end: int) -> SingleAgentEpisode:
        stretch = slice(start, end)
        last = taken.final.get((end - 1, env), taken.seen[end, env])
        episode = SingleAgentEpisode(
            observation_space=self.env.single_observation_space,
            action_space=self.env.single_action_space,
            observations=np.concatenate([taken.seen[stretch, env], last[None]]),
            actions=taken.actions[stretch, env],
            rewards=self._task.learning_rewards(taken.rewards[stretch, env]),
            infos=[{}] * (end - start + 1),
            terminated=bool(taken.terminated[end - 1, env]),
            truncated=bool(taken.truncated[end - 1, env]),
            extra_model_outputs={
                Columns.ACTION_DIST_INPUTS: taken.inputs[stretch, env],
                Columns.ACTION_LOGP: taken.logp[stretch, env],
                LEARNER: np.full(end - start, taken.learners[env]),
            },
            len_lookback_buffer=0,
        )
        self._lengths[env] += end - start
        self._returns[env] += taken.rewards[stretch, env].sum()
        if episode.is_done:
            self._log_episode_metrics(int(self._lengths[env]), float(self._returns[env]), 0.0)
            self._lengths[env] = self._returns[env] = 0
        return episode


@dataclass
class _Taken:
    """Arrays of one call, (steps, environments, ...); ``seen`` has one step more."""

    seen: np.ndarray
    learners: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    final: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    inputs: np.ndarray = field(default_factory=lambda: np.empty(0))
    actions: np.ndarray = field(default_factory=lambda: np.empty(0))
    logp: np.ndarray = field(default_factory=lambda: np.empty(0))
