"""The one error for input that cannot be used."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Input that cannot be used: told in one line as value, rule and remedy.

    The command line prints ``str(error)`` and exits with code 2; library users catch it as a
    ``ValueError``. The three parts travel as ``args``, so the error survives pickling between
    Ray processes.

    Args:
        value: what was given, and where ("--m-per-class is 0").
        rule: what it must be ("must be at least 1").
        remedy: what to do about it ("say how many prototypes each class gets").
    """

    def __init__(self, value: str, rule: str, remedy: str) -> None:
        super().__init__(value, rule, remedy)
        self.value, self.rule, self.remedy = value, rule, remedy

    def __str__(self) -> str:
        # Messages from libraries come in here as values and may hold line breaks.
        told = " ".join(f"{self.value}, but {self.rule}: {self.remedy}".split())
        return told if told.endswith("?") else f"{told}."


def nearest_name(name: str, known: Iterable[str]) -> str:
    """A remedy for a misspelt name: the closest known one, or all of them.

    Returns:
        For example ``did you mean 'digits'?`` or ``choose one of 'a', 'b'``.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'? Known are {', '.join(names)}"
    return f"choose one of {', '.join(names)}"
