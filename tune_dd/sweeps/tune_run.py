"""The trials of a sweep, run by Ray Tune until all have ended or there is a reason to stop."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from ray import tune

from tune_dd.sweeps.checkpoints import Checkpoints
from tune_dd.sweeps.journal import Journal
from tune_dd.sweeps.kind import Kind
from tune_dd.sweeps.proposals import Proposals
from tune_dd.sweeps.ray_session import Resources, local_session
from tune_dd.sweeps.recorder import Halt, Halted, SweepRecorder, is_disk_full
from tune_dd.sweeps.searcher import CellScheduler, InOrder, JournaledSearch
from tune_dd.sweeps.settings import SweepConfig

MOST_WAITING = 4
"""Trials proposed ahead of their start; the searcher knows less when it proposes them."""
_STOPPING = b"stopping; trials that run stay resumable; Ctrl-C again ends at once\n"


def run_trials(
    kind: Kind[Any],
    journal: Journal,
    proposals: Proposals,
    recorder: SweepRecorder,
    checkpoints: Checkpoints,
    workers: int,
    available: Resources,
) -> Halt | None:
    """Run all trials that have not ended.

    Args:
        kind: has been prepared.
        journal, proposals: know the trials so far.
        recorder: told of everything that happens.
        checkpoints: of the trials.

    Returns:
        Why the sweep stopped before its end, or ``None``.

    Raises:
        Exception: whatever went wrong in Tune or in the recorder, but for a full disk.
    """
    config = kind.config
    # Trials that wait show an autoscaler what to start. Elsewhere none waits: where there is room for more
    # trials than were asked for it would start, and each costs Ray a request for resources.
    waiting = min(workers, MOST_WAITING) if config.address and not config.max_concurrent else 0
    # All workers start at once.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(workers + waiting)
    try:
        # A cluster has been joined for what had to be prepared.
        own = local_session(workers * config.cpus_per_trial, available.gpus)
        with contextlib.nullcontext() if config.address else own, _signals(recorder), _settled():
            recorder.started = time.monotonic()
            tune.run(
                kind.trainable,
                name=checkpoints.new_session(),
                storage_path=checkpoints.place,
                search_alg=JournaledSearch(
                    kind, proposals, journal, checkpoints, lambda: recorder.workers + waiting
                ),
                scheduler=_scheduler(config, journal),
                callbacks=[recorder],
                reuse_actors=True,
                raise_on_failed_trial=False,
                verbose=0,
            )
    except Halted:
        pass  # the recorder says why
    except Exception as error:  # any: what is not told apart here is raised again
        # What Tune makes of a full disk, or of an error that the recorder holds for later; anything else
        # goes on as it is.
        if recorder.halt is None or recorder.halt.kind not in ("disk_full", "error"):
            if not is_disk_full(error):
                raise
            recorder.halt = Halt("disk_full", error)
    if recorder.halt is not None and recorder.halt.kind == "error":
        assert recorder.halt.error is not None
        raise recorder.halt.error
    return recorder.halt


def _scheduler(config: SweepConfig, journal: Journal) -> InOrder:
    if not config.early_stopping:
        return InOrder()
    scheduler = CellScheduler(config)
    for record in journal.records.values():
        scheduler.recall(record)
    return scheduler


@contextlib.contextmanager
def _settled() -> Iterator[None]:
    """What is there by now stays: a million objects that need not be looked through again and again."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()  # or libraries would tell, as the interpreter ends, of what they think is leaked


@contextlib.contextmanager
def _signals(recorder: SweepRecorder) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the sweep in order; a second one at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def halt(number: int, frame: Any) -> None:
        recorder.halt = recorder.halt or Halt("interrupted")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # Not by way of sys.stderr: the signal may have come while a line was being written to it.
        with contextlib.suppress(OSError):  # nobody listens any more
            os.write(2, (b"\n" if os.isatty(2) else b"") + _STOPPING)

    former = {number: signal.signal(number, halt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
