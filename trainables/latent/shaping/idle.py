"""Settings that say nothing beside a schedule that is given."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from trainables.errors import InputError
from trainables.schema import flag_name

_OF_LEARNING = ("proto_rl_lr", "proto_rl_lrs", "shape_episodes", "shape_entropy")


def refuse_idle(given: Mapping[str, Any], methods: Collection[str]) -> None:
    """Refuse a schedule that no method applies, and what a schedule that is applied leaves nobody to read.

    Args:
        given: settings that somebody gave, ``shape_schedule`` among them.
        methods: that are run.

    Raises:
        InputError: naming the flag.
    """
    if "rl_shaping" not in methods:
        raise InputError(
            f"--shape-schedule is {given['shape_schedule']} with {', '.join(methods)}",
            "rl_shaping alone applies it",
            "add that method, or leave it out",
        )
    for name in _OF_LEARNING:
        if name in given:
            value = given[name]
            words = " ".join(map(str, value)) if isinstance(value, tuple | list) else value
            raise InputError(
                f"{flag_name(name)} is {words} with --shape-schedule",
                "a schedule that is given is applied once, and nothing is learned",
                "leave one of them out",
            )
