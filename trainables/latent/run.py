"""One distillation, from initial points to scored prototypes, a block of steps at a time."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import Tensor

from trainables.errors import InputError
from trainables.latent.adam import Adam
from trainables.latent.config import DistillConfig
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.full_probe import full_probe
from trainables.latent.initialisation import initial_prototypes
from trainables.latent.latents import LatentData
from trainables.latent.probe import accuracy, one_hot
from trainables.latent.prototypes import build_objective
from trainables.latent.scores import chance_scores, fit_readings, per_class_accuracy, score_readings
from trainables.seeds import generator

# Probability of its own class that a learned soft label starts with.
INITIAL_CONFIDENCE = 0.9
# Prototypes that pass through decoder and encoder in one step: the cycle term is by far the dearest
# part of a step, and a random subset estimates it without bias.
CYCLE_BATCH = 16


class DistillationRun:
    """Learns prototypes by the configured method and scores them after every block of steps.

    A run is a pure function of its configuration and its data: each step draws from a generator of its
    own, derived from the seed and the step's number, so a run restored from :meth:`state_dict` goes on
    bit for bit as if it had not been interrupted.

    Args:
        config: see :class:`~trainables.latent.config.DistillConfig`.
        data: latents to learn from; everything is computed on the device they are on.

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
        self.config, self.data = config, data
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
        self.full_accuracy = accuracy(full_probe(data).predict(data.selection_x), data.selection_y)
        self.steps = 0
        self.iteration = 0
        self.diverged = False
        self.optimise_cpu_s = 0.0
        # The probe's accuracy by class in the last report (every class is in the selection half); empty
        # if diverged.
        self.per_class: list[float] = []

    @property
    def done(self) -> bool:
        """Whether all steps are made, or the run diverged."""
        return self.diverged or self.steps >= self.config.proto_steps_base

    def step(self) -> dict[str, float]:
        """One training iteration: a block of optimiser steps, then all scores.

        Returns:
            Finite floats: the scores of :func:`~trainables.latent.scores.score_readings` on the selection
            half, ``loss`` (mean over the block), ``steps``, ``diverged`` (0 or 1: then every accuracy is
            chance) and ``optimise_cpu_s``, CPU seconds of all steps so far, scoring not counted.
        """
        started = time.process_time()
        block = min(self.config.steps_per_iteration, self.config.proto_steps_base - self.steps)
        losses = []
        for _ in range(block):
            losses.append(self._optimise_once())
            if self.diverged:
                break
        self.optimise_cpu_s += time.process_time() - started
        self.iteration += 1
        scores = self._scores()
        return {
            **scores,
            "loss": 0.0 if self.diverged else sum(losses) / max(len(losses), 1),
            "steps": float(self.steps),
            "diverged": float(self.diverged),
            "optimise_cpu_s": self.optimise_cpu_s,
        }

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

    def _scores(self) -> dict[str, float]:
        distilled = self.distilled()
        if not self.diverged:
            try:
                readings = fit_readings(distilled, self.data)
                x, y = self.data.selection_x, self.data.selection_y
                self.per_class = per_class_accuracy(readings.probe.predict(x), y, len(self.data.class_names))
                return score_readings(readings, x, y, self.full_accuracy)
            except (FloatingPointError, torch.linalg.LinAlgError):
                self.diverged = True
        self.per_class = []
        return chance_scores(
            len(self.data.class_names),
            self.full_accuracy,
            distilled.size_bytes,
            has_decoder=self.data.codec is not None,
        )

    def distilled(self) -> DistilledSet:
        """The prototypes as they stand."""
        soft = self._targets().detach().clone() if self.config.labels == "soft" else None
        return DistilledSet(self.x.detach().clone(), self.y.clone(), soft)

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and plain containers alone: ``torch.load(weights_only=True)`` reads it."""
        return {
            "x": self.x.detach().clone(),
            "label_logits": self.label_logits.detach().clone(),
            "optimizer": self.optimizer.state_dict(),
            "objective": self.objective.state_dict(),
            "steps": self.steps,
            "iteration": self.iteration,
            "diverged": self.diverged,
            "optimise_cpu_s": self.optimise_cpu_s,
            "per_class": list(self.per_class),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict` of a run with the same configuration and data.

        Raises:
            InputError: if the state does not fit this run.
        """
        try:
            if state["x"].shape != self.x.shape or state["label_logits"].shape != self.label_logits.shape:
                raise ValueError(f"prototypes of shape {tuple(state['x'].shape)}")
            self.optimizer.load_state_dict(state["optimizer"])
            self.objective.load_state_dict(state["objective"])
            with torch.no_grad():
                self.x.copy_(state["x"])
                self.label_logits.copy_(state["label_logits"])
            self.steps, self.iteration = int(state["steps"]), int(state["iteration"])
            self.diverged, self.optimise_cpu_s = bool(state["diverged"]), float(state["optimise_cpu_s"])
            self.per_class = list(state["per_class"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"the checkpoint holds {error}",
                f"this run needs the state of {self.config.method} with {len(self.x)} prototypes",
                "resume with the configuration that wrote it",
            ) from error
