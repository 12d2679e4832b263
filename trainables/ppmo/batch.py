"""From episodes to the train batch: advantages, and rows in the order of their learners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.evaluation.postprocessing import Postprocessing

LEARNER = "learner"
"""Extra output of a step: which learner acted."""


class PpmoBatch(ConnectorV2):
    """The whole learner pipeline: one pass over the episodes, one of the critic.

    RLlib's own pieces handle one episode at a time; with some hundred short chunks an iteration that takes
    longer than the learning does.

    The batch's tensors are (K, M, ...): the M steps of each of K learners. Where some have fewer,
    ``Columns.LOSS_MASK`` (K, M) says which rows count.
    """

    def __init__(self, gamma: float, gae_lambda: float, learners: int, device: str | None = None) -> None:
        super().__init__()
        self._gamma, self._lambda, self._learners, self._device = gamma, gae_lambda, learners, device

    def __call__(
        self, *, rl_module: Any, batch: dict[str, Any], episodes: Sequence[SingleAgentEpisode], **kwargs: Any
    ) -> dict[str, Any]:
        module = rl_module[DEFAULT_MODULE_ID].unwrapped()
        seen = [episode.get_observations() for episode in episodes]  # (length + 1, *observation) each
        lengths = np.array([len(episode) for episode in episodes])
        observations = torch.from_numpy(np.concatenate(seen)).to(self._device)
        with torch.no_grad():
            unit = float(module.value_scale)
            values = module.compute_values({Columns.OBS: observations}).cpu().numpy() * unit
        rewards = np.concatenate([episode.get_rewards() for episode in episodes])
        terminated = np.array([episode.is_terminated for episode in episodes])
        advantages, targets = estimate_advantages(
            rewards, values, lengths, terminated, self._gamma, self._lambda
        )
        advantages = (advantages - advantages.mean()) / max(1e-8, advantages.std())
        steps = np.delete(np.arange(len(values)), np.cumsum(lengths + 1) - 1)  # not the last observations
        columns = {
            Columns.OBS: observations[torch.from_numpy(steps)],
            Columns.ACTIONS: _joined(episode.get_actions() for episode in episodes),
            Columns.ACTION_LOGP: _joined(e.get_extra_model_outputs(Columns.ACTION_LOGP) for e in episodes),
            Columns.ACTION_DIST_INPUTS: _joined(
                e.get_extra_model_outputs(Columns.ACTION_DIST_INPUTS) for e in episodes
            ),
            Postprocessing.ADVANTAGES: torch.from_numpy(advantages.astype(np.float32)),
            Postprocessing.VALUE_TARGETS: torch.from_numpy((targets / unit).astype(np.float32)),
        }
        owners = np.concatenate([episode.get_extra_model_outputs(LEARNER) for episode in episodes])
        rows, counted = by_learner(owners, self._learners)
        ordered = {name: column.to(self._device)[rows] for name, column in columns.items()}
        if not counted.all():
            ordered[Columns.LOSS_MASK] = counted.to(self._device)
        return {DEFAULT_MODULE_ID: ordered}


def estimate_advantages(
    rewards: np.ndarray,
    values: np.ndarray,
    lengths: np.ndarray,
    terminated: np.ndarray,
    gamma: float,
    gae_lambda: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Generalised advantage estimates (Schulman et al., 2016, equation 16) of episodes or parts of them.

    What a part leads to is worth its last observation's value, unless the episode terminated there: being
    cut off, by a time limit or the end of sampling, is no reason to expect nothing more.

    Args:
        rewards: of all steps, one part after the other, (steps,).
        values: of all observations, each part's last one included, (steps + parts,).
        lengths: steps of each part, (parts,).
        terminated: (parts,) bool.

    Returns:
        Advantages and targets of the values, (steps,) float64 each.
    """
    parts, longest = len(lengths), int(lengths.max())
    there = np.arange(longest) < lengths[:, None]  # (parts, longest)
    reward = np.zeros((parts, longest))
    reward[there] = rewards
    value = np.zeros((parts, longest + 1))
    value[np.arange(longest + 1) < lengths[:, None] + 1] = values
    value[np.flatnonzero(terminated), lengths[terminated]] = 0.0
    errors = np.where(there, reward + gamma * value[:, 1:] - value[:, :-1], 0.0)
    advantages = np.zeros((parts, longest + 1))
    for step in reversed(range(longest)):
        advantages[:, step] = errors[:, step] + gamma * gae_lambda * advantages[:, step + 1]
    found = advantages[:, :-1][there]
    return found, found + value[:, :-1][there]


def by_learner(owners: np.ndarray, learners: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Row numbers (learners, M) by owner, and which of them count (M is the greatest number of rows)."""
    order = np.argsort(owners, kind="stable")
    numbers = np.bincount(owners, minlength=learners)
    counted = np.arange(numbers.max()) < numbers[:, None]
    rows = np.zeros(counted.shape, np.int64)
    rows[counted] = order
    return torch.from_numpy(rows), torch.from_numpy(counted)


def _joined(parts: Any) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(list(parts)))
