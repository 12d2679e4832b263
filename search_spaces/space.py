"""What a search space is: a define-by-run function, its known good points, and what it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


class Suggests(Protocol):
    """The part of an Optuna trial that a space asks."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


@dataclass(frozen=True)
class SpaceContext:
    """What a space is told about the cell it proposes for.

    Attributes:
        methods: the methods among which it may choose.
        has_decoder: whether latents can be decoded, so that there is a round trip.
        objective: the score that is maximised.
        fixed: settings that were given by hand; the space must not propose others.
    """

    methods: tuple[str, ...]
    has_decoder: bool = True
    objective: str = "probe_accuracy"
    fixed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Space:
    """A search space.

    Attributes:
        name: what ``--space`` calls it.
        suggest: asks a trial for parameters and returns the settings that follow, a flat dict.
        good_points: parameters (by the names that ``suggest`` asks for) that are known to do well, at
            least one for each method.
    """

    name: str
    suggest: Callable[[Suggests, SpaceContext], dict[str, Any]]
    good_points: Callable[[SpaceContext], list[dict[str, Any]]]
