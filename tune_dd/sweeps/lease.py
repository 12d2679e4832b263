"""Who runs a sweep whose results lie in a bucket, where no file can be locked: one machine at a time."""

from __future__ import annotations

import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from trainables.buckets import Bucket, StoreError
from trainables.errors import InputError

RUNNING_FILE = ".running.json"
RENEWED_S = 10.0
STALE_S = 45.0
"""A machine that was not heard of for so long runs the sweep no more."""
_LOOKS_S = 2.0
_SETTLES_S = 1.0


class Lease:
    """The right to run a sweep, as an object in its bucket that a thread writes again and again.

    Ages are told by the store's clock alone.

    Args:
        bucket: the sweep's prefix.

    Attributes:
        lost: what was raised where another machine has taken the sweep over.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.lost: TakenOver | None = None
        self._bucket = bucket
        self._owner = {**_process(), "pid": os.getpid(), "token": secrets.token_hex(8)}
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def take(self, say: Callable[[str], None]) -> None:
        """Wait until nobody else has it, which a machine that died has for a while; then it is taken.

        Raises:
            InputError: somebody else has it.
        """
        found = self._found()
        if found is not None and not self._died_here(found):
            say(f"waiting up to {STALE_S:.0f} s, to see whether {found['host']} still runs this sweep")
            first = self._bucket.made(RUNNING_FILE)
            while (age := self._age()) is not None and age < STALE_S:
                if self._bucket.made(RUNNING_FILE) != first:
                    raise self._taken(found)
                time.sleep(_LOOKS_S)
        self._write()
        time.sleep(_SETTLES_S)  # of two that take it at once the later one has it
        found = self._found()
        if found is not None and found["token"] != self._owner["token"]:
            raise self._taken(found)
        self._thread.start()

    def check(self) -> None:
        """Make sure, right before something is written that another machine must not lose, that it is held.

        Raises:
            TakenOver: it is not; the machine may have been asleep, or without a network.
            StoreError: the bucket cannot be used.
        """
        found = self._found()
        if found is None or found["token"] != self._owner["token"]:
            by = found["host"] if found is not None else "another machine"
            self.lost = TakenOver(
                f"the sweep in {self._bucket.uri} was taken over by {by}",
                "one machine at a time runs a sweep, and this one was not heard of",
                "let that one go on",
            )
            raise self.lost

    def give_back(self) -> None:
        """Nobody has to wait for it any more."""
        self._leave.set()
        if self._thread.ident is not None:
            self._thread.join()
        found = self._found()
        if found is not None and found["token"] == self._owner["token"]:
            self._bucket.remove(RUNNING_FILE)

    def _keep(self) -> None:
        while not self._leave.wait(RENEWED_S):
            try:
                self.check()
                self._write()
            except TakenOver:
                return
            except (StoreError, OSError, ValueError):  # whoever writes results tells of it
                pass

    def _taken(self, found: Mapping[str, Any]) -> InputError:
        return InputError(
            f"the sweep in {self._bucket.uri} is running on {found['host']}",
            "one machine at a time runs a sweep",
            "wait for it, or stop it first",
        )

    def _write(self) -> None:
        self._bucket.write(RUNNING_FILE, json.dumps(self._owner).encode())

    def _found(self) -> dict[str, Any] | None:
        content = self._bucket.read(RUNNING_FILE)
        found: dict[str, Any] | None = None if content is None else json.loads(content)
        return found

    def _died_here(self, found: Mapping[str, Any]) -> bool:
        """Whether it was a process of this machine, which is gone."""
        if any(found.get(name) != value for name, value in _process().items()):
            return False
        try:
            os.kill(found["pid"], 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # somebody else's lives
            pass
        return False

    def _age(self) -> float | None:
        """Seconds since it was written; ``None`` where it is there no more."""
        written = self._bucket.made(RUNNING_FILE)
        look = f"{RUNNING_FILE}.{self._owner['token']}"
        self._bucket.write(look, b"")
        now = self._bucket.made(look)
        self._bucket.remove(look)
        return None if written is None or now is None else (now - written) / timedelta(seconds=1)


def _process() -> dict[str, str | int]:
    """What process ids count for: names of machines may be equal, as in containers."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return {
        "host": platform.node(),
        "boot": boot.read_text().strip() if boot.exists() else "",
        "pid_namespace": os.stat("/proc/self/ns/pid").st_ino if boot.exists() else 0,
    }


class TakenOver(InputError):
    """Another machine runs the sweep now."""
