"""An actor sets loss weights, a critic says what an episode will come to; both learn from whole batches.

The actor is a Gaussian over logarithms of weights, its mean a small network of the observation. Rewards come
at the end alone, so a decision's advantage is the score less what the critic expected there.

Paper: Schulman et al., "Proximal policy optimization algorithms", 2017, equation 7.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trainables.latent.adam import Adam
from trainables.latent.shaping.task import ACTION_LIMIT, Rollout, ShapingTask
from trainables.seeds import generator

HIDDEN = 32
# Passes over a batch of episodes, and how far the ratio of probabilities may go in them.
PASSES = 8
CLIP = 0.2
VALUE_WEIGHT = 0.5
# Standard deviation of the actions at the start: weights are tried at up to five times, and a fifth.
INITIAL_SPREAD = 0.8
LOG_SPREADS = (-5.0, 1.5)
_MEMORY = 0.9


class ActorCritic:
    """Learns to schedule the weights of one task.

    Args:
        task: what is played.
        lr: Adam's learning rate on both networks; 0 leaves them as they start.
        entropy: weight of the actor's entropy.
        seed: of the networks' initialisation.
    """

    def __init__(self, task: ShapingTask[Any], lr: float, entropy: float, seed: int) -> None:
        self._task, self._lr, self._entropy = task, lr, entropy
        randomness = generator(seed, "actor-critic")
        device = task.centre.device
        self._actor = _network(task.observed, len(task.terms), randomness).to(device)
        self._critic = _network(task.observed, 1, randomness).to(device)
        self._spread = task.centre.new_full((len(task.terms),), INITIAL_SPREAD).log().requires_grad_()
        self._parameters = [*self._actor.parameters(), *self._critic.parameters(), self._spread]
        self._optimizer = Adam(self._parameters)
        # Scores of past batches: what an advantage is told in.
        self._mean, self._deviation, self._batches = 0.0, 0.0, 0

    def play(self, n: int, randomness: torch.Generator) -> tuple[Rollout[Any], Tensor]:
        """``n`` episodes with drawn actions, and what was observed, (n, T, F)."""
        episodes, actions, observations = self._task.begin(n), [], []
        for _ in range(self._task.decisions):
            observation = self._task.observe(episodes)
            mean = self._mean_action(observation).detach()
            noise = torch.randn(mean.shape, generator=randomness).to(mean)
            action = mean + self._log_spread.detach().exp() * noise
            self._task.advance(episodes, action)
            actions.append(action)
            observations.append(observation)
        rollout = Rollout(torch.stack(actions, 1), self._task.judge(episodes), episodes)
        return rollout, torch.stack(observations, 1)

    def play_mean(self) -> Rollout[Any]:
        """One episode without noise: what was learned, which may be worth less than the best episode."""
        episodes, actions = self._task.begin(1), []
        for _ in range(self._task.decisions):
            actions.append(self._mean_action(self._task.observe(episodes)).detach())
            self._task.advance(episodes, actions[-1])
        return Rollout(torch.stack(actions, 1), self._task.judge(episodes), episodes)

    def _mean_action(self, observations: Tensor) -> Tensor:
        """What the actor would do, (..., K), within the limits of what a task can do."""
        mean: Tensor = self._actor(observations)
        return mean.nan_to_num(0.0).clamp(-ACTION_LIMIT, ACTION_LIMIT)

    def learn(self, rollout: Rollout[Any], observations: Tensor) -> None:
        """A few passes over a batch of episodes."""
        if self._lr == 0:
            return
        scores = rollout.outcome.scores
        counted = torch.isfinite(scores)
        if not counted.any():
            return
        # Diverging is as bad as the worst that did not.
        scores = torch.where(counted, scores, scores[counted].min())
        told = self._standardised(scores).float()[:, None]  # (E, 1)
        with torch.no_grad():
            expected = self._critic(observations)[..., 0]  # (E, T)
            advantages = told - expected
            advantages = (advantages - advantages.mean()) / (advantages.std(correction=0) + 1e-6)
            before = self._log_probability(observations, rollout.actions)
        for _ in range(PASSES):
            ratio = (self._log_probability(observations, rollout.actions) - before).exp()  # (E, T)
            bounded = ratio.clamp(1 - CLIP, 1 + CLIP)
            gain = torch.minimum(ratio * advantages, bounded * advantages).mean()
            mistaken = (self._critic(observations)[..., 0] - told).square().mean()
            loss = VALUE_WEIGHT * mistaken - gain - self._entropy * self._log_spread.sum()
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step_if_finite(self._lr)  # it may be far too high

    @property
    def _log_spread(self) -> Tensor:
        """Within what makes a difference: actions are clipped at the upper end."""
        return self._spread.clamp(*LOG_SPREADS)

    def _standardised(self, scores: Tensor) -> Tensor:
        """By the mean and deviation of recent batches, as what is reached and its spread change slowly."""
        mean, deviation = float(scores.mean()), float(scores.std(correction=0))
        share = max(1 - _MEMORY, 1 / (self._batches + 1))
        self._mean += share * (mean - self._mean)
        self._deviation += share * (deviation - self._deviation)
        self._batches += 1
        return (scores - self._mean) / (self._deviation + 1e-9)

    def _log_probability(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Up to a constant, (E, T), of actions (E, T, K)."""
        off = (actions - self._mean_action(observations)) / self._log_spread.exp()
        return -(0.5 * off.square() + self._log_spread).sum(-1)

    def told(self) -> dict[str, float]:
        """The standard deviation of each term's action."""
        return {
            f"spread_{name}": float(s)
            for name, s in zip(self._task.terms, self._log_spread.detach().exp(), strict=True)
        }

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and plain containers, as copies."""
        return {
            "parameters": [parameter.detach().clone() for parameter in self._parameters],
            "optimizer": self._optimizer.state_dict(),
            "scores": [self._mean, self._deviation, self._batches],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`.

        Raises:
            ValueError: if a parameter's shape is another.
        """
        with torch.no_grad():
            for parameter, stored in zip(self._parameters, state["parameters"], strict=True):
                if parameter.shape != stored.shape:
                    raise ValueError(f"parameters of shape {tuple(stored.shape)}")
                parameter.copy_(stored)
        self._optimizer.load_state_dict(state["optimizer"])
        self._mean, self._deviation, self._batches = state["scores"]


def _network(inputs: int, outputs: int, randomness: torch.Generator) -> nn.Sequential:
    """One hidden layer; at the start its output is zero, whatever is observed."""
    first, last = nn.Linear(inputs, HIDDEN), nn.Linear(HIDDEN, outputs)
    with torch.no_grad():
        first.weight.copy_(torch.randn(first.weight.shape, generator=randomness) / inputs**0.5)
        first.bias.zero_()
        last.weight.zero_()
        last.bias.zero_()
    return nn.Sequential(first, nn.Tanh(), last)
