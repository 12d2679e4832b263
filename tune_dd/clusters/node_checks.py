"""What is held against each node's answer before a sweep runs across them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from trainables.errors import InputError
from tune_dd.clusters.findings import Finding, looked
from tune_dd.clusters.look import probe
from tune_dd.clusters.nodes import Look, Node
from tune_dd.runs.folder import PACKAGES

MOST_SKEW_S = 10.0
LEAST_FREE_BYTES = 500 << 20


def node_findings(nodes: Sequence[Node], address: str, storage: str, look: Look) -> Iterator[Finding]:
    """Every check of every node, the same check of all nodes one after another.

    Args:
        nodes: that were asked; one alone has nothing to agree with.
        look: what they were to see of the storage.
    """
    checks: tuple[tuple[str, Callable[[Node], None]], ...] = (
        ("has the versions and the code that are here", _check_versions),
        ("can use the storage", partial(_check_storage, storage, look)),
        ("sees the paths that are asked for", _check_paths),
        ("has room on its disks", _check_room),
        ("has the time that it is here", _check_clock),
    )
    silent = [node for node in nodes if "silent" in node.answer]
    for node in silent:
        yield from looked(f"{node.words} answers", partial(_refuse_silence, address, node))
    for what, check in checks:
        for node in nodes:
            if node not in silent:
                yield from looked(f"{node.words} {what}", partial(check, node))


def _refuse_silence(address: str, node: Node) -> None:
    raise InputError(
        f"{node.words} of the cluster at {address} runs no task ({node.answer['silent']})",
        "every node must answer",
        "look into /tmp/ray/session_latest/logs there, or take it out of the cluster",
    )


@functools.cache  # all code of trials is read for it
def _versions_here() -> dict[str, str | None]:
    found: dict[str, str | None] = probe({"packages": PACKAGES})["versions"]
    return found


def _check_versions(node: Node) -> None:
    for package, own in _versions_here().items():
        there = node.answer["versions"].get(package)
        if there != own:
            raise InputError(
                f"{node.words} has {package} {there or 'not at all'}",
                f"here it is {own or 'not installed'}, and scores depend on it",
                "install one version of the project and of constraints.txt on all nodes, and start Ray again",
            )


def _check_storage(storage: str, look: Look, node: Node) -> None:
    trouble = node.answer.get("trouble")
    if trouble is None and (node.answer["content"] != look.content or not look.shows(node.answer["wrote"])):
        trouble = "another folder lies there"
    if trouble is not None:
        raise InputError(
            f"--storage is {storage}, and {node.words} cannot use it ({trouble})",
            "trials write their checkpoints there, whatever machine they run on",
            "give a folder that all machines share, such as one on NFS, or a bucket, and may write to",
        )


def _check_paths(node: Node) -> None:
    if node.answer["unreadable"]:
        raise InputError(
            f"{node.answer['unreadable'][0]} is not to be read on {node.words}",
            "data must be there on every node, at one path",
            "put it on the shared folder, or copy it to that node",
        )


def _check_room(node: Node) -> None:
    for place, free in node.answer["free"].items():
        if free < LEAST_FREE_BYTES:
            raise InputError(
                f"{node.words} has {free >> 20} MB left in {place}",
                f"{LEAST_FREE_BYTES >> 20} MB are needed there",
                "make room, or give it a larger disk",
            )


def _check_clock(node: Node) -> None:
    before, after = node.answer["asked"]
    off = max(before - node.answer["time"], node.answer["time"] - after, 0.0)
    if off > MOST_SKEW_S:
        raise InputError(
            f"the clock of {node.words} is {off:,.0f} s off",
            f"clocks may differ by {MOST_SKEW_S:.0f} s, as times of files and logs are compared",
            "set it, for example with chrony or systemd-timesyncd",
        )
