"""What looking at a cluster finds: things that are as they must be, and things to mend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trainables.errors import InputError


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: it is, where nothing is to be mended.
        complaint: what is wrong, the rule and the remedy.
    """

    what: str
    complaint: InputError | None = None

    def __str__(self) -> str:
        return f"ok    {self.what}" if self.complaint is None else f"mend  {self.complaint}"


def looked(what: str, look: Callable[[], object]) -> Iterator[Finding]:
    """What comes of a look that raises an InputError where something is wrong."""
    try:
        look()
    except InputError as complaint:
        yield Finding(what, complaint)
    else:
        yield Finding(what)
