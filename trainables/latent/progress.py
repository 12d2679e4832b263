"""Progress lines that fit a terminal and a log file."""

from __future__ import annotations

import time

_FIRST_S, _LONGEST_S = 2.0, 20.0


class Progress:
    """Says when a line is due, and how long is left.

    Lines come every two seconds at first and every twenty later: a run of ten seconds prints five, one
    of ten minutes about forty.

    Args:
        total: units of work in all.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._start = self._last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time for the next line; asking and getting ``True`` starts the next wait."""
        now = time.monotonic()
        wait_s = min(max(_FIRST_S, (now - self._start) / 5), _LONGEST_S)
        if now - self._last < wait_s:
            return False
        self._last = now
        return True

    def left(self, done: int) -> str:
        """``"40 s left"``, as far as ``done`` units (at least one) tell."""
        seconds = (time.monotonic() - self._start) / done * (self.total - done)
        return f"{seconds:.0f} s left" if seconds < 600 else f"{seconds / 60:.0f} min left"
