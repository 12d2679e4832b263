"""A search space in words: its parameters, their ranges, and when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from search_spaces.space import Context, Space

_LOG = ", logarithmic"


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes:
        name: what the space calls it.
        range: its values in words ("0.01 to 0.3, logarithmic").
        condition: the choices under which it is asked for ("method = implicit"), empty where always.
    """

    name: str
    range: str
    condition: str


@dataclass
class _Explorer:
    """A trial that follows given choices and takes the first one where none is given."""

    choices: dict[str, Any]
    asked: dict[str, str] = field(default_factory=dict)
    open_choices: dict[str, Sequence[Any]] = field(default_factory=dict)
    taken: dict[str, Any] = field(default_factory=dict)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.asked[name] = f"{low:g} to {high:g}" + _LOG * log
        return low

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self.asked[name] = f"{low} to {high}" + (f" by {step}" if step > 1 else "") + _LOG * log
        return low

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.asked[name] = ", ".join(map(str, choices))
        self.open_choices[name] = choices
        self.taken[name] = self.choices.get(name, choices[0])
        return self.taken[name]


def outline(space: Space[Context], context: Context) -> list[Parameter]:
    """Every parameter of a space, found by following each of its choices once."""
    seen: dict[str, tuple[str, list[dict[str, Any]]]] = {}
    waiting: list[dict[str, Any]] = [{}]
    followed: list[dict[str, Any]] = []
    while waiting:
        explorer = _Explorer(waiting.pop(0))
        space.suggest(explorer, context)
        if explorer.taken in followed:
            continue
        followed.append(explorer.taken)
        for name, words in explorer.asked.items():
            seen.setdefault(name, (words, []))[1].append(explorer.taken)
        for name, choices in explorer.open_choices.items():
            waiting += [
                {**explorer.taken, name: choice} for choice in choices if choice != explorer.taken[name]
            ]
    return [
        Parameter(name, words, _condition(name, paths, followed)) for name, (words, paths) in seen.items()
    ]


def _condition(name: str, paths: list[dict[str, Any]], everywhere: list[dict[str, Any]]) -> str:
    """The choices that all paths to a parameter share and that not every path holds."""
    if len(paths) == len(everywhere):
        return ""
    shared = {key: value for key, value in paths[0].items() if key != name}
    for path in paths[1:]:
        shared = {key: value for key, value in shared.items() if path.get(key) == value}
    return ", ".join(f"{key} = {value}" for key, value in shared.items())
