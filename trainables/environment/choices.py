"""What ``--help`` tells of settings; here so that it can do so without importing torch."""

from __future__ import annotations

from pathlib import Path

from trainables.errors import InputError, nearest_name

_FAMILIES = {
    "same": "the reference's own",
    "ortho1": "orthogonal, gain 1 in every layer",
    "xe": "Xavier, normal, gain sqrt 2, in the last layer 0.01",
    "random_size": "linear networks of 1 to 6 hidden layers",
    "random_hidden": "hidden layers 32 to 256 wide",
}
FAMILIES = tuple(_FAMILIES)
FAMILIES_TOLD = ", ".join(f"{name} ({meaning})" for name, meaning in _FAMILIES.items())
"""The same for whoever knows the names only."""
MODULE = "FILE.py:NAME"
"""How a family of networks of the user's own is named."""
LEVELS = {"none": 0, "l1": 1, "l2": 2, "l3": 3, "l4": 4}
"""How many of the convolutional network's layers belong to an encoder that is learned with the set; the
others are a learner's."""
STATES_FOR_VECTORS = 64
"""States of a set where actions are vectors and nobody says how many."""


def is_module(family: str) -> bool:
    """Whether a family is of the user's own (see :mod:`trainables.environment.own_modules`)."""
    return ".py:" in family


def check_family(family: str) -> None:
    """Hold the name of a family against those that are known.

    Raises:
        InputError: it is none of them, nor :data:`MODULE`.
    """
    if family not in FAMILIES and not is_module(family):
        raise InputError(
            f"--families names '{family}'",
            "it is not known",
            f"{nearest_name(family, FAMILIES)}; a network of your own is named as {MODULE}, without a '+', "
            "which joins families",
        )


def resolved_families(families: str) -> str:
    """Families joined by '+', those of the user's own by whole paths: workers are in other folders."""
    return "+".join(
        str(Path(family).expanduser().absolute()) if is_module(family) else family
        for family in families.split("+")
    )
