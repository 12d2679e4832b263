"""Ray for the time of a sweep: an own instance on this machine, or a running cluster."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trainables.errors import InputError
from tune_dd.sweeps.settings import SweepConfig

CONNECT_TIMEOUT_S = 3.0
_QUIET: Any = {"log_to_driver": False, "logging_level": logging.CRITICAL}
JOIN_TIMEOUT_S = 12.0
STARTS = 2

# Set before Ray's processes start, as they inherit them.
ENVIRONMENT = {
    # Trials read nothing by relative paths, and a folder of its own for each is work for nothing.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # A sweep resumes from its journal; Tune's own snapshot costs time and serves nobody.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_THRESHOLD_S": "10",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
_JOIN = """
import json, logging, sys
import ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
total = ray.cluster_resources()
nodes = sum(node["Alive"] for node in ray.nodes())
print(json.dumps({"cpus": total.get("CPU", 0), "gpus": total.get("GPU", 0), "nodes": nodes}))
"""


@dataclass(frozen=True)
class Resources:
    """What trials can be given."""

    cpus: int
    gpus: int


def quiet_ray() -> None:
    """Ray's notes on tokens, exporters and its own progress are noise beside the sweep's one line."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in ("ray", "ray.tune", "ray.data", "ray.train", "ray.rllib"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    import ray._private.worker

    # Ray prints a paragraph for every worker that dies, whatever log_to_driver says. The sweep has a line
    # of its own for that.
    ray._private.worker.print_to_stdstream = lambda data, ignore_prefix: None


def resources(config: SweepConfig) -> Resources:
    """CPUs and GPUs of this machine, or of the cluster at ``--address``.

    Raises:
        InputError: if nothing answers at the address, or it is a cluster of several machines.
    """
    if config.address is None:
        return Resources(local_cpus(), _local_gpus() if config.gpus_per_trial else 0)
    found = _join(config.address)
    if found["nodes"] > 1:
        raise InputError(
            f"--address is {config.address}, a cluster of {found['nodes']:.0f} machines",
            "what trials share, and results, lie on one machine's disk in this version",
            "give a cluster of one machine, or leave --address out",
        )
    return Resources(int(found["cpus"]), int(found["gpus"]))


def local_cpus() -> int:
    """CPUs that this process may use: by its affinity, and by the quota of its container."""
    from ray._private.utils import get_num_cpus  # knows both versions of control groups

    allowed = get_num_cpus(override_docker_cpu_warning=True)
    return max(min(len(os.sched_getaffinity(0)), int(allowed)), 1)


def _local_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _join(address: str) -> dict[str, float]:
    """Join and leave the cluster in a process of its own, as Ray waits for minutes where nothing answers."""
    problem = ""
    if address != "auto":
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
            problem = str(error)
    if not problem:
        command = [sys.executable, "-c", _JOIN, address]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=JOIN_TIMEOUT_S)
            if done.returncode == 0:
                answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
                return answer
            problem = (done.stderr.strip().splitlines() or ["Ray gave no reason"])[-1]
        except subprocess.TimeoutExpired:
            problem = "what listens there does not answer as Ray does"
    raise InputError(
        f"--address is {address} ({problem})",
        "a Ray cluster must answer there",
        "start one with ray start --head, or leave --address out",
    )


@contextlib.contextmanager
def ray_session(config: SweepConfig, workers: int, available: Resources) -> Iterator[None]:
    """Ray, for the time of the block."""
    if config.address is None:
        with local_session(workers * config.cpus_per_trial, available.gpus):
            yield
        return
    quiet_ray()
    import ray

    ray.init(address=config.address, **_QUIET)
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def local_session(cpus: int, gpus: int = 0) -> Iterator[None]:
    """An instance of Ray on this machine, for the time of the block.

    Raises:
        InputError: the machine is too busy to start it.
    """
    quiet_ray()
    import ray

    try:
        _start(cpus, gpus)
        yield
    finally:
        ray.shutdown()


def _start(cpus: int, gpus: int) -> None:
    """Start Ray, which gives up after half a minute: a second time where it did."""
    import ray

    for _ in range(STARTS):
        try:
            # "local": without it Ray joins any cluster that somebody started on this machine.
            ray.init(address="local", num_cpus=cpus, num_gpus=gpus, include_dashboard=False, **_QUIET)
        except Exception as error:  # no class of its own
            if "timed out during startup" not in str(error):
                raise
            ray.shutdown()
        else:
            return
    raise InputError(
        f"Ray did not start on this machine in {STARTS} times half a minute",
        "it needs a processor for that",
        "run it again when the machine is less busy",
    )
