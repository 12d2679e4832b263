"""Who runs a sweep whose results lie in a bucket, where no file can be locked: one machine at a time."""

from __future__ import annotations

import json
import os
import platform
import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from trainables.buckets import Bucket
from trainables.errors import InputError

RUNNING_FILE = ".running.json"
RENEWED_S = 10.0
STALE_S = 45.0
"""A machine that was not heard of for so long runs the sweep no more."""
_LOOKS_S = 2.0


class Lease:
    """The right to run a sweep, as an object in its bucket that is written again and again.

    Ages are told by the store's clock alone.

    Args:
        bucket: the sweep's prefix.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._owner = {"host": platform.node(), "pid": os.getpid(), "token": secrets.token_hex(8)}
        self._renewed = 0.0

    def take(self, say: Callable[[str], None]) -> None:
        """Wait until nobody else has it, which a machine that died has for a while; then it is taken.

        Raises:
            InputError: somebody else renews it.
        """
        found = self._found()
        if found is not None and not self._died_here(found):
            say(f"waiting up to {STALE_S:.0f} s, to see whether {found['host']} still runs this sweep")
            first = self._bucket.made(RUNNING_FILE)
            while (age := self._age()) is not None and age < STALE_S:
                if self._bucket.made(RUNNING_FILE) != first:
                    raise InputError(
                        f"the sweep in {self._bucket.uri} is running on {found['host']}",
                        "one machine at a time runs a sweep",
                        "wait for it, or stop it first",
                    )
                time.sleep(_LOOKS_S)
        self._write()

    def renew(self) -> None:
        """Say that this machine is there, where that is due.

        Raises:
            InputError: another machine has taken the sweep over, or the bucket cannot be used.
        """
        if time.monotonic() - self._renewed < RENEWED_S:
            return
        found = self._found()
        if found is not None and found["token"] != self._owner["token"]:
            raise TakenOver(
                f"the sweep in {self._bucket.uri} was taken over by {found['host']}",
                "one machine at a time runs a sweep, and this one was not heard of",
                "let that one go on",
            )
        self._write()

    def give_back(self) -> None:
        """Nobody has to wait for it any more."""
        found = self._found()
        if found is not None and found["token"] == self._owner["token"]:
            self._bucket.remove(RUNNING_FILE)

    def _write(self) -> None:
        self._bucket.write(RUNNING_FILE, json.dumps(self._owner).encode())
        self._renewed = time.monotonic()

    def _found(self) -> dict[str, Any] | None:
        content = self._bucket.read(RUNNING_FILE)
        found: dict[str, Any] | None = None if content is None else json.loads(content)
        return found

    def _died_here(self, found: dict[str, Any]) -> bool:
        """Whether it was a process of this machine, which is gone."""
        if found["host"] != self._owner["host"]:
            return False
        try:
            os.kill(found["pid"], 0)
        except ProcessLookupError:
            return True
        return False

    def _age(self) -> float | None:
        """Seconds since it was written; ``None`` where it is there no more."""
        written = self._bucket.made(RUNNING_FILE)
        look = f"{RUNNING_FILE}.{self._owner['token']}"
        self._bucket.write(look, b"")
        now = self._bucket.made(look)
        self._bucket.remove(look)
        return None if written is None or now is None else (now - written) / timedelta(seconds=1)


class TakenOver(InputError):
    """Another machine runs the sweep now."""
