"""One distillation, from its start to its scored set, a training iteration at a time."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any

import torch

from trainables.errors import InputError
from trainables.latent.distill_config import DistillConfig
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.full_probe import full_probe
from trainables.latent.image_scorer import ImageScorer
from trainables.latent.latents import LatentData
from trainables.latent.probe import accuracy
from trainables.latent.scores import chance_scores, fit_readings, per_class_accuracy, score_readings


class Run(ABC):
    """Makes a distilled set by one method, and scores it after every iteration.

    A run is a pure function of its configuration and its data: each step draws from a generator of its
    own, derived from the seed and the step's number, so a run restored from :meth:`state_dict` goes on
    bit for bit as if it had not been interrupted.

    Args:
        config: see :class:`~trainables.latent.config.DistillConfig`.
        data: latents to learn from; everything is computed on the device they are on.

    Attributes:
        images: scores the set's images, too, where it is given; it changes nothing else.
    """

    def __init__(self, config: DistillConfig, data: LatentData) -> None:
        self.config, self.data = config, data
        self.images: ImageScorer | None = None
        self.full_accuracy = accuracy(full_probe(data).predict(data.selection_x), data.selection_y)
        self.steps = 0
        self.iteration = 0
        self.diverged = False
        self.optimise_cpu_s = 0.0
        # The probe's accuracy by class in the last report (every class is in the selection half); empty
        # if diverged.
        self.per_class: list[float] = []

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether the run has come to its end, or diverged."""

    @abstractmethod
    def advance(self) -> dict[str, float]:
        """One block of steps; finite floats, ``loss`` among them. Divergence is noted, not raised."""

    @abstractmethod
    def distilled(self) -> DistilledSet:
        """The set as it stands."""

    @abstractmethod
    def own_state(self) -> dict[str, Any]:
        """What the method needs to go on, as copies."""

    @abstractmethod
    def load_own_state(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`own_state`.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: if the state does not fit.
        """

    def step(self) -> dict[str, float]:
        """One training iteration: a block of steps, then all scores.

        Returns:
            Finite floats: the scores of :func:`~trainables.latent.scores.score_readings` on the selection
            half, those of :attr:`images`, ``loss`` (mean over the block), ``steps``, ``diverged`` (0 or 1:
            then every accuracy is chance), ``optimise_cpu_s``, CPU seconds of all steps so far, scoring not
            counted, and what the method adds.
        """
        started = time.process_time()
        block = self.advance()
        self.optimise_cpu_s += time.process_time() - started
        self.iteration += 1
        scores = self._scores()
        return {
            **scores,
            **block,
            "steps": float(self.steps),
            "diverged": float(self.diverged),
            "optimise_cpu_s": self.optimise_cpu_s,
        }

    def _scores(self) -> dict[str, float]:
        distilled = self.distilled()
        if not self.diverged:
            try:
                readings = fit_readings(distilled, self.data)
                x, y = self.data.selection_x, self.data.selection_y
                self.per_class = per_class_accuracy(readings.probe.predict(x), y, len(self.data.class_names))
                scores = score_readings(readings, x, y, self.full_accuracy)
                return scores | (self.images.score(distilled, self.config.seed) if self.images else {})
            except (FloatingPointError, torch.linalg.LinAlgError):
                self.diverged = True
        self.per_class = []
        return chance_scores(
            len(self.data.class_names),
            self.full_accuracy,
            distilled.size_bytes,
            has_decoder=self.data.codec is not None,
        ) | (self.images.chance() if self.images else {})

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and plain containers alone: ``torch.load(weights_only=True)`` reads it."""
        return {
            **self.own_state(),
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
            self.load_own_state(state)
            self.steps, self.iteration = int(state["steps"]), int(state["iteration"])
            self.diverged, self.optimise_cpu_s = bool(state["diverged"]), float(state["optimise_cpu_s"])
            self.per_class = list(state["per_class"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"the checkpoint holds {error}",
                f"this run needs the state of {self.config.method} with {len(self.distilled().x)} points",
                "resume with the configuration that wrote it",
            ) from error
