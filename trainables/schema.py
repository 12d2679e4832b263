"""Configuration as frozen dataclasses: one declaration gives checks, ``--help`` and the JSON snapshot.

A field is declared with :func:`option`, which carries its help text and its rule. The class calls
:func:`check_options` from ``__post_init__``, so a config that exists is valid.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from trainables.errors import InputError, nearest_name

Config = TypeVar("Config")

_BOUNDS: tuple[tuple[str, Callable[[Any, Any], bool], str], ...] = (
    ("at_least", operator.ge, "at least"),
    ("above", operator.gt, "greater than"),
    ("at_most", operator.le, "at most"),
)


def option(
    default: Any,
    help: str,  # the word argparse uses
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    choices: Sequence[str] | None = None,
    metavar: str | None = None,
) -> Any:
    """A dataclass field with its help text and its rule.

    Args:
        default: the value where none is given; ``None`` means "chosen for you", and ``help`` says how.
        help: one sentence for ``--help``, without the default (it is appended).
        at_least, above, at_most: bounds of a number (inclusive, exclusive, inclusive).
        choices: the names a string may take.
        metavar: what stands for the value in ``--help``.
    """
    rule = {"at_least": at_least, "above": above, "at_most": at_most, "choices": choices}
    return dataclasses.field(default=default, metadata={"help": help, "metavar": metavar, **rule})


def flag_name(field: str) -> str:
    """``m_per_class`` -> ``--m-per-class``: messages speak the command line's language."""
    return "--" + field.replace("_", "-")


def value_type(config: type, field: str) -> tuple[type, bool]:
    """The plain type of a field (``int``, ``float``, ``str`` or ``bool``) and whether it may be ``None``."""
    hint = _hints(config)[field]
    if isinstance(hint, types.UnionType):
        inner = [part for part in typing.get_args(hint) if part is not type(None)]
        return inner[0], True
    return hint, False


@functools.cache  # evaluating them takes as long as all else of a configuration's check
def _hints(config: type) -> dict[str, Any]:
    return typing.get_type_hints(config)


def check_options(config: Any) -> None:
    """Hold every field of a dataclass instance against its type and rule.

    Raises:
        InputError: naming the first field that breaks its rule.
    """
    for field in dataclasses.fields(config):
        kind, optional = value_type(type(config), field.name)
        value = getattr(config, field.name)
        if value is None and optional:
            continue
        check_value(flag_name(field.name), value, kind, field.metadata)


def check_value(name: str, value: Any, kind: type, rule: Mapping[str, Any]) -> None:
    """Hold one value against its type and the rule that :func:`option` recorded.

    Args:
        name: what messages call the value, for example ``--m-per-class``.
        rule: a field's metadata; keys that are missing or ``None`` allow everything.

    Raises:
        InputError: saying which part of the rule is broken.
    """
    accepted = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{name} is {value!r}", f"must be of type {kind.__name__}", "give such a value")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name} is {value}", "must be a finite number", "give one such as 0.1")
    choices = rule.get("choices")
    if choices is not None and value not in choices:
        raise InputError(f"{name} is '{value}'", "is not known", nearest_name(str(value), choices))
    for bound, holds, words in _BOUNDS:
        limit = rule.get(bound)
        if limit is not None and not holds(value, limit):
            raise InputError(f"{name} is {value}", f"must be {words} {limit}", "give a value in that range")


def from_flat(config: type[Config], flat: Mapping[str, Any]) -> Config:
    """Build ``config`` from those keys of ``flat`` that are its fields; others may stand there too."""
    names = {field.name for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    return config(**{key: value for key, value in flat.items() if key in names})


def refuse_repeated(flag: str, values: Sequence[Any]) -> None:
    """Refuse a list that names a value twice.

    Raises:
        InputError: naming the flag.
    """
    if len(set(values)) != len(values):
        raise InputError(
            f"{flag} is {' '.join(map(str, values))}", "must name each value once", "drop the repeated"
        )


def refuse_unknown(flat: Mapping[str, Any], configs: Sequence[type]) -> None:
    """Refuse keys that no config of ``configs`` has.

    Raises:
        InputError: with the nearest known name.
    """
    known = {field.name for config in configs for field in dataclasses.fields(config)}
    for key in flat:
        if key not in known:
            raise InputError(f"the setting '{key}'", "is not known", nearest_name(key, known))
