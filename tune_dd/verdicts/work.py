"""Cells as tasks of Ray, each on a CPU of its own; what is there already is not made again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainables.errors import InputError
from trainables.latent.config import DataConfig, EncoderConfig
from tune_dd.sweeps.live_display import LiveDisplay, clock
from tune_dd.sweeps.plurals import counted
from tune_dd.sweeps.ray_session import local_session
from tune_dd.verdicts.cells import Job, do
from tune_dd.verdicts.encoders import prepare

RETRIES = 3
"""How often a cell whose worker died is tried again."""
_LOOK_S = 0.5
_ENDED_FIRST = 5


def do_all(
    jobs: Sequence[Job], untrained: Sequence[EncoderConfig], workers: int, display: LiveDisplay
) -> list[Job]:
    """Do every job whose file is not there.

    Args:
        untrained: encoders to train first; jobs on others need not wait for them.
        workers: jobs at a time.
        display: gets one line that says how many are done and what is left in time.

    Returns:
        The jobs whose workers died, each time that they were tried.

    Raises:
        InputError: of any job; or Ray does not start.
    """
    missing = [job for job in jobs if not job.path.exists()]
    if len(missing) < len(jobs):
        display.say(f"  {len(jobs) - len(missing)} of {counted(len(jobs), 'cell')} are there from before")
    if not missing:
        return []
    with local_session(workers):
        return _watch(missing, untrained, len(jobs), workers, display)


def _watch(
    missing: Sequence[Job],
    untrained: Sequence[EncoderConfig],
    total: int,
    workers: int,
    display: LiveDisplay,
) -> list[Job]:
    import ray

    settings = {"num_cpus": 1, "max_retries": RETRIES}
    train, make = ray.remote(**settings)(_train), ray.remote(**settings)(_do)
    first = missing[0]
    training = {encoder: train.remote(first.data, encoder, first.cache) for encoder in untrained}
    waiting: dict[Any, Job | None] = dict.fromkeys(training.values())
    for job in missing:
        # A task waits for those whose results it takes.
        needed = [training[encoder] for encoder in (job.encoder, job.other) if encoder in training]
        waiting[make.remote(job, *needed)] = job
    pace = _Pace()
    dead: list[Job] = []
    while waiting:
        ready, _ = ray.wait(list(waiting), timeout=_LOOK_S)
        for reference in ready:
            ended, alive = waiting.pop(reference), _outlived(reference)
            if ended is not None:
                pace.tick()
                dead += [] if alive else [ended]
        left = sum(awaited is not None for awaited in waiting.values())
        parts = [f"  {total - left - len(dead)} of {counted(total, 'cell')}"]
        if len(waiting) > left:
            parts.append(f"training {counted(len(waiting) - left, 'encoder')}")
        elif left:
            parts.append(f"{min(left, workers)} running")
        if dead:
            parts.append(f"{len(dead)} lost")
        display.show(", ".join(parts) + pace.words(left), now=not waiting)
    display.end()
    return dead


def _train(data: DataConfig, encoder: EncoderConfig, cache: Path) -> None:
    prepare(data, encoder, cache)


def _do(job: Job, *trained: None) -> None:
    do(job)


def _outlived(reference: Any) -> bool:
    """Whether a task came to its end; ``False`` where its workers died, or those of one it waited for.

    Raises:
        InputError, OSError: of the task, for the user to mend.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        ray.get(reference)
    except RayTaskError as error:
        cause: Any = error
        while isinstance(cause, RayTaskError):  # of a task that another one waited for, it is wrapped twice
            cause = cause.cause
        if isinstance(cause, InputError | OSError):
            raise cause from None
        if not isinstance(cause, RayError):
            raise
        return False
    except RayError:
        return False
    return True


class _Pace:
    """What is left in time, by the pace since the first cell ended: before it, encoders were trained."""

    def __init__(self) -> None:
        self._began_s = 0.0
        self._ended = -1

    def tick(self) -> None:
        """A cell has ended."""
        self._ended += 1
        if self._ended == 0:
            self._began_s = time.monotonic()

    def words(self, left: int) -> str:
        """For the end of a line; empty where nothing can be said yet."""
        if not left or self._ended < _ENDED_FIRST:
            return ""
        return f" | {clock((time.monotonic() - self._began_s) / self._ended * left)} left"
