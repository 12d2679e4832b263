"""Work that is done once in a cluster, however many sweeps ask for it at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainables.errors import InputError
from tune_dd.clusters.nodes import code_digest

Report = Callable[[str], None]
Work = Callable[[Report], None]

RETRIES = 3
"""How often work is begun again whose worker, or whose node, died."""
SECONDS_BETWEEN_LOOKS = 1.0
_WAITING = "waiting for a node of the cluster that has room for it"


def once_in_cluster(key: str, work: Work, cpus: float, gpus: float, report: Report) -> None:
    """Have the work of a key done by a worker of the cluster; where somebody has begun it, wait for that.

    An actor of the key decides who does it. It lives as long as the sweep that made it: where that one is
    stopped, those that wait begin again. Work whose node dies begins again on another.

    Args:
        key: of what the work leaves. Whoever asks has looked before whether that is there.
        work: pickled; it runs on any node.
        cpus, gpus: that it needs, of one node. An autoscaler starts a node for it where none has them.
        report: told of its progress.

    Raises:
        InputError: that the work raised; or its workers died time and again.
    """
    for _ in range(RETRIES + 1):
        office = _office(key)
        try:
            outcome = office.outcome.remote(work, cpus, gpus)
            _relay(office, outcome, report)
            complaint = ray.get(outcome)
        except ray.exceptions.RayActorError as error:  # with the sweep that made it
            problem = str(error).strip().splitlines()[-1]
            time.sleep(SECONDS_BETWEEN_LOOKS)
            continue
        if complaint is not None:
            raise InputError(*complaint)
        return
    raise InputError(
        f"work that the cluster should do once was broken off {RETRIES + 1} times ({problem})",
        "a worker must live to its end",
        "look into /tmp/ray/session_latest/logs on the nodes; tune-dd check --address tells of them",
    )


def _office(key: str) -> Any:
    # By the code's digest, too: workers of another version of this project share nothing with these.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return (
        ray.remote(_Office)
        .options(name=f"once-{code_digest()}-{key}", get_if_exists=True, num_cpus=0, scheduling_strategy=here)
        .remote()
    )


def _relay(office: Any, outcome: Any, report: Report) -> None:
    """Report what the work says until it has ended."""
    told = ""
    while not ray.wait([outcome], timeout=SECONDS_BETWEEN_LOOKS)[0]:
        line = ray.get(office.last_line.remote())
        if line != told:
            report(line)
            told = line


class _Office:
    """Begins the work for whoever asks first; all others await the same task."""

    def __init__(self) -> None:
        self._task: Any = None
        self._line = _WAITING

    async def outcome(self, work: Work, cpus: float, gpus: float) -> tuple[str, str, str] | None:
        """Wait for the work's end; the parts of an InputError, if it raised one."""
        if self._task is None:
            me = ray.get_runtime_context().current_actor
            self._task = (
                ray.remote(_do).options(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES).remote(me, work)
            )
        try:
            complaint: tuple[str, str, str] | None = await self._task
        except ray.exceptions.RayError as error:
            last = str(error).strip().splitlines()[-1]
            complaint = (
                f"a worker of the cluster could not do its work ({last})",
                f"it was begun {RETRIES + 1} times",
                "give it a node with more memory, or look into /tmp/ray/session_latest/logs there",
            )
        return complaint

    async def say(self, line: str) -> None:
        self._line = line

    async def last_line(self) -> str:
        return self._line


def _do(office: Any, work: Work) -> tuple[str, str, str] | None:
    last = 0.0

    def report(line: str) -> None:
        nonlocal last
        if time.monotonic() - last > SECONDS_BETWEEN_LOOKS:
            last = time.monotonic()
            office.say.remote(line)

    try:
        work(report)
    except InputError as error:
        return error.value, error.rule, error.remedy
    return None
