"""The nodes of a running cluster, and whether a sweep can run across them."""

from __future__ import annotations

import contextlib
import functools
import json
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainables.buckets import Bucket, is_uri
from trainables.errors import InputError
from tune_dd.clusters.look import DEAF, probe
from tune_dd.runs.folder import PACKAGES

CONNECT_TIMEOUT_S = 3.0
LOOK_TIMEOUT_S = 90.0
HEAD = "node:__internal_head__"
_LOOK, _SEEN = ".tune-dd-look-", "seen"


@dataclass(frozen=True)
class Node:
    """A machine that trials can run on.

    Attributes:
        address: its IP address in the cluster.
        cpus, gpus: that it offers; a head that runs no trials offers none.
        head: whether it is the head.
        answer: of :func:`tune_dd.clusters.look.probe`.
    """

    address: str
    cpus: int
    gpus: int
    head: bool = False
    answer: Mapping[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """How a message calls it."""
        return f"{'the head' if self.head else 'the node'} {self.address}"


@dataclass(frozen=True)
class Look:
    """What nodes are asked to see of a storage.

    Attributes:
        place: a file's path, or the URI of an object.
        content: that it has.
        shows: whether what a node says that it wrote beside it, by its name, is there.
    """

    place: str
    content: str
    shows: Callable[[str], bool]


def ask_nodes(address: str, shared: str, paths: Sequence[str] = ()) -> tuple[Node, ...]:
    """The nodes of the cluster at an address, each with its answer.

    Args:
        shared: a file, or the URI of an object, that they are to read, and to write beside.
        paths: that they are to look for.

    Raises:
        InputError: nothing answers at the address.
    """
    return _asked(address, {"shared": shared, "packages": PACKAGES, "paths": list(paths)})


@functools.cache
def code_digest() -> str:
    """Of the code that trials run, as :func:`tune_dd.clusters.look.probe` tells it."""
    digest = probe({"packages": ()})["versions"]["code of trials"]
    assert digest is not None  # it runs here
    return str(digest)


@contextlib.contextmanager
def shared_file(storage: str) -> Iterator[Look]:
    """What tells this storage, or the closest parent that exists, from any other place.

    Raises:
        InputError: it is a bucket that cannot be written.
    """
    if is_uri(storage):
        place = Bucket(storage) / f"{_LOOK}{secrets.token_hex(4)}"
        content = secrets.token_hex()
        place.write(_SEEN, content.encode())
        try:
            yield Look(f"{place.uri}/{_SEEN}", content, lambda wrote: wrote in place.children())
        finally:
            place.clear()
        return
    with _shared_file(Path(storage)) as shared:
        yield Look(str(shared), shared.read_text(), lambda wrote: shared.with_name(wrote).exists())


@contextlib.contextmanager
def _shared_file(storage: Path) -> Iterator[Path]:
    place = storage.absolute()
    while not place.exists():
        place = place.parent
    with tempfile.TemporaryDirectory(prefix=_LOOK, dir=place) as folder:
        Path(folder).chmod(0o755)  # as a sweep makes its folders, and not for its owner alone
        shared = Path(folder) / _SEEN
        shared.write_text(secrets.token_hex())
        yield shared


def _asked(address: str, request: Mapping[str, Any]) -> tuple[Node, ...]:
    problem = _deaf(address)
    if not problem:
        command = [sys.executable, "-m", "tune_dd.clusters.look", address, json.dumps(request)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LOOK_TIMEOUT_S)
            if done.returncode == 0:
                found = json.loads(done.stdout.splitlines()[-1])
                return tuple(ray_node(node, answer) for node, answer in found)
            problem = "what listens there does not answer as Ray does"
            if done.returncode != DEAF:
                problem = (done.stderr.strip().splitlines() or ["Ray gave no reason"])[-1]
        except subprocess.TimeoutExpired:
            problem = "its nodes do not answer"
    raise InputError(
        f"--address is {address} ({problem})",
        "a Ray cluster must answer there",
        "start one with ray start --head, or leave --address out",
    )


def _deaf(address: str) -> str:
    """Why nothing can answer at an address, if that can be told before Ray is asked."""
    if address == "auto":
        return ""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise InputError(
            f"--address is '{address}'",
            "must be HOST:PORT or auto",
            "give the address that ray start printed",
        )
    try:
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        return str(error)
    return ""


def ray_node(told: Mapping[str, Any], answer: Mapping[str, Any] | None = None) -> Node:
    """A node from what ``ray.nodes()`` says of it."""
    resources = told["Resources"]
    cpus, gpus = (int(resources.get(name, 0)) for name in ("CPU", "GPU"))
    return Node(told["NodeManagerAddress"], cpus, gpus, HEAD in resources, answer or {})
