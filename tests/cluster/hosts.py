"""Several hosts on one machine: each has an own network, processes, /tmp/ray, home, and an SSH server.

Needs root, Linux, and Debian's packages openssh-server, iproute2 and rsync. What hosts share is every other
folder of the machine, as they would share one over NFS.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROGRAMS = ("ip", "unshare", "nsenter", "sshd", "ssh", "ssh-keygen", "rsync")
_NETWORK = "10.77.{network}.{host}"
_SSHD = "/usr/sbin/sshd"
_UP_S = 20.0
_SSH_OPTIONS = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR".split()


def missing() -> str | None:
    """Why hosts cannot be made here, or ``None``."""
    if os.geteuid() != 0:
        return "hosts are network namespaces, which root alone can make"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    lacking = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if lacking:
        return f"there is no {lacking[0]}: install openssh-server, iproute2 and rsync"
    tried = subprocess.run(["unshare", "--net", "--pid", "--fork", "--mount", "true"], capture_output=True)
    return None if tried.returncode == 0 else "this sandbox allows no namespaces"


def require_hosts(reason: str | None = None) -> None:
    """Skip a test where its hosts cannot be made; CI must make them.

    Args:
        reason: why something else that the test needs is not here.
    """
    reason = missing() or reason
    if reason is not None and os.environ.get("CI"):
        pytest.fail(f"CI must make hosts, but {reason}")
    if reason is not None:
        pytest.skip(reason)


@dataclass
class Host:
    """One of them.

    Attributes:
        name: its network namespace.
        address: where its SSH server listens.
        home: what its root has as home; it outlives the host's death.
    """

    name: str
    address: str
    home: Path
    _sshd_config: Path
    _key: Path
    _init: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def boot(self) -> None:
        """Start it, as after a loss of power: files in its home are there, processes are not."""
        inside = "\n".join(
            [
                "set -e",
                # Its root has a home of its own, and the machine's, where Python may lie, stays in sight.
                f"sed 's#^root:.*#root:x:0:0::{self.home}:/bin/bash#' /etc/passwd > {self.home}.passwd",
                f"mount --bind {self.home}.passwd /etc/passwd && mkdir -p /tmp/ray",
                "mount -t tmpfs tmpfs /tmp/ray && mount -t tmpfs -o size=512m tmpfs /dev/shm",
                f"hostname {self.name}",
                f"exec {_SSHD} -D -f {self._sshd_config} -o ListenAddress={self.address}",
            ]
        )
        command = ["ip", "netns", "exec", self.name, "unshare", "--pid", "--fork", "--kill-child", "--mount"]
        self._init = subprocess.Popen(
            [*command, "--uts", "--mount-proc", "bash", "-c", inside],
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _UP_S
        while True:
            try:
                with socket.create_connection((self.address, 22), 1) as connection:
                    if connection.recv(4) == b"SSH-":
                        return
                raise ConnectionError("what listens there hung up")
            except OSError:
                if time.monotonic() > deadline or self._init.poll() is not None:
                    raise
                time.sleep(0.1)

    def die(self) -> None:
        """All of its processes at once, by SIGKILL, its SSH server too."""
        if self._init is not None:
            self._init.send_signal(signal.SIGKILL)
            self._init.wait()
            self._init = None

    def ssh(self, command: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command there, as a person would."""
        return subprocess.run(
            ["ssh", "-i", str(self._key), *_SSH_OPTIONS, f"root@{self.address}", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )


@dataclass(frozen=True)
class Hosts:
    """Those of one network.

    Attributes:
        key: private SSH key that opens them.
        outside: address of this machine in their network.
    """

    hosts: Sequence[Host]
    key: Path
    outside: str


@contextlib.contextmanager
def made_hosts(place: Path, n: int, network: int) -> Iterator[Hosts]:
    """``n`` hosts that run, on a network of their own.

    Args:
        place: a folder for their homes and keys.
        network: its number, 0 to 255; two at a time must differ.
    """
    place.mkdir(parents=True, exist_ok=True)
    key = place / "id_ed25519"
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / "host_key"))
    (place / "authorized_keys").write_text(key.with_suffix(".pub").read_text())
    config = place / "sshd_config"
    config.write_text(
        f"HostKey {place / 'host_key'}\nAuthorizedKeysFile {place / 'authorized_keys'}\n"
        "PermitRootLogin yes\nStrictModes no\nUsePAM no\nPidFile none\nUseDNS no\nMaxStartups 100\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    bridge, outside = f"tdd{network}", _NETWORK.format(network=network, host=254)
    names = [f"{bridge}h{number}" for number in range(1, n + 1)]
    hosts: list[Host] = []
    _remove(bridge, names)
    try:
        _run("ip", "link", "add", bridge, "type", "bridge")
        _run("ip", "addr", "add", f"{outside}/24", "dev", bridge)
        _run("ip", "link", "set", bridge, "up")
        for number, name in enumerate(names, start=1):
            address = _NETWORK.format(network=network, host=number)
            _run("ip", "netns", "add", name)
            _run("ip", "link", "add", f"{name}o", "type", "veth", "peer", "name", "eth0", "netns", name)
            _run("ip", "link", "set", f"{name}o", "master", bridge, "up")
            _run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            _run("ip", "-n", name, "link", "set", "eth0", "up")
            _run("ip", "-n", name, "link", "set", "lo", "up")
            # By the way to the outside Ray finds a host's own address; nothing is ever sent along it.
            _run("ip", "-n", name, "route", "add", "default", "via", outside)
            home = place / f"home{number}"
            home.mkdir()
            hosts.append(Host(name, address, home, config, key))
            hosts[-1].boot()
        yield Hosts(tuple(hosts), key, outside)
    finally:
        for host in hosts:
            host.die()
        _remove(bridge, names)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def _remove(bridge: str, names: Sequence[str]) -> None:
    """Also what an earlier run that was killed left."""
    for name in names:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
        subprocess.run(["ip", "link", "del", f"{name}o"], capture_output=True)
    subprocess.run(["ip", "link", "del", bridge], capture_output=True)
