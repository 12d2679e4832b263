"""Whether a sweep can run across the nodes of a cluster."""

from __future__ import annotations

from tune_dd.clusters.node_checks import node_findings
from tune_dd.clusters.nodes import Node, ask_nodes, shared_file


def ready_nodes(address: str, storage: str) -> tuple[Node, ...]:
    """The nodes of a cluster whose answers let a sweep begin.

    Args:
        storage: folder or bucket of all sweeps, which all nodes have to share. It need not exist yet.

    Raises:
        InputError: nothing answers at the address; or something is to be mended, the first thing found.
    """
    with shared_file(storage) as look:
        nodes = ask_nodes(address, look.place)
        for finding in node_findings(nodes, address, storage, look):
            if finding.complaint is not None:
                raise finding.complaint
    return nodes
