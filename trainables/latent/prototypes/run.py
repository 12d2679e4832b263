"""Learning prototypes by gradient descent on a method's loss."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from trainables.errors import InputError
from trainables.latent.adam import Adam
from trainables.latent.distill_config import DistillConfig
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.initialisation import initial_prototypes
from trainables.latent.latents import LatentData
from trainables.latent.probe import one_hot
from trainables.latent.prototypes import build_objective
from trainables.latent.run import Run
from trainables.seeds import generator

# Probability of its own class that a learned soft label starts with.
INITIAL_CONFIDENCE = 0.9
# Prototypes that pass through decoder and encoder in one step: the cycle term is by far the dearest
# part of a step, and a random subset estimates it without bias.
CYCLE_BATCH = 16


class PrototypeRun(Run):
    """Learns prototypes by the configured method; a step is one of Adam's.

    Args:
        config, data: see :class:`~trainables.latent.run.Run`.

    Raises:
        InputError: if a class has fewer training points than prototypes are asked for, or a round trip
            is asked for where there is no decoder.
    """

    def __init__(self, config: DistillConfig, data: LatentData) -> None:
        if config.roundtrip_weight > 0 and data.codec is None:
            raise InputError(
                f"--roundtrip-weight is {config.roundtrip_weight}",
                "these latents have no decoder to go round",
                "set it to 0",
            )
        super().__init__(config, data)
        classes = len(data.class_names)
        x = initial_prototypes(
            config.init, data.train_x, data.train_y, classes, config.m_per_class, config.seed
        )
        self.y = torch.arange(classes, device=x.device).repeat_interleave(config.m_per_class)
        self.x = x.float().requires_grad_()  # (C * m, d)
        # Learned labels are logits; the others' share of the initial confidence is spread evenly.
        others = (1 - INITIAL_CONFIDENCE) / (classes - 1)
        margin = math.log(INITIAL_CONFIDENCE / others)
        self.label_logits = (margin * one_hot(self.y, classes).float()).requires_grad_(
            config.labels == "soft"
        )
        learned = [self.x, self.label_logits] if config.labels == "soft" else [self.x]
        self.optimizer = Adam(learned)
        self.objective = build_objective(config)

    @property
    def done(self) -> bool:
        return self.diverged or self.steps >= self.config.proto_steps_base

    def advance(self) -> dict[str, float]:
        block = min(self.config.steps_per_iteration, self.config.proto_steps_base - self.steps)
        losses = []
        for _ in range(block):
            losses.append(self._optimise_once())
            if self.diverged:
                break
        return {"loss": 0.0 if self.diverged else sum(losses) / max(len(losses), 1)}

    def _optimise_once(self) -> float:
        """One step of Adam; returns the loss, and notes divergence instead of raising."""
        randomness = generator(self.config.seed, "step", self.steps)
        progress = self.steps / self.config.proto_steps_base
        rate = self.config.lr * 0.5 * (1 + math.cos(math.pi * progress))
        self.optimizer.zero_grad()
        try:
            loss = self._loss(randomness)
        except (FloatingPointError, torch.linalg.LinAlgError):
            self.diverged = True
            return math.nan
        if not torch.isfinite(loss):
            self.diverged = True
            return math.nan
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step(rate)
        self.steps += 1
        self.diverged = not bool(torch.isfinite(self.x).all() and torch.isfinite(self.label_logits).all())
        return float(loss.detach())

    def _loss(self, randomness: torch.Generator) -> Tensor:
        train_x, train_y = self.data.train_x, self.data.train_y
        if len(train_x) > self.config.batch_size:
            rows = torch.randint(len(train_x), (self.config.batch_size,), generator=randomness)
            rows = rows.to(train_x.device)
            train_x, train_y = train_x[rows], train_y[rows]
        loss = self.objective(self.x, self._targets(), train_x, train_y, randomness)
        if self.config.roundtrip_weight > 0:
            loss = loss + self.config.roundtrip_weight * self._cycle_loss(randomness)
        return loss

    def _cycle_loss(self, randomness: torch.Generator) -> Tensor:
        """Mean squared error of decoding and re-encoding, per latent dimension."""
        assert self.data.codec is not None
        points = self.x
        if len(points) > CYCLE_BATCH:
            points = points[torch.randperm(len(points), generator=randomness)[:CYCLE_BATCH].to(points.device)]
        return (self.data.codec.roundtrip(points) - points).square().mean()

    def _targets(self) -> Tensor:
        if self.config.labels == "soft":
            return self.label_logits.softmax(1)
        return one_hot(self.y, self.label_logits.shape[1]).float()

    def distilled(self) -> DistilledSet:
        soft = self._targets().detach().clone() if self.config.labels == "soft" else None
        return DistilledSet(self.x.detach().clone(), self.y.clone(), soft)

    def own_state(self) -> dict[str, Any]:
        return {
            "x": self.x.detach().clone(),
            "label_logits": self.label_logits.detach().clone(),
            "optimizer": self.optimizer.state_dict(),
            "objective": self.objective.state_dict(),
        }

    def load_own_state(self, state: dict[str, Any]) -> None:
        if state["x"].shape != self.x.shape or state["label_logits"].shape != self.label_logits.shape:
            raise ValueError(f"prototypes of shape {tuple(state['x'].shape)}")
        self.optimizer.load_state_dict(state["optimizer"])
        self.objective.load_state_dict(state["objective"])
        with torch.no_grad():
            self.x.copy_(state["x"])
            self.label_logits.copy_(state["label_logits"])
