"""What an evaluation leaves, where the sweep's results lie in a bucket."""

from __future__ import annotations

from pathlib import Path

from tune_dd.evaluation.test_scores import ACCESS_LOG, FOLDER
from tune_dd.runs.places import bucket_of, publish
from tune_dd.sweeps.lease import RUNNING_FILE
from tune_dd.sweeps.results import EVALUATION_FILE, SWEEP_SUMMARY_FILE, UNREAD_FILE


def publish_evaluation(folder: Path) -> None:
    """Copy to the bucket what was found, and every reading of test that this machine or another one has made.

    Args:
        folder: the sweep's; nothing happens where it is no copy.

    Raises:
        StoreError: the bucket cannot be written.
    """
    bucket = bucket_of(folder)
    if bucket is None:
        return
    log = folder / ACCESS_LOG
    if log.exists():
        there, here = ((bucket.read(ACCESS_LOG) or b"").splitlines(), log.read_bytes().splitlines())
        if any(line not in there for line in here):
            bucket.write(ACCESS_LOG, b"".join(line + b"\n" for line in dict.fromkeys([*there, *here])))
    # Of a sweep that runs on another machine the summary is that one's.
    own = () if bucket.read(RUNNING_FILE) is not None else (SWEEP_SUMMARY_FILE,)
    publish(folder, (f"{FOLDER}/*", EVALUATION_FILE, UNREAD_FILE, *own))
