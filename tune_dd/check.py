"""``tune-dd check``: what would go wrong on a cluster, before money is spent on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.buckets import is_uri
from trainables.errors import InputError
from tune_dd.flags import FlagParser, Flags, main_guard, parser
from tune_dd.runs.places import absolute, check_storage

if TYPE_CHECKING:
    from tune_dd.clusters.findings import Finding
    from tune_dd.clusters.nodes import Node


def build_parser() -> FlagParser:
    """The flags of ``tune-dd check``."""
    made = parser(
        "tune-dd check",
        "Look at a cluster's launch file and its machines before ray up, or at a cluster that runs "
        "(--address), and list what is as it must be and what to mend.",
    )
    made.add_word("file", "the launch file, such as cluster.onprem.yaml", optional=True)
    made.add_flag("--address", str, "a cluster that runs, asked from its head", metavar="HOST:PORT")
    made.add_flag("--storage", str, "folder or bucket of all sweeps", default="results", metavar="DIR")
    made.add_flag("--paths", str, "data that every node has to be able to read", many=True, metavar="PATH")
    made.add_flag("--cpus-per-trial", int, "CPUs of one trial", default=1, at_least=1)
    made.add_flag("--gpus-per-trial", float, "GPUs of one trial", default=0.0, at_least=0.0)
    return made


@main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb.

    Returns:
        0 where nothing is to be mended, otherwise 2.
    """
    flags = build_parser().parse(argv)
    if flags["file"] is None and flags["address"] is None:
        raise InputError(
            "neither a launch file nor --address is given", "there must be something to look at", "give one"
        )
    to_mend = 0
    for finding in _findings(flags):
        print(finding, flush=True)
        to_mend += finding.complaint is not None
    print(f"\n{to_mend} to mend" if to_mend else "\nnothing to mend")
    return 2 if to_mend else 0


def _findings(flags: Flags) -> Iterator[Finding]:
    from tune_dd.clusters.findings import looked
    from tune_dd.clusters.launch_file import file_findings, is_local, read_launch_file
    from tune_dd.clusters.machine_checks import machine_findings

    storage = absolute(flags["storage"])
    config: Mapping[str, Any] | None = None
    if flags["file"] is not None:
        path = Path(flags["file"])
        config = read_launch_file(path)
        accepted = True
        for finding in file_findings(path, config):
            accepted &= finding.complaint is None
            yield finding
        if accepted and is_uri(storage) and flags["address"] is None:
            yield from looked(f"{storage} can be written from here", partial(check_storage, storage))
        if accepted and is_local(config) and flags["address"] is None:
            yield from machine_findings(config, None if is_uri(storage) else Path(storage))
    if flags["address"] is not None:
        yield from _cluster(flags, storage, config)


def _cluster(flags: Flags, storage: str, config: Mapping[str, Any] | None) -> Iterator[Finding]:
    from tune_dd.clusters.findings import Finding, looked
    from tune_dd.clusters.node_checks import node_findings
    from tune_dd.clusters.nodes import ask_nodes, shared_file

    address = flags["address"]
    [writable] = looked(f"{storage} can be written here", partial(check_storage, storage))
    yield writable
    if writable.complaint is not None:
        return
    with shared_file(storage) as look:
        try:
            nodes = ask_nodes(
                address, look.place, [str(Path(path).absolute()) for path in flags["paths"] or ()]
            )
        except InputError as complaint:
            yield Finding("", complaint)
            return
        yield from node_findings(nodes, address, storage, look)
    if config is not None:
        yield from _joined(nodes, config)
    yield from looked(
        "a trial fits on a node", partial(_check_fit, nodes, flags["cpus_per_trial"], flags["gpus_per_trial"])
    )


def _joined(nodes: Sequence[Node], config: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether all nodes are there that the launch file wants at any time."""
    from tune_dd.clusters.findings import looked
    from tune_dd.clusters.launch_file import addresses, is_local

    if is_local(config):
        there = {node.address for node in nodes}
        head, workers = addresses(config)
        for machine in (head, *workers):
            yield from looked(f"{machine} has joined", partial(_refuse_absence, machine, machine in there))
        return
    kinds = config.get("available_node_types") or {}
    wanted = 1 + sum(int(kind.get("min_workers") or 0) for kind in kinds.values())
    what = f"{len(nodes)} of the {wanted} nodes that are always wanted"
    yield from looked(f"{what} have joined", partial(_refuse_absence, what, len(nodes) >= wanted))


def _refuse_absence(what: str, joined: bool) -> None:
    if not joined:
        raise InputError(
            f"{what} of the launch file did not join",
            "every node of the cluster must",
            "read /tmp/ray/session_latest/logs/monitor.out on the head, which starts it",
        )


def _check_fit(nodes: Sequence[Node], cpus: int, gpus: float) -> None:
    if any(node.cpus >= cpus and node.gpus >= gpus for node in nodes):
        return
    most = max(nodes, key=lambda node: (node.gpus >= gpus, node.gpus, node.cpus))
    raise InputError(
        f"a trial asks for {cpus} CPUs and {gpus:g} GPUs",
        f"no node has both: {most.words} has {most.cpus} and {most.gpus}",
        "give --cpus-per-trial or --gpus-per-trial that fit, or nodes that have them",
    )


if __name__ == "__main__":
    sys.exit(main())
