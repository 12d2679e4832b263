"""The copy on this machine of a sweep whose results lie in a bucket, brought up to date."""

from __future__ import annotations

import fcntl
from pathlib import Path

from tune_dd.runs.places import bring, bucket_of
from tune_dd.sweeps.journal import JOURNAL_FILE
from tune_dd.sweeps.results import SWEEP_FILE


def bring_sweep(folder: Path) -> None:
    """Bring a sweep's copy up to date, if it is one; a sweep that runs here has a copy ahead of the bucket.

    The journal only grows: where this machine's begins as the bucket's does, it has what a copy that was
    broken off did not take there. Otherwise another machine went on, and the bucket's counts.

    Raises:
        StoreError: the bucket cannot be read.
    """
    bucket = bucket_of(folder)
    if bucket is None or bucket.read(SWEEP_FILE) is None:
        return
    file = folder / JOURNAL_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    # Locked for all of it, so that no sweep begins here meanwhile.
    with file.open("a+b") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        bring(folder, leave=(JOURNAL_FILE,))
        there = bucket.read(JOURNAL_FILE) or b""
        stream.seek(0)
        if not stream.read().startswith(there):
            stream.truncate(0)
            stream.write(there)
