"""``cluster.onprem.yaml`` on hosts of this machine, and Ray's commands as a user gives them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.hosts import Hosts
from tests.conftest import ROOT

BIN = Path(sys.executable).parent
_PATH = f"{BIN}:{os.environ.get('PATH', '')}"


def derived_config(hosts: Hosts) -> dict[str, Any]:
    """The shipped file with these hosts in it, and with this environment in place of each host's own."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "cluster.onprem.yaml").read_text())
    head, *workers = (host.address for host in hosts.hosts)
    config["provider"] |= {"head_ip": head, "worker_ips": workers}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(hosts.key)}
    install, *others = config["setup_commands"]
    assert install == "make -C ~/tune-dd .venv/.installed-cluster"
    # The hosts' shells find what is installed here first, and run the project as it was brought to them.
    link = f"ln -sfn {BIN.parent} ~/tune-dd/.venv"
    path = "echo 'export PYTHONPATH=$HOME/tune-dd' | tee -a ~/.profile >> ~/.bashrc"
    config["setup_commands"] = [link, path, *others]
    for start in ("head_start_ray_commands", "worker_start_ray_commands"):
        # Two processors for three hosts, and little room in /dev/shm.
        config[start] = [
            f"{line} --num-cpus=1 --object-store-memory=100000000" if "ray start" in line else line
            for line in config[start]
        ]
    config["head_start_ray_commands"] = [
        line.replace("--num-cpus=0 ", "") for line in config["head_start_ray_commands"]
    ]
    return config


@dataclass
class Launcher:
    """Somebody's own machine, from which a cluster is started.

    Attributes:
        file: the cluster's.
        home: of that somebody.
    """

    hosts: Hosts
    file: Path
    home: Path

    @classmethod
    def at(cls, hosts: Hosts, place: Path) -> Launcher:
        """A launcher with a token, and with the cluster's file."""
        launcher = cls(hosts, place / "cluster.yaml", place / "client")
        launcher.home.mkdir()
        launcher.file.write_text(yaml.safe_dump(derived_config(hosts), sort_keys=False, width=10_000))
        launcher.ray("get-auth-token", "--generate")
        return launcher

    def ray(self, *words: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
        """``ray WORDS`` there; it must end well."""
        environment = {
            **os.environ,
            "HOME": str(self.home),
            "PATH": _PATH,
            "RAY_UP_enable_autoscaler_v2": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        done = subprocess.run(
            ["ray", *words],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert done.returncode == 0, f"ray {' '.join(words)}\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
        return done

    def up(self) -> None:
        self.ray("up", "-y", "--no-config-cache", str(self.file))

    def on_head(self, command: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """A command in a login shell of the head, as in ``ray attach``."""
        return self.hosts.hosts[0].ssh(f"bash --login -c '{command}'", timeout_s)

    def wait_for(self, cpus: int, timeout_s: float = 120) -> None:
        """Until as many CPUs have joined."""
        deadline = time.monotonic() + timeout_s
        while f"/{cpus}.0 CPU" not in (status := self.on_head("ray status").stdout):
            assert time.monotonic() < deadline, status
            time.sleep(1)
