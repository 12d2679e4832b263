"""What a search space is: a define-by-run function, its known good points, and what it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar


class Suggests(Protocol):
    """The part of an Optuna trial that a space asks."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


@dataclass(frozen=True)
class SpaceContext:
    """What a space is told about the cell it proposes for.

    Attributes:
        objective: the score that is maximised.
        fixed: settings that were given by hand; the space must not propose others.
    """

    objective: str = ""
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """Which cells are meant, in words, where a space is another one for others; else empty."""
        return ""


Context = TypeVar("Context", bound=SpaceContext, contravariant=True)


@dataclass(frozen=True)
class Space(Generic[Context]):
    """A search space.

    Attributes:
        name: what ``--space`` calls it.
        suggest: asks a trial for parameters and returns the settings that follow, a flat dict.
        good_points: parameters (by the names that ``suggest`` asks for) that are known to do well.
    """

    name: str
    suggest: Callable[[Suggests, Context], dict[str, Any]]
    good_points: Callable[[Context], list[dict[str, Any]]]
