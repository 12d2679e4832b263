"""RL-Selection: a policy chooses real points, rewarded by the protocol's probe on the reward half."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainables.latent.distill_config import DistillConfig
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.initialisation import choose_points
from trainables.latent.latents import LatentData
from trainables.latent.run import Run
from trainables.latent.selection.candidates import Candidates
from trainables.latent.selection.policies import POLICIES
from trainables.latent.selection.reward import Judged, SubsetReward
from trainables.seeds import generator


class SelectionRun(Run):
    """Learns a policy and keeps the best subset that it drew; a step is one update of the policy.

    The set is never worse on the reward half than the one it starts from, which
    :func:`~trainables.latent.initialisation.choose_points` makes.

    Args:
        config, data: see :class:`~trainables.latent.run.Run`.

    Raises:
        InputError: if a class has fewer training points than the budget.
    """

    def __init__(self, config: DistillConfig, data: LatentData) -> None:
        super().__init__(config, data)
        classes, budget = len(data.class_names), config.selection_budget
        # First: it says which classes are too small.
        self.subset = choose_points(
            config.sel_init, data.train_x, data.train_y, classes, budget, config.seed
        )  # (C * m,)
        self.start = self.subset
        self.reward = SubsetReward(data, budget, config.sel_loss_weight)
        self.candidates = Candidates(data, budget, config.seed)
        self.policy = POLICIES[config.sel_policy](
            self.candidates, len(self.subset), config.sel_lr, config.sel_entropy
        )
        self.start_accuracy = 0.0
        self._best: Judged | None = None
        self._features: tuple[Tensor, Tensor] | None = None

    @property
    def done(self) -> bool:
        return self.diverged or self.reward.evaluations >= self.config.sel_evaluations

    @property
    def claimed_accuracy(self) -> float | None:
        """Of the kept subset on the reward half, by the reward itself; ``None`` before the first."""
        return None if self._best is None else float(self._best.accuracy)

    def advance(self) -> dict[str, float]:
        goal = -(-self.config.sel_evaluations * (self.iteration + 1) // self.config.iterations)
        try:
            while self.reward.evaluations < goal:
                self._update(goal)
        except (FloatingPointError, torch.linalg.LinAlgError):
            self.diverged = True
        return {
            "loss": 0.0 if self.diverged or self._best is None else float(self._best.loss),
            "reward_evaluations": float(self.reward.evaluations),
            "reward_of_start": self.start_accuracy,
            **{f"policy_{name}": value for name, value in self.policy.told().items()},
        }

    def _update(self, goal: int) -> None:
        """Draw subsets, keep the best of them, and teach the policy what they were worth."""
        if self._best is None:
            self._best = self.reward.judge(self.start[None])
            self.start_accuracy = float(self._best.accuracy)
        best, moves = self._best, self.policy.MOVES
        around = self.subset if moves else self.start
        if self._features is None:
            self._features = self.candidates.features(around, best if moves else self._judge_start_again())
        n = min(self.config.sel_episodes, goal - self.reward.evaluations)
        if n == 0:
            return
        randomness = generator(self.config.seed, "selection", self.steps)
        proposals = self.policy.propose(around, *self._features, n, randomness)
        judged = self.reward.judge(proposals.subsets)
        self.policy.learn(proposals, judged.scores - best.scores)
        self.steps += 1
        which = int(judged.scores.argmax())
        better = float(judged.scores[which]) > float(best.scores)
        if better and float(judged.accuracy[which]) >= float(best.accuracy):
            self.subset, self._best = proposals.subsets[which], judged.only(which)
            if moves:
                self._features = None

    def _judge_start_again(self) -> Judged:
        """What was counted before; a run that moved on, or was restored, has it no more."""
        counted = self.reward.evaluations
        judged = self.reward.judge(self.start[None])
        self.reward.evaluations = counted
        return judged

    def distilled(self) -> DistilledSet:
        x = self.data.train_x[self.subset].clone()
        return DistilledSet(x, self.reward.y.clone(), indices=self.subset.clone())

    def own_state(self) -> dict[str, Any]:
        return {
            "subset": self.subset.clone(),
            "start": self.start.clone(),
            "policy": self.policy.state_dict(),
            "policy_parameters": self.policy.told(),
            # With the probe's weights: solved again in other company they would differ in their last bits.
            "best": None if self._best is None else self._best.state_dict(),
            "evaluations": self.reward.evaluations,
            "start_accuracy": self.start_accuracy,
        }

    def load_own_state(self, state: dict[str, Any]) -> None:
        if state["subset"].shape != self.subset.shape:
            raise ValueError(f"a subset of {len(state['subset'])} points")
        self.policy.load_state_dict(state["policy"])
        self.subset = state["subset"].to(self.subset.device)
        self.reward.evaluations = int(state["evaluations"])
        self.start_accuracy = float(state["start_accuracy"])
        self._best = None if state["best"] is None else Judged.of_state(state["best"])
        self._features = None
