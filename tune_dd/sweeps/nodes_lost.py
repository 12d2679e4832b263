"""A cluster's nodes while a sweep runs: which trials lost theirs, and whether new ones are as the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import ray

from tune_dd.clusters.nodes import Node, ray_node

SUSPECT_S = 60.0
"""How far a worker's death and its node's may be noticed apart; either may be first."""


class Nodes:
    """The nodes, as far as trials have to do with them.

    Which worker ran where is not asked: all workers that died about when a node did are put down to it.

    Args:
        check_joined: called, in a thread of its own, when nodes have joined; raises where one is of no use.

    Attributes:
        alive: those that are there, at the last look; ``None`` before the first.
        complaint: what ``check_joined`` raised.
    """

    def __init__(self, check_joined: Callable[[], object]) -> None:
        self.alive: tuple[Node, ...] | None = None
        self.complaint: Exception | None = None
        self._check_joined = check_joined
        self._known: set[str] | None = None
        self._suspects: list[tuple[float, str]] = []
        self._deaths: list[tuple[float, str]] = []

    def suspect(self, trial_id: str) -> int:
        """A trial's worker has died; how often that has happened lately and may yet prove to be its node."""
        self._suspects.append((time.monotonic(), trial_id))
        return sum(who == trial_id for _, who in _recent(self._suspects))

    def look(self) -> Sequence[tuple[str, str]]:
        """Look at the nodes; trials that are found to have lost theirs, each with the node in words."""
        try:
            nodes = ray.nodes()
        except ray.exceptions.RayError:
            self.alive = ()
            return ()
        before, now = self._known, time.monotonic()
        self._known = {node["NodeID"] for node in nodes if node["Alive"]}
        self.alive = tuple(ray_node(node) for node in nodes if node["Alive"])
        if before is not None and self._known - before:
            threading.Thread(target=self._check, daemon=True).start()
        gone = (before or set()) - self._known
        died = [node["NodeManagerAddress"] for node in nodes if node["NodeID"] in gone]
        self._deaths = [*_recent(self._deaths), *((now, f"node {address}") for address in died)]
        self._suspects = _recent(self._suspects)
        if not self._deaths:
            return ()
        lost = [(who, self._deaths[-1][1]) for _, who in self._suspects]
        self._suspects = []
        return lost

    def _check(self) -> None:
        try:
            self._check_joined()
        except Exception as error:  # any: whoever looks next raises it
            self.complaint = error


def _recent(happened: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    now = time.monotonic()
    return [(at, what) for at, what in happened if now - at < SUSPECT_S]
