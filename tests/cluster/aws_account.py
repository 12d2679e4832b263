"""An AWS account that moto plays on this machine, and what Ray makes of ``cluster.yaml`` there.

A mock, as nobody else says for nothing whether AWS is asked for what the file says. Nobody can reach its
instances: what Ray would run on the head is kept, and not run.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from tests.conftest import ROOT

BUCKET = "s3://ours/tune-dd"
BROUGHT = "ray_bootstrap_config.yaml"
"""What the head knows of the file."""


def shipped() -> dict[str, Any]:
    """What ``cluster.yaml`` says, as it lies there."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return content


def filled_in() -> str:
    """The file's text for somebody who has a bucket."""
    text = (ROOT / "cluster.yaml").read_text()
    assert text.count("s3://YOUR-BUCKET/tune-dd") == 1
    return text.replace("s3://YOUR-BUCKET/tune-dd", BUCKET)


@dataclass
class Head:
    """Takes the place of ``subprocess`` for Ray: keeps what it would bring to the head, and run there.

    Attributes:
        home: of the head's user, with the files, but no folders, that Ray would copy there.
        commands: that Ray gave, one after another.
    """

    home: Path
    commands: list[list[str]] = field(default_factory=list)
    DEVNULL = subprocess.DEVNULL

    def check_call(self, command: list[str], **_: Any) -> int:
        self.commands.append(command)
        if command[0] == "rsync" and Path(command[-2]).is_file():
            there = self.home / command[-1].partition(":~/")[2]
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(command[-2], there)
        return 0


@dataclass(frozen=True)
class Cluster:
    """Launched with Ray's own code, as ``ray up`` and then the head's autoscaler launch it.

    Attributes:
        config: that ``ray up`` made of the file and the account.
        head: what came there.
        autoscaler: the head's provider of nodes, which launches and ends workers.
        provider: Ray's of AWS.
    """

    config: dict[str, Any]
    head: Head
    autoscaler: Any
    provider: Any

    def instances(self) -> dict[str, dict[str, Any]]:
        """What AWS knows of each kind's latest instance."""
        reservations = boto3.client("ec2").describe_instances()["Reservations"]
        return {
            tags(instance)["ray-user-node-type"]: instance
            for reservation in reservations
            for instance in reservation["Instances"]
        }

    def started_for(self, trials: list[dict[str, float]]) -> dict[str, int]:
        """How many workers of each kind the autoscaler, with none there, starts for trials that wait."""
        from ray.autoscaler.v2.instance_manager.config import FileConfigReader
        from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
        from ray.autoscaler.v2.utils import ResourceRequestUtil
        from ray.core.generated.autoscaler_pb2 import GangResourceRequest

        said = FileConfigReader(str(self.head.home / BROUGHT)).get_cached_autoscaling_config()
        groups = [  # as Tune has one for each trial
            GangResourceRequest(bundle_selectors=[{"resource_requests": [ResourceRequestUtil.make(trial)]}])
            for trial in trials
        ]
        request = SchedulingRequest(
            said.disable_launch_config_check(),
            said.get_node_type_configs(),
            max_num_nodes=said.get_max_num_nodes(),
            gang_resource_requests=groups,
        )
        reply = ResourceDemandScheduler().schedule(request)
        assert reply.infeasible_gang_resource_requests == []
        return {launch.instance_type: launch.count for launch in reply.to_launch}

    def security_group(self) -> dict[str, Any]:
        """The one that all nodes are in."""
        groups = {
            group for kind in self.config["available_node_types"].values()
            for group in kind["node_config"]["SecurityGroupIds"]
        }  # fmt: skip
        [found] = boto3.client("ec2").describe_security_groups(GroupIds=list(groups))["SecurityGroups"]
        return dict(found)


def tags(resource: dict[str, Any]) -> dict[str, str]:
    """By name."""
    return {tag["Key"]: tag["Value"] for tag in resource["Tags"]}


@contextlib.contextmanager
def account(home: Path) -> Iterator[None]:
    """An empty account that everything in this process is in, for somebody with this home and a token."""
    from moto.server import ThreadedMotoServer
    from ray.autoscaler._private.aws import config, node_provider, utils
    from ray.autoscaler._private.providers import _clear_provider_cache

    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text("0" * 64)
    with pytest.MonkeyPatch.context() as patch:
        # Ray's role gets policies of AWS's own; instances of a type that AWS does not have are refused.
        patch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
        patch.setattr("moto.settings.EC2_ENABLE_INSTANCE_TYPE_VALIDATION", True)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        settings = {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": shipped()["provider"]["region"],
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "HOME": str(home),
        }
        for name, value in settings.items():
            patch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        # Ray gives AWS time to spread a new role, and collects tags for a second.
        patch.setattr(config, "time", _NoTime)
        patch.setattr(node_provider, "TAG_BATCH_DELAY", 0)
        try:
            yield
        finally:
            server.stop()
            _clear_provider_cache()
            for cache in (utils.resource_cache, utils.client_cache, config._get_subnets_or_die):
                cache.cache_clear()


class _NoTime:
    @staticmethod
    def sleep(_: float) -> None:
        return


def make_worker_role() -> None:
    """As docs/clusters.md says."""
    iam = boto3.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName="tune-dd-worker", AssumeRolePolicyDocument=document)
    iam.create_instance_profile(InstanceProfileName="tune-dd-worker")
    iam.add_role_to_instance_profile(InstanceProfileName="tune-dd-worker", RoleName="tune-dd-worker")


@contextlib.contextmanager
def launched(text: str, place: Path) -> Iterator[Cluster]:
    """The head by ``ray up``, run in ``place``, then by the head's autoscaler one worker of each kind."""
    from ray.autoscaler._private.commands import _bootstrap_config, get_or_create_head_node
    from ray.autoscaler._private.providers import _get_node_provider
    from ray.autoscaler.v2.instance_manager.config import FileConfigReader
    from ray.autoscaler.v2.instance_manager.node_provider import NodeProviderAdapter

    config = _bootstrap_config(yaml.safe_load(text), no_config_cache=True)
    head = Head(place / "head")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)  # as the project, which Ray reads from end to end
        get_or_create_head_node(
            config, "cluster.yaml", no_restart=False, restart_only=False, yes=True,
            override_cluster_name=None, _runner=head,
        )  # fmt: skip
        patch.setenv("HOME", str(head.home))  # from here on this is the head
        reader = FileConfigReader(str(head.home / BROUGHT))
        provider = _get_node_provider(config["provider"], config["cluster_name"])
        autoscaler = NodeProviderAdapter(provider, reader)
        for kind in config["available_node_types"]:
            if kind != config["head_node_type"]:
                # What launch() does in a thread: moto shows an instance before it has everything.
                autoscaler._launch_nodes_by_type(kind, 1, "1")
        assert [error.__cause__ for error in autoscaler.poll_errors()] == []
        yield Cluster(config, head, autoscaler, provider)
