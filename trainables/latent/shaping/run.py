"""RL-Shaping: prototypes are trained, and an actor-critic then schedules what they are trained by further."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import torch
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
"""Of what is kept for all steps of all episodes."""


class ShapingRun(Run):
    """Trains prototypes (the first iteration), then plays episodes from there and keeps the best of them.

    The set is never worse by the reward than the one that episodes start from. With ``shape_schedule`` there
    is one episode, and nothing is learned: a schedule that another run found is applied, and its set is kept
    whatever it is worth.

    Args:
        config, data: see :class:`~trainables.latent.run.Run`.

    Raises:
        InputError: as :class:`~trainables.latent.prototypes.run.PrototypeRun`; or the schedule cannot be read
            or does not fit.
    """

    def __init__(self, config: DistillConfig, data: LatentData) -> None:
        super().__init__(config, data)
        if config.shape_reward == "roundtrip_accuracy" and data.codec is None:
            raise InputError(
                f"--shape-reward is {config.shape_reward}",
                "these latents have no decoder to go round",
                "leave it out",
            )
        _check_memory(
            len(data.class_names), config.m_per_class, data.train_x.shape[1], data.codec is not None
        )
        self._base = PrototypeRun(dataclasses.replace(config, method=BASE_METHOD), data)
        self._given = (
            None
            if config.shape_schedule is None
            else read_schedule(Path(config.shape_schedule), config.shape_schedule_sha256)
        )
        self._task: PrototypeTask | None = None
        self._learner: ActorCritic | None = None
        self.points = self._base.x.detach()
        self.schedule: Schedule | None = None  # of the best episode, even where the start is better
        self.episodes = 0
        # Of the kept set: its score, and the accuracy on the reward half that is in it.
        self._best_score = self.best_accuracy = 0.0
        self._best_episode = -math.inf
        if self._given is not None:
            self._given.check(config, has_decoder=data.codec is not None)

    @property
    def done(self) -> bool:
        return self.diverged or self.episodes >= self._wanted

    @property
    def _wanted(self) -> int:
        return self.config.shape_episodes if self._given is None else 1

    def advance(self) -> dict[str, float]:
        loss = 0.0
        try:
            if self._base.done:
                loss = self._play_on()
            else:
                self.train_start()
                if not self.diverged:
                    task = self.open_task()
                    self._policy_of(task)
                    loss = 1 - task.start_score
        except (FloatingPointError, torch.linalg.LinAlgError):
            self.diverged = True
        return self._told(loss)

    def _play_on(self) -> float:
        """The next batches of episodes; returns what they lack to a perfect score, on average."""
        task = self.open_task()
        learner = self._policy_of(task)
        updates, blocks = self.config.shape_updates, self.config.iterations - 1
        goal = -(-updates * self.iteration // blocks) * self.config.shape_batch
        worth: list[float] = []
        while self.episodes < min(goal, self._wanted):
            n = min(self.config.shape_batch, self._wanted - self.episodes)
            if self._given is not None:
                rollout = task.play(task.actions(self._given.on(task.terms, task.centre))[None])
            else:
                rollout, observations = learner.play(n, generator(self.config.seed, "shaping", self.episodes))
                learner.learn(rollout, observations)
            self._keep_best(task, rollout)
            self.episodes += n
            worth += rollout.outcome.scores[torch.isfinite(rollout.outcome.scores)].tolist()
        return 1 - sum(worth) / max(len(worth), 1)

    def train_start(self) -> None:
        """Train the prototypes that episodes start from."""
        while not self._base.done:
            self._base.advance()
        self.diverged = self._base.diverged
        self.points = self._base.x.detach().clone()
        self.steps = self._base.steps

    def share_start(self, other: ShapingRun) -> None:
        """Begin as another run did, by its prototypes and its task, which both then hold and neither changes.

        Args:
            other: a run that has trained its start, of the same settings but for how its policy learns.

        Raises:
            ValueError: its settings are others.
        """
        if _settings_of_start(self.config) != _settings_of_start(other.config) or self.data is not other.data:
            raise ValueError("a start can be shared by runs of the same settings alone")
        self._base, self._task = other._base, other._task
        self.diverged, self.steps = self._base.diverged, self._base.steps
        self.points = self._base.x.detach().clone()
        if self._task is not None:
            self._hold_start(self._task)

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
            weights = task.weights(rollout.actions[which]).tolist()
            self.schedule = Schedule(task.terms, weights, self.config.shape_steps)
        # A schedule that was asked for is applied, whatever it is worth here.
        if score > self._best_score or (self._given is not None and math.isfinite(score)):
            self._best_score = score
            self.best_accuracy = float(rollout.outcome.accuracies[which])
            self.points = task.made(rollout.episodes, which)

    def open_task(self) -> PrototypeTask:
        """The task from the trained prototypes on, made where it is first needed: it costs seconds.

        Raises:
            FloatingPointError, torch.linalg.LinAlgError: no probe can be trained on these prototypes.
        """
        if self._task is None:
            self._task = PrototypeTask(self._base.x.detach(), self.config, self.data)
            if self.episodes == 0:
                self._hold_start(self._task)
        return self._task

    def _hold_start(self, task: PrototypeTask) -> None:
        self._best_score, self.best_accuracy = task.start_score, task.start_accuracy

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


def _settings_of_start(config: DistillConfig) -> DistillConfig:
    """Settings that leave out how a policy learns: the rest determines the start and the task."""
    return dataclasses.replace(config, proto_rl_lr=0.0, shape_entropy=0.0)


def _check_memory(classes: int, m: int, d: int, has_decoder: bool) -> None:
    """Jacobians of the round trip take a square of the dimensions for each point, the probe for each class.

    Raises:
        InputError: that is too much.
    """
    needed = 4 * d * d * (classes * m * has_decoder + 3 * classes)
    if needed > MOST_BYTES:
        raise InputError(
            f"there are {classes * m:,} prototypes of {d:,} dimensions",
            f"rl_shaping may keep {MOST_BYTES / 1e9:.0f} GB, and would keep {needed / 1e9:.0f} for them",
            "give a smaller --m-per-class, or fewer dimensions",
        )
