"""Work that is done once in a cluster, however many sweeps ask for it at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ray

from trainables.errors import InputError
from tune_dd.clusters.nodes import code_digest

Report = Callable[[str], None]
Work = Callable[[Report], None]

SECONDS_BETWEEN_LOOKS = 1.0


def once_in_cluster(key: str, work: Work, cpus: float, gpus: float, report: Report) -> None:
    """Have the work of a key done by a worker of the cluster, unless it is being done: then wait for that.

    An actor decides who does it. The work goes on where this process dies, and starts again on
    another node where its own dies. Whoever asks looks first for what an earlier call has left.

    Args:
        key: of what the work leaves.
        work: pickled; it runs on any node.
        cpus, gpus: that it needs, of one node. An autoscaler starts a node for it where none has them.
        report: told of its progress.

    Raises:
        InputError: that the work raised.
    """
    office: Any = None
    while True:
        office = office or _office()
        try:
            end = office.done.remote(key, work, cpus, gpus)
            _tell(office, key, end, report)
            complaint = ray.get(end)
        except ray.exceptions.ActorDiedError:  # with the sweep that began it, or with the head
            office = None
            continue
        if complaint is not None:
            raise InputError(*complaint)
        return


def _office() -> Any:
    # By the code's digest: workers of another version of this project share nothing with these.
    return ray.remote(_Office).options(name=f"once-{code_digest()}", get_if_exists=True, num_cpus=0).remote()


def _tell(office: Any, key: str, end: Any, report: Report) -> None:
    told = ""
    while not ray.wait([end], timeout=SECONDS_BETWEEN_LOOKS)[0]:
        line = ray.get(office.said.remote(key))
        if line != told:
            report(line)
            told = line


class _Office:
    """Who does what at present; one call a key runs, the others await it."""

    def __init__(self) -> None:
        self._under_way: dict[str, Any] = {}
        self._lines: dict[str, str] = {}

    async def done(self, key: str, work: Work, cpus: float, gpus: float) -> tuple[str, str, str] | None:
        """Wait for the end of a key's work, begun now or before; an InputError's parts, if it raised one."""
        if key not in self._under_way:
            me = ray.get_runtime_context().current_actor
            self._lines[key] = "waiting for a node of the cluster to train on"
            task = ray.remote(_do).options(num_cpus=cpus, num_gpus=gpus)
            self._under_way[key] = task.remote(me, key, work)
        try:
            complaint: tuple[str, str, str] | None = await self._under_way[key]
            return complaint
        finally:
            self._under_way.pop(key, None)

    async def say(self, key: str, line: str) -> None:
        self._lines[key] = line

    async def said(self, key: str) -> str:
        return self._lines[key]


def _do(office: Any, key: str, work: Work) -> tuple[str, str, str] | None:
    last = 0.0

    def report(line: str) -> None:
        nonlocal last
        if time.monotonic() - last > SECONDS_BETWEEN_LOOKS:
            last = time.monotonic()
            office.say.remote(key, line)

    try:
        work(report)
    except InputError as error:
        return error.value, error.rule, error.remedy
    return None
