"""``cluster.yaml``: Ray accepts it, asks AWS for what it says, and opens nothing but SSH to others."""

from __future__ import annotations

import copy
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.test_check import lines
from tune_dd import check

pytest.importorskip("moto.server", reason="there is no moto: make test installs it")

from tests.cluster.aws_account import (
    BROUGHT,
    BUCKET,
    Cluster,
    account,
    filled_in,
    launched,
    make_worker_role,
    shipped,
    tags,
)

KINDS = ("head", "cpu", "gpu")


def test_ray_accepts_the_file_as_it_stands() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(shipped()))


def checked(text: str, place: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What ``tune-dd check`` finds to mend, for somebody with a token."""
    (place / ".ray").mkdir(exist_ok=True)
    (place / ".ray" / "auth_token").write_text("0" * 64)
    file = place / "cluster.yaml"
    file.write_text(text)
    code = check.main([str(file)])
    found = lines(capsys.readouterr().out, "mend")
    assert code == (2 if found else 0)
    return found


def test_check_has_nothing_to_mend_but_the_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    [line] = checked(filled_in().replace(BUCKET, "s3://YOUR-BUCKET/tune-dd"), tmp_path, capsys)
    assert re.search("names no bucket.*YOUR-BUCKET", line)
    assert checked(filled_in(), tmp_path, capsys) == []


@pytest.mark.parametrize(
    ("words", "instead", "told"),
    [
        ("RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled", "starts Ray without RAY_AUTH_MODE=token"),
        ("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0", "does not give --dashboard-host"),
    ],
)
def test_every_start_asks_for_the_token_and_keeps_the_dashboard_to_itself(
    words: str,
    instead: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    content = yaml.safe_load(filled_in())
    starts = [
        (where, number)
        for where in ("head_start_ray_commands", "worker_start_ray_commands")
        for number, command in enumerate(content[where])
        if "ray start" in command and words in command
    ]
    assert [where for where, _ in starts][:1] == ["head_start_ray_commands"]
    for where, number in starts:
        open_to_all = copy.deepcopy(content)
        open_to_all[where][number] = open_to_all[where][number].replace(words, instead)
        [line] = checked(yaml.safe_dump(open_to_all, width=10_000), tmp_path, capsys)
        assert where in line and told in line


def test_shells_of_a_node_know_the_bucket_and_this_ray(tmp_path: Path) -> None:
    """Run as Ray runs them over SSH, at two times, the second one with another bucket in the file."""
    from ray.autoscaler._private.command_runner import _with_interactive

    def on_node(command: str) -> str:
        # What SSH hands to the user's shell there.
        words = ["bash", "-c", " ".join(_with_interactive(command))]
        environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / ".bashrc").write_text("case $- in *i*) ;; *) return;; esac\n")
    (tmp_path / ".profile").write_text('. "$HOME/.bashrc"\n')
    bin_folder = tmp_path / "tune-dd" / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "ray").write_text("#!/bin/sh\necho $RAY_AUTH_MODE $TUNE_DD_STORAGE\n")
    (bin_folder / "ray").chmod(0o755)
    for bucket in ("s3://one/tune-dd", "s3://another/tune-dd"):
        commands = yaml.safe_load(filled_in().replace(BUCKET, bucket))["setup_commands"]
        for command in commands:
            if not command.startswith("make "):
                on_node(command)
        # As in docs/clusters.md: what stands between the quotes reaches the head as it is.
        assert on_node("ray job submit -- \\\n  python --storage $TUNE_DD_STORAGE") == f"token {bucket}\n"
    assert (tmp_path / ".profile").read_text().count("# tune-dd") == 1


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    place = tmp_path_factory.mktemp("aws")
    with account(place / "client"):
        make_worker_role()
        (place / "project").mkdir()
        (place / "project" / "cluster.yaml").write_text(filled_in())
        with launched(filled_in(), place / "project") as cluster:
            yield cluster


@pytest.mark.timeout(120)
class TestAccount:
    """What stands in an account afterwards."""

    def test_the_head_is_on_demand_and_workers_are_on_spot(self, cluster: Cluster) -> None:
        bought = {kind: one.get("InstanceLifecycle") for kind, one in cluster.instances().items()}
        assert bought == {"head": None, "cpu": "spot", "gpu": "spot"}
        kinds = shipped()["available_node_types"]  # moto takes any market for spot
        markets = [kinds[kind]["node_config"]["InstanceMarketOptions"] for kind in ("cpu", "gpu")]
        assert markets == [{"MarketType": "spot"}] * 2

    @pytest.mark.parametrize("kind", KINDS)
    def test_an_instance_has_what_the_file_says(self, cluster: Cluster, kind: str) -> None:
        import boto3

        said = shipped()["available_node_types"][kind]["node_config"]
        instance = cluster.instances()[kind]
        assert (instance["InstanceType"], instance["ImageId"]) == (said["InstanceType"], said["ImageId"])
        assert instance["KeyName"] == f"ray-autoscaler_{shipped()['provider']['region']}"
        # moto knows neither image: whether their own disks are called so, and fit, is not seen here.
        [device] = said["BlockDeviceMappings"]
        [mapped] = instance["BlockDeviceMappings"]
        [volume] = boto3.client("ec2").describe_volumes(VolumeIds=[mapped["Ebs"]["VolumeId"]])["Volumes"]
        found = {"VolumeSize": volume["Size"], "VolumeType": volume["VolumeType"]}
        found |= {"Encrypted": volume["Encrypted"]}
        found |= {"DeleteOnTermination": mapped["Ebs"]["DeleteOnTermination"]}
        assert (mapped["DeviceName"], found) == (device["DeviceName"], device["Ebs"])
        assert found["Encrypted"] and found["DeleteOnTermination"] and found["VolumeType"] == "gp3"
        wanted = {spec["ResourceType"]: tags(spec) for spec in said["TagSpecifications"]}
        assert set(wanted) == {"instance", "volume"} and all(wanted.values())
        assert wanted["instance"].items() <= tags(instance).items()
        assert wanted["volume"] == tags(volume)

    def test_the_head_has_rays_role_and_workers_that_of_the_bucket(self, cluster: Cluster) -> None:
        import boto3

        profiles = {
            kind: one["IamInstanceProfile"]["Arn"].rpartition("/")[2]
            for kind, one in cluster.instances().items()
        }
        assert profiles == {"head": "ray-autoscaler-v1", "cpu": "tune-dd-worker", "gpu": "tune-dd-worker"}
        # What Ray's role lacks and docs/clusters.md adds. Without it, no worker would start.
        iam = boto3.client("iam")
        allowed = set()
        for policy in iam.list_attached_role_policies(RoleName="ray-autoscaler-v1")["AttachedPolicies"]:
            version = iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
            held = iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)["PolicyVersion"]
            for statement in held["Document"]["Statement"]:
                actions = statement["Action"]
                allowed |= {actions} if isinstance(actions, str) else set(actions)
        assert {"ec2:*", "s3:*"} <= allowed
        assert not any(action.startswith(("iam:Pass", "iam:*", "ssm:")) for action in allowed)

    def test_trials_have_room_on_workers_alone(self, cluster: Cluster) -> None:
        brought = (cluster.head.home / BROUGHT).read_text()
        kinds = yaml.safe_load(brought)["available_node_types"]
        cpus = {kind: said["resources"]["CPU"] for kind, said in kinds.items()}
        gpus = {kind: said["resources"].get("GPU", 0) for kind, said in kinds.items()}
        assert cpus["head"] == gpus["head"] == gpus["cpu"] == 0
        assert min(cpus["cpu"], cpus["gpu"], gpus["gpu"]) > 0
        assert all(kinds[kind]["min_workers"] == 0 < kinds[kind]["max_workers"] for kind in ("cpu", "gpu"))

    def test_trials_that_wait_bring_workers_of_their_kind(self, cluster: Cluster) -> None:
        assert cluster.started_for([{"CPU": 1}]) == {"cpu": 1}
        assert cluster.started_for([{"CPU": 1, "GPU": 1}] * 2 + [{"CPU": 1}]) == {"gpu": 2}
        many = cluster.started_for([{"CPU": 1}] * 100)
        assert many.keys() == {"cpu"} and 1 < many["cpu"] <= shipped()["max_workers"]

    def test_the_head_is_started_with_the_token_and_the_second_autoscaler(self, cluster: Cluster) -> None:
        assert (cluster.head.home / ".ray" / "auth_token").read_text() == "0" * 64
        started = shlex.split(cluster.head.commands[-1][-1])[0]
        assert "RAY_AUTH_MODE=token" in started and "--dashboard-host=127.0.0.1" in started
        assert "--num-cpus=0 --num-gpus=0" in started and "export RAY_enable_autoscaler_v2=1" in started

    def test_from_outside_ssh_alone_is_open(self, cluster: Cluster) -> None:
        assert {
            group["GroupId"] for one in cluster.instances().values() for group in one["SecurityGroups"]
        } == {cluster.security_group()["GroupId"]}
        assert from_outside(cluster.security_group()) == [("tcp", 22, 22)]

    def test_rays_group_stays_as_somebody_narrowed_it(self, cluster: Cluster) -> None:
        import boto3
        from ray.autoscaler._private.aws.config import bootstrap_aws
        from ray.autoscaler._private.util import prepare_config

        ec2, group = boto3.client("ec2"), cluster.security_group()["GroupId"]
        ssh = {"GroupId": group, "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
        ec2.revoke_security_group_ingress(**ssh, CidrIp="0.0.0.0/0")
        ec2.authorize_security_group_ingress(**ssh, CidrIp="192.0.2.0/24")
        narrowed = cluster.security_group()["IpPermissions"]
        again = bootstrap_aws(prepare_config(yaml.safe_load(filled_in())))
        assert again["available_node_types"]["head"]["node_config"]["SecurityGroupIds"] == [group]
        assert cluster.security_group()["IpPermissions"] == narrowed
        assert "0.0.0.0/0" not in str(narrowed) and "192.0.2.0/24" in str(narrowed)

    def test_no_node_that_ends_is_kept(self, cluster: Cluster) -> None:
        """The last one, as it ends them: workers as the autoscaler does, the head as ray down does."""
        there = {kind: one["InstanceId"] for kind, one in cluster.instances().items()}
        cluster.autoscaler.terminate([there["cpu"], there["gpu"]], request_id="2")
        deadline = time.monotonic() + 30
        while set(cluster.autoscaler.get_non_terminated()) != {there["head"]}:
            assert time.monotonic() < deadline, cluster.autoscaler.poll_errors()
            time.sleep(0.05)
        cluster.provider.terminate_nodes([there["head"]])
        states = {kind: one["State"]["Name"] for kind, one in cluster.instances().items()}
        assert states == dict.fromkeys(KINDS, "terminated")


def from_outside(group: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Protocols and ports that are open to any address; all else must be open to the group itself alone."""
    opened = []
    for rule in group["IpPermissions"]:
        assert {pair["GroupId"] for pair in rule["UserIdGroupPairs"]} <= {group["GroupId"]}
        assert not rule["PrefixListIds"]
        if rule["IpRanges"] or rule["Ipv6Ranges"]:
            opened.append((rule["IpProtocol"], rule["FromPort"], rule["ToPort"]))
    return opened
