"""Prototypes as the task: each block of steps moves many copies of a trained set by their own weights."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainables.latent.adam import Adam
from trainables.latent.distill_config import DistillConfig
from trainables.latent.full_probe import full_probe
from trainables.latent.latents import LatentData
from trainables.latent.probe import one_hot
from trainables.latent.selection.reward import SubsetReward
from trainables.latent.shaping.schedules import CENTRES
from trainables.latent.shaping.task import Outcome, ShapingTask
from trainables.latent.shaping.terms import LossTerms
from trainables.latent.shaping.tracked_probe import Tracked, TrackedProbe
from trainables.seeds import generator

# Training latents in one step's loss of the probe: episodes see the same ones, so their noise is shared.
PROBE_BATCH = 512
_CODEC_BATCH = 256
_TOGETHER = 32
_SMALL = 1e-6
_MOST_SEEN = 5.0


@dataclass
class PrototypeEpisodes:
    """E sets that learn side by side.

    Attributes:
        x: (E, C * m, d) float32.
        optimizer: of ``x``.
        tracked: their probes.
        decisions: blocks of steps so far.
    """

    x: Tensor
    optimizer: Adam
    tracked: Tracked
    decisions: int = 0


class PrototypeTask(ShapingTask[PrototypeEpisodes]):
    """From a trained set on, ``shape_decisions`` blocks of ``shape_steps`` steps of Adam.

    An observation holds the progress, each term's value and gradient relative to the start (logarithms), and
    what the tracked probe has on the reward half. The score is the accuracy on the reward half of the
    protocol's probe, trained on the decoded and re-encoded points (or on the points themselves), less a
    little of its loss on training latents. All of it is computed where the codec is: of many episodes side
    by side, a GPU plays ten times as many a minute.

    Args:
        start: (C * m, d) float32 trained prototypes.
        config: settings.
        data: latents; may lie on another device than their codec, as may ``start``.

    Attributes:
        reward: what scores sets; it counts them.
        start_accuracy, start_score: what it says of the start.
    """

    def __init__(self, start: Tensor, config: DistillConfig, data: LatentData) -> None:
        self._home = start.device
        if data.codec is not None:
            start, data = start.to(data.codec.device), _moved(data, data.codec.device)
        self._config, self._data, self._start_points = config, data, start
        classes = len(data.class_names)
        self.reward = SubsetReward(data, config.m_per_class, config.shape_loss_weight)
        self._targets = one_hot(self.reward.y, classes)
        self._losses = LossTerms(start, data, full_probe(data))
        self._probe = TrackedProbe(start, self._targets, config.inner_l2, data.train_x, data.train_y)
        self._codec = None if config.shape_reward == "probe_accuracy" else data.codec
        self.terms = ("probe", *self._losses.names)
        self.centre = torch.tensor([CENTRES[name] for name in self.terms], device=start.device)
        self.decisions = config.shape_decisions
        self.observed = 2 + 2 * len(self.terms)
        self._reference = self._measured(self.begin(1))[0]
        judged = self._judge(start[None])
        self.start_accuracy, self.start_score = float(judged.accuracies), float(judged.scores)

    def begin(self, n: int) -> PrototypeEpisodes:
        x = self._start_points.expand(n, -1, -1).clone()
        return PrototypeEpisodes(x, Adam([x]), self._probe.begin(n))

    def observe(self, episodes: PrototypeEpisodes) -> Tensor:
        progress = 2 * episodes.decisions / self.decisions - 1
        measured = self._measured(episodes) - self._reference
        # A block changes the terms by a few percent, or by orders of magnitude: both have to be seen. Of a
        # set that diverged there are no numbers, but whoever learns from its fellows needs some.
        seen = (torch.asinh(10 * measured) / 3).nan_to_num(_MOST_SEEN).clamp(-_MOST_SEEN, _MOST_SEEN)
        return torch.cat([seen.new_full((len(seen), 1), progress), seen], 1)

    def _measured(self, episodes: PrototypeEpisodes) -> Tensor:
        """(E, F - 1): logarithms of the terms and of their gradients' norms, and the reward half's loss."""
        losses = self._losses.values(episodes.x)
        batch = self._batch("observed", episodes.decisions)
        tracked = dataclasses.replace(episodes.tracked)  # looking on pulls nothing along
        pull = self._probe.gradient(episodes.x, tracked, *batch)
        losses.append(self._probe.losses(tracked, *batch))
        losses.append(self._probe.losses(tracked, self._data.reward_x, self._data.reward_y))
        pulls = [g.square().sum((1, 2)).sqrt() for g in (*self._losses.gradients(episodes.x), pull)]
        return (torch.stack([*losses, *pulls], 1) + _SMALL).log()

    def advance(self, episodes: PrototypeEpisodes, actions: Tensor) -> None:
        config, x, optimizer = self._config, episodes.x, episodes.optimizer
        first, *others = self.weights(actions).T[..., None, None]  # (E, 1, 1) each
        steps = config.shape_decisions * config.shape_steps
        for _ in range(config.shape_steps):
            progress = optimizer.steps / steps
            gradient = first * self._probe.gradient(
                x, episodes.tracked, *self._batch("step", optimizer.steps)
            )
            for weight, pull in zip(others, self._losses.gradients(x), strict=True):
                gradient.addcmul_(weight, pull)
            x.grad = gradient
            optimizer.step(config.shape_lr * 0.5 * (1 + math.cos(math.pi * progress)))
        episodes.decisions += 1

    def _batch(self, *purpose: str | int) -> tuple[Tensor, Tensor]:
        x, y = self._data.train_x, self._data.train_y
        randomness = generator(self._config.seed, "shaping", "batch", *purpose)
        rows = torch.randint(len(x), (PROBE_BATCH,), generator=randomness).to(x.device)
        return x[rows], y[rows]

    def judge(self, episodes: PrototypeEpisodes) -> Outcome:
        parts = [self._judge(some) for some in torch.split(episodes.x, _TOGETHER)]
        return Outcome(
            torch.cat([part.scores for part in parts]), torch.cat([part.accuracies for part in parts])
        )

    @torch.no_grad()
    def _judge(self, x: Tensor) -> Outcome:
        """Of sets (E, n, d)."""
        if self._codec is not None:
            flat = torch.split(x.flatten(0, 1), _CODEC_BATCH)
            x = torch.cat([self._codec.roundtrip(points) for points in flat]).view_as(x)
        finite = torch.isfinite(x).all(2).all(1)
        judged = self.reward.judge_points(torch.where(finite[:, None, None], x, 0.0), self._targets)
        return Outcome(
            torch.where(finite, judged.scores, -torch.inf), torch.where(finite, judged.accuracy, 0.0)
        )

    def resume_from(self, episodes: PrototypeEpisodes, rows: Tensor) -> None:
        episodes.x.copy_(episodes.x[rows].clone())
        optimizer, tracked = episodes.optimizer, episodes.tracked
        for moments in (optimizer.first, optimizer.second):
            moments[0] = moments[0][rows]
        episodes.tracked = Tracked(tracked.weights[rows], tracked.adjoint[rows])

    def made(self, episodes: PrototypeEpisodes, which: int) -> Tensor:
        """The points (C * m, d) of one episode, beside those that it started from."""
        return episodes.x[which].to(self._home, copy=True)


def _moved(data: LatentData, device: torch.device) -> LatentData:
    values = {field.name: getattr(data, field.name) for field in dataclasses.fields(data)}
    moved: dict[str, Any] = {
        name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)
    }
    return dataclasses.replace(data, **moved)
