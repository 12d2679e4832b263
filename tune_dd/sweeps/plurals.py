"""Numbers of things in words."""

from __future__ import annotations


def counted(number: float, one: str) -> str:
    """``1 trial``, ``2 trials``, ``0.5 GPUs``; ``one`` is what a single one is called."""
    shown = number if isinstance(number, int) else f"{number:g}"
    return f"{shown} {one}{'s' * (number != 1)}"
