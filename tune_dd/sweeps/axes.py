"""A score as one of two that are weighed against each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Axis:
    """One of the scores.

    Attributes:
        metric: its name.
        higher: whether more of it is better.
        logarithmic: whether its ratios count, not its differences.
    """

    metric: str
    higher: bool = True
    logarithmic: bool = False

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """In Optuna's word."""
        return "maximize" if self.higher else "minimize"

    def scaled(self, value: float) -> float:
        """What differences are taken of."""
        return math.log(value) if self.logarithmic else value

    def worth(self, value: float) -> float:
        """More is better."""
        return value if self.higher else -value

    def share(self, value: float, reference: float, ideal: float) -> float:
        """How far it is on the way from ``reference`` (0, and below it) to ``ideal`` (1, and beyond it)."""
        way = self.scaled(ideal) - self.scaled(reference)
        return min(max((self.scaled(value) - self.scaled(reference)) / way, 0.0), 1.0)
