"""Which trials broke off because their node died: spot instances do, and no trial is to blame for it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import ray

from tune_dd.clusters.nodes import Node, ray_node

SUSPECT_S = 60.0
"""How long before its death was noticed a node may have taken its workers along; Ray takes some seconds."""


class Nodes:
    """The nodes of a cluster, as far as trials that broke off have to do with them.

    A worker's death is noticed before its node's, so what it was has to be known afterwards: where a node is
    found dead, all workers that died shortly before are put down to it.

    Attributes:
        alive: those that are there, at the last look; ``None`` before the first.
    """

    def __init__(self) -> None:
        self.alive: tuple[Node, ...] | None = None
        self._dead: set[str] | None = None
        self._suspects: list[tuple[float, str]] = []

    def suspect(self, trial_id: str) -> int:
        """A trial's worker has died; how often that has happened lately and may yet prove to be its node."""
        now = time.monotonic()
        self._suspects = [*((at, who) for at, who in self._suspects if now - at < SUSPECT_S), (now, trial_id)]
        return sum(who == trial_id for _, who in self._suspects)

    def losses(self) -> Sequence[tuple[str, str]]:
        """Look at the nodes: trials that lost theirs since the last look, each with the node in words."""
        try:
            nodes = ray.nodes()
        except ray.exceptions.RayError:
            self.alive = ()
            return ()
        self.alive = tuple(ray_node(node) for node in nodes if node["Alive"])
        dead = {node["NodeID"]: node["NodeManagerAddress"] for node in nodes if not node["Alive"]}
        fresh = set() if self._dead is None else dead.keys() - self._dead
        self._dead = set(dead)
        if not fresh:
            return ()
        words = "node " + ", ".join(sorted(dead[node] for node in fresh))
        now = time.monotonic()
        lost = [(who, words) for at, who in self._suspects if now - at < SUSPECT_S]
        self._suspects = []
        return lost
