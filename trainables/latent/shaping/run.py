"""RL-Shaping: prototypes are trained, and an actor-critic then schedules what they are trained by further."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from torch import Tensor

from trainables.errors import InputError
from trainables.latent.distill_config import DistillConfig
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.latents import LatentData
from trainables.latent.prototypes.run import PrototypeRun
from trainables.latent.run import Run
from trainables.latent.shaping.actor_critic import ActorCritic
from trainables.latent.shaping.prototype_task import PrototypeTask
from trainables.latent.shaping.schedules import Schedule, read_schedule
from trainables.latent.shaping.task import Rollout
from trainables.seeds import generator

BASE_METHOD = "implicit"
"""What prototypes are trained by first: per CPU second the best of the methods that learn them."""
MOST_BYTES = 4e9
"""Of Jacobians: twice as much is in memory for a moment."""


class ShapingRun(Run):
    """Trains prototypes (the first iteration), then plays episodes from there and keeps the best of them.

    The set is never worse by the reward than the one that episodes start from. With ``shape_schedule`` there
    is one episode, and nothing is learned: a schedule that another run learned is applied.

    Args:
        config, data: see :class:`~trainables.latent.run.Run`.

    Raises:
        InputError: as :class:`~trainables.latent.prototypes.run.PrototypeRun`; or the schedule cannot be read
            or does not fit.
    """

    def __init__(self, config: DistillConfig, data: LatentData) -> None:
        super().__init__(config, data)
        self._base = PrototypeRun(dataclasses.replace(config, method=BASE_METHOD), data)
        self._given = None if config.shape_schedule is None else read_schedule(Path(config.shape_schedule))
        self._task: PrototypeTask | None = None
        self._learner: ActorCritic | None = None
        self.points = self._base.x.detach()
        self.schedule: Schedule | None = None  # of the best episode, even where the start is better
        self.episodes = 0
        # Of the kept set: its score, and the accuracy on the reward half that is in it.
        self._best_score = self.best_accuracy = self._mean_score = 0.0
        self._best_episode = -math.inf
        if self._given is not None:
            self._given.check(config, data)

    @property
    def done(self) -> bool:
        return self.diverged or self.episodes >= self._wanted

    @property
    def _wanted(self) -> int:
        return self.config.shape_episodes if self._given is None else 1

    def advance(self) -> dict[str, float]:
        if not self._base.done:
            loss = self.train_start()
            if not self.diverged:
                self._policy_of(self.open_task())
            return self._told(loss)
        task = self.open_task()
        learner = self._policy_of(task)
        updates, blocks = self.config.shape_updates, self.config.iterations - 1
        goal = -(-updates * self.iteration // blocks) * self.config.shape_batch
        worth = []
        while self.episodes < min(goal, self._wanted):
            n = min(self.config.shape_batch, self._wanted - self.episodes)
            if self._given is not None:
                rollout = task.play(task.actions(self._given.on(task.terms, self.points))[None])
            else:
                rollout, observations = learner.play(n, generator(self.config.seed, "shaping", self.episodes))
                learner.learn(rollout, observations)
            self._keep_best(task, rollout)
            self.episodes += n
            worth.append(float(rollout.outcome.scores.mean()))
        self._mean_score = sum(worth) / max(len(worth), 1)
        return self._told(1 - self._mean_score)

    def train_start(self) -> float:
        """Train the prototypes that episodes start from; returns the last loss."""
        losses = []
        while not self._base.done:
            losses.append(self._base.advance()["loss"])
        self.diverged = self._base.diverged
        self.points = self._base.x.detach().clone()
        self.steps = self._base.steps
        return losses[-1]

    def _told(self, loss: float) -> dict[str, float]:
        return {
            "loss": 0.0 if self.diverged else loss,
            "episodes": float(self.episodes),
            "reward_of_start": 0.0 if self._task is None else self._task.start_accuracy,
            "reward_of_best": self.best_accuracy,
            **({} if self._learner is None else self._learner.told()),
        }

    def _keep_best(self, task: PrototypeTask, rollout: Rollout[Any]) -> None:
        which = int(rollout.outcome.scores.argmax())
        score = float(rollout.outcome.scores[which])
        self.steps += self.config.shape_decisions * self.config.shape_steps
        if score > self._best_episode:
            self._best_episode = score
            self.schedule = Schedule(task.terms, task.weights(rollout.actions[which]).tolist())
        # A schedule that was asked for is applied, whatever it is worth here.
        if score > self._best_score or self._given is not None:
            self._best_score = score
            self.best_accuracy = float(rollout.outcome.accuracies[which])
            self.points = task.made(rollout.episodes, which)

    def open_task(self) -> PrototypeTask:
        """The task from the trained prototypes on, made where it is first needed: it costs seconds.

        Raises:
            InputError: it would not fit into memory.
        """
        if self._task is None:
            _check_memory(self.points)
            self._task = PrototypeTask(self._base.x.detach(), self.config, self.data)
            if self.episodes == 0:
                self._best_score, self.best_accuracy = self._task.start_score, self._task.start_accuracy
        return self._task

    def _policy_of(self, task: PrototypeTask) -> ActorCritic:
        if self._learner is None:
            config = self.config
            self._learner = ActorCritic(task, config.proto_rl_lr, config.shape_entropy, config.seed)
        return self._learner

    def distilled(self) -> DistilledSet:
        return DistilledSet(self.points.clone(), self._base.y.clone())

    def own_state(self) -> dict[str, Any]:
        return {
            "base": self._base.state_dict(),
            "points": self.points.clone(),
            "start": self._base.x.detach().clone(),
            "schedule": None if self.schedule is None else dataclasses.asdict(self.schedule),
            "policy": None if self._learner is None else self._learner.state_dict(),
            "episodes": self.episodes,
            "best": [self._best_score, self.best_accuracy, self._best_episode],
        }

    def load_own_state(self, state: dict[str, Any]) -> None:
        self._base.load_state_dict(state["base"])
        points: Tensor = state["points"]
        if points.shape != self.points.shape:
            raise ValueError(f"prototypes of shape {tuple(points.shape)}")
        self.points = points.to(self.points.device)
        self.schedule = None if state["schedule"] is None else Schedule(**state["schedule"])
        self.episodes = int(state["episodes"])
        self._best_score, self.best_accuracy, self._best_episode = state["best"]
        self._task, self._learner = None, None
        if state["policy"] is not None and self._base.done and not self._base.diverged:
            self._policy_of(self.open_task()).load_state_dict(state["policy"])
            self._best_score, self.best_accuracy, self._best_episode = state["best"]


def _check_memory(points: Tensor) -> None:
    """Jacobians of the round trip take a square of the dimensions for every point.

    Raises:
        InputError: that is too much.
    """
    n, d = points.shape
    needed = 4 * n * d * d
    if needed > MOST_BYTES:
        raise InputError(
            f"--m-per-class and --latent-dim give {n:,} points of {d} dimensions",
            f"rl_shaping would need {needed / 1e9:.0f} GB for what decoding does to each of them",
            "give fewer points, or a smaller latent",
        )
