"""Cells as tasks of Ray, each on a CPU of its own; what is there already is not made again."""

from __future__ import annotations

import time
from collections.abc import Sequence

from trainables.errors import InputError
from tune_dd.sweeps.live_display import LiveDisplay, clock
from tune_dd.sweeps.plurals import counted
from tune_dd.sweeps.ray_session import local_session
from tune_dd.verdicts.cells import Job, do

RETRIES = 3
"""How often a cell whose worker died is tried again."""
_LOOK_S = 0.5


def do_all(jobs: Sequence[Job], workers: int, display: LiveDisplay) -> list[Job]:
    """Do every job whose file is not there.

    Args:
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
    with local_session(min(workers, len(missing))):
        return _watch(missing, len(jobs), workers, display)


def _watch(missing: Sequence[Job], total: int, workers: int, display: LiveDisplay) -> list[Job]:
    import ray
    from ray.exceptions import RayError, RayTaskError

    task = ray.remote(num_cpus=1, max_retries=RETRIES)(do)
    started = time.monotonic()
    waiting = {task.remote(job): job for job in missing}
    dead = []
    while waiting:
        ready, _ = ray.wait(list(waiting), timeout=_LOOK_S)
        for reference in ready:
            job = waiting.pop(reference)
            try:
                ray.get(reference)
            except RayTaskError as error:
                if isinstance(error.cause, InputError | OSError):  # the user's to mend
                    raise error.cause from error
                raise
            except RayError:
                dead.append(job)
        ended = len(missing) - len(waiting)
        line = f"  {total - len(waiting) - len(dead)} of {counted(total, 'cell')}"
        line += f", {min(len(waiting), workers)} running" if waiting else ""
        if dead:
            line += f", {len(dead)} lost"
        if waiting and ended > workers:
            line += f" | {clock((time.monotonic() - started) / ended * len(waiting))} left"
        display.show(line, now=not waiting)
    display.end()
    return dead
