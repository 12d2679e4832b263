"""What a schedule of loss weights is tried on: episodes of a few decisions, many at once as one tensor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

ACTION_LIMIT = 4.0

Episodes = TypeVar("Episodes")
"""How a task holds E episodes that go on together."""


@dataclass(frozen=True)
class Outcome:
    """What E episodes have come to.

    Attributes:
        scores: (E,) float64; the higher the better, minus infinity of what diverged.
        accuracies: (E,) float64 in [0, 1], what of them is an accuracy on the reward half.
    """

    scores: Tensor
    accuracies: Tensor


class ShapingTask(ABC, Generic[Episodes]):
    """A decision sets the weight of each loss term for the next block of steps; the end is scored.

    Attributes:
        terms: names of the K loss terms.
        centre: (K,) float32 weights that a known good run has: an action is the logarithm of how many times
            as much.
        decisions: how many there are in an episode, T.
        observed: how many numbers an observation has, F.
    """

    terms: tuple[str, ...]
    centre: Tensor
    decisions: int
    observed: int

    @abstractmethod
    def begin(self, n: int) -> Episodes:
        """``n`` episodes at their common start."""

    @abstractmethod
    def observe(self, episodes: Episodes) -> Tensor:
        """What a policy sees before it decides: (E, F) float32 of about unit size."""

    @abstractmethod
    def advance(self, episodes: Episodes, actions: Tensor) -> None:
        """The block of steps that follows a decision (E, K); ``episodes`` change in place."""

    @abstractmethod
    def judge(self, episodes: Episodes) -> Outcome:
        """What the episodes have come to."""

    @abstractmethod
    def resume_from(self, episodes: Episodes, rows: Tensor) -> None:
        """Let episode e go on from where episode ``rows[e]`` stands; (E,) int64."""

    @abstractmethod
    def made(self, episodes: Episodes, which: int) -> Tensor:
        """What one episode has made."""

    def weights(self, actions: Tensor) -> Tensor:
        """Loss weights that actions (..., K) stand for: at most a factor of fifty from the centre."""
        return self.centre * actions.clamp(-ACTION_LIMIT, ACTION_LIMIT).exp()

    def actions(self, weights: Tensor) -> Tensor:
        """The inverse of :meth:`weights`; a weight of zero is the smallest there is."""
        return (weights / self.centre).log().clamp(-ACTION_LIMIT, ACTION_LIMIT)

    def play(self, actions: Tensor) -> Rollout[Episodes]:
        """Episodes by given schedules (E, T, K)."""
        episodes = self.begin(len(actions))
        for decision in range(self.decisions):
            self.advance(episodes, actions[:, decision])
        return Rollout(actions, self.judge(episodes), episodes)


@dataclass(frozen=True)
class Rollout(Generic[Episodes]):
    """Episodes that were played to their end.

    Attributes:
        actions: (E, T, K) float32.
        outcome: what they were worth.
        episodes: where they stand.
    """

    actions: Tensor
    outcome: Outcome
    episodes: Episodes
