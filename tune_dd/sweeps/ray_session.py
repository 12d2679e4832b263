"""Ray for the time of a sweep: an own instance on this machine, or a running cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trainables.errors import InputError
from tune_dd.clusters.nodes import Node
from tune_dd.clusters.ready import ready_nodes
from tune_dd.sweeps.settings import SweepConfig

_QUIET: Any = {"log_to_driver": False, "logging_level": logging.CRITICAL}
STARTS = 2
NAMESPACE = "tune-dd"
"""Of named actors; sweeps that run on one cluster at a time share it."""

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
    # Every report has the score that is maximised: the trainables see to it.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@dataclass(frozen=True)
class Resources:
    """What trials can be given, machine by machine."""

    nodes: tuple[Node, ...]

    @property
    def cpus(self) -> int:
        """Of all machines."""
        return sum(node.cpus for node in self.nodes)

    @property
    def gpus(self) -> int:
        """Of all machines."""
        return sum(node.gpus for node in self.nodes)


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
    """CPUs and GPUs of this machine, or of the nodes of the cluster at ``--address``.

    Raises:
        InputError: as :func:`tune_dd.clusters.ready.ready_nodes`.
    """
    if config.address is not None:
        return Resources(ready_nodes(config.address, config.storage))
    return Resources((Node("here", local_cpus(), _local_gpus() if config.gpus_per_trial else 0, head=True),))


def local_cpus() -> int:
    """CPUs that this process may use: by its affinity, and by the quota of its container."""
    from ray._private.utils import get_num_cpus  # knows both versions of control groups

    allowed = get_num_cpus(override_docker_cpu_warning=True)
    return max(min(len(os.sched_getaffinity(0)), int(allowed)), 1)


def _local_gpus() -> int:
    import torch

    return torch.cuda.device_count()


@contextlib.contextmanager
def cluster_session(address: str) -> Iterator[None]:
    """A running cluster, for the time of the block."""
    quiet_ray()
    import ray

    # Its workers were not started by this process, and inherit nothing.
    ray.init(address=address, namespace=NAMESPACE, runtime_env={"env_vars": ENVIRONMENT}, **_QUIET)
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def local_session(cpus: int, gpus: int = 0) -> Iterator[None]:
    """An instance of Ray on this machine, for the time of the block, which SIGTERM ends as Ctrl-C does.

    Raises:
        InputError: the machine is too busy to start it.
    """
    quiet_ray()
    import ray

    here = threading.current_thread() is threading.main_thread()
    former = signal.getsignal(signal.SIGTERM)
    try:
        _start(cpus, gpus)
        if here:
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # Ray's own dumps all stacks
        yield
    finally:
        ray.shutdown()
        if here:
            signal.signal(signal.SIGTERM, former)


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
