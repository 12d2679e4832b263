"""Learners of several architectures side by side, as one batch of K."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.environment.families import learners
from trainables.environment.inner_step import inner_step
from trainables.environment.learners import LOG_STD, Learner, Parameters
from trainables.environment.tasks import Task


@dataclass(frozen=True)
class Population:
    """K learners: ``counts[i]`` of architecture ``architectures[i]``, in this order.

    Wherever parameters are meant, there is one :data:`Parameters` for each architecture.
    """

    architectures: tuple[Learner, ...]
    counts: tuple[int, ...]

    @property
    def count(self) -> int:
        """K."""
        return sum(self.counts)

    def draw(self, generator: torch.Generator) -> list[Parameters]:
        """Fresh parameters."""
        return [
            architecture.draw(count, generator)
            for architecture, count in zip(self.architectures, self.counts, strict=True)
        ]

    def part(self, which: Tensor, content: Sequence[Parameters]) -> tuple[Population, list[Parameters]]:
        """Some learners alone, with their parameters.

        Args:
            which: their numbers, (k,) ascending.
            content: parameters of all K.
        """
        first = 0
        kept = []
        for architecture, count, own in zip(self.architectures, self.counts, content, strict=True):
            rows = which[(which >= first) & (which < first + count)] - first
            first += count
            if len(rows):
                kept.append((architecture, len(rows), {name: tensor[rows] for name, tensor in own.items()}))
        architectures, counts, parameters = zip(*kept, strict=True)
        return Population(architectures, counts), list(parameters)

    def step(
        self, initial: Sequence[Parameters], x: Tensor, y: Tensor, inner_lr: Tensor, **named: object
    ) -> list[Parameters]:
        """All learners after :func:`inner_step`, whose arguments these are."""
        return [
            inner_step(architecture, parameters, x, y, inner_lr, **named)  # type: ignore[arg-type]
            for architecture, parameters in zip(self.architectures, initial, strict=True)
        ]

    def outputs(self, parameters: Sequence[Parameters], features: Tensor) -> Tensor:
        """Logits or means, (K, n, *features) -> (K, n, actions)."""
        parts = [
            architecture(own, part)
            for architecture, own, part in zip(
                self.architectures, parameters, torch.split(features, list(self.counts)), strict=True
            )
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def log_std(self, parameters: Sequence[Parameters]) -> Tensor | None:
        """(K, actions) where actions are vectors."""
        if LOG_STD not in parameters[0]:
            return None
        return torch.cat([own[LOG_STD] for own in parameters])


def training_population(families: Sequence[str], task: Task, level: str, count: int) -> Population:
    """``count`` learners, as evenly of the families and of their architectures as the number allows.

    A family that is named several times has as many shares.
    """
    architectures: list[Learner] = []
    counts: list[int] = []
    named = 0
    for family, times in Counter(families).items():
        share = (count * (named + times)) // len(families) - (count * named) // len(families)
        named += times
        among = learners(family, task, level)
        half = len(among) // 2  # with fewer learners than architectures: not the last of them alone
        for j, architecture in enumerate(among):
            number = (share * (j + 1) + half) // len(among) - (share * j + half) // len(among)
            if number:
                architectures.append(architecture)
                counts.append(number)
    return Population(tuple(architectures), tuple(counts))
