"""``tune-dd check`` names each planted fault, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.hosts import Host, Hosts, made_hosts, require_hosts
from tests.cluster.launcher import BIN
from tests.conftest import ROOT
from trainables.buckets import Bucket
from tune_dd import check

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
RAY = f"RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 {BIN / 'ray'} start --object-store-memory=100000000"


def lines(out: str, kind: str) -> list[str]:
    return [line.removeprefix(kind).strip() for line in out.splitlines() if line.startswith(kind)]


@pytest.fixture
def launch_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The shipped file's content, for somebody with a token."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    content: dict[str, Any] = yaml.safe_load((ROOT / "cluster.onprem.yaml").read_text())
    return content


def without_machines(
    content: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """What is to be mended in a file of machines that nobody can reach, but for that."""
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(content, width=10_000))
    assert check.main([str(path)]) == 2
    return [line for line in lines(capsys.readouterr().out, "mend") if "over SSH" not in line]


def test_the_shipped_file_has_nothing_to_mend_but_its_addresses(
    launch_file: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert without_machines(launch_file, tmp_path, capsys) == []


def test_a_bucket_is_tried_from_here(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text((ROOT / "cluster.yaml").read_text().replace("YOUR-BUCKET", "ours"))
    assert check.main([str(file), "--storage", bucket.uri]) == 0
    assert f"{bucket.uri} can be written from here" in lines(capsys.readouterr().out, "ok")
    assert check.main([str(file), "--storage", "s3://no-such-bucket/results"]) == 2
    [line] = lines(capsys.readouterr().out, "mend")
    assert line.startswith("s3://no-such-bucket/results cannot be used (NO_SUCH_BUCKET")


def test_an_unknown_key_is_told(
    launch_file: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [line] = without_machines({**launch_file, "max_worker": 3}, tmp_path, capsys)
    assert re.search("refused by Ray.*'max_worker' was unexpected.*: mend that entry", line)


def test_a_cluster_without_a_token_is_told(
    launch_file: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    starts = launch_file["worker_start_ray_commands"]
    launch_file["worker_start_ray_commands"] = [line.replace("RAY_AUTH_MODE=token ", "") for line in starts]
    [line] = without_machines(launch_file, tmp_path, capsys)
    assert re.search(
        "worker_start_ray_commands in .* starts Ray without RAY_AUTH_MODE=token.*: put RAY_AUTH_MODE", line
    )
    launch_file["worker_start_ray_commands"] = starts
    (tmp_path / ".ray" / "auth_token").unlink()
    [line] = without_machines(launch_file, tmp_path, capsys)
    assert "auth_token holds no token" in line and "run ray get-auth-token --generate" in line


def test_an_open_dashboard_and_the_wrong_autoscaler_are_told(
    launch_file: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = launch_file["head_start_ray_commands"]
    head[-1] = head[-1].replace("127.0.0.1", "0.0.0.0").replace("RAY_enable_autoscaler_v2=0 ", "")
    open_door, autoscaler = without_machines(launch_file, tmp_path, capsys)
    assert "dashboard" in open_door and "second autoscaler" in autoscaler


def test_a_dead_address_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert check.main(["--address", "127.0.0.1:9", "--storage", str(tmp_path)]) == 2
    [line] = lines(capsys.readouterr().out, "mend")
    assert re.search("--address is 127.0.0.1:9.*must answer there: start one", line)


@dataclass
class Faulty:
    """Two hosts of three in a cluster, the second one with faults."""

    hosts: Hosts
    shared: Path
    place: Path

    def check(self, *words: str) -> str:
        """Run on the head, as its user."""
        command = (
            f"RAY_AUTH_MODE=token PYTHONPATH={ROOT} {BIN / 'python'} -m tune_dd.cli check {' '.join(words)}"
        )
        return self.hosts.hosts[0].ssh(command).stdout

    def file(self, head: str) -> Path:
        """A launch file of all three hosts."""
        content = yaml.safe_load((ROOT / "cluster.onprem.yaml").read_text())
        workers = [host.address for host in self.hosts.hosts[1:]]
        content["provider"] |= {"head_ip": head, "worker_ips": workers}
        content["auth"] = {"ssh_user": "root", "ssh_private_key": str(self.hosts.key)}
        path = self.place / "cluster.yaml"
        path.write_text(yaml.safe_dump(content, width=10_000))
        return path


def started(host: Host, command: str) -> None:
    done = host.ssh(command)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    require_hosts(None if FAKETIME else "there is no libfaketime: install it")
    place = tmp_path_factory.mktemp("faulty")
    # On the second host another numpy is found first, its clock is an hour ahead, and /tmp is small.
    other = place / "other" / "numpy-0.1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.1\n")
    with made_hosts(place / "hosts", 3, network=2) as hosts:
        head, worker, _ = hosts.hosts
        for host in hosts.hosts:
            (host.home / ".ray").mkdir()
            (host.home / ".ray" / "auth_token").write_text("0" * 64)
        started(head, f"{RAY} --head --num-cpus=1 --port=6379 --include-dashboard=false")
        small = place / "small"
        small.mkdir()
        started(worker, f"mount -t tmpfs -o size=64m tmpfs {small}")
        faults = f"PYTHONPATH={other.parent}:{ROOT} LD_PRELOAD={FAKETIME} FAKETIME=+1h TMPDIR={small}"
        started(worker, f"{faults} {RAY} --address={head.address}:6379 --num-cpus=1")
        yield Faulty(hosts, place / "shared", place)


@pytest.mark.slow
@pytest.mark.timeout(300)
class TestHosts:
    """Faults that take machines."""

    def test_faults_of_a_running_cluster(self, faulty: Faulty) -> None:
        head, worker, absent = faulty.hosts.hosts
        started(head, "touch /dev/shm/data")
        file = faulty.file(head.address)
        out = faulty.check(
            str(file), "--address", f"{head.address}:6379", "--storage", "/dev/shm/results",
            "--paths", "/dev/shm/data", "--gpus-per-trial", "1",
        )  # fmt: skip
        expected = [
            f"the node {worker.address} has numpy 0.1.*scores depend on it: install one version",
            f"--storage is /dev/shm/results, and the node {worker.address} cannot use it.*all machines share",
            f"/dev/shm/data is not to be read on the node {worker.address}.*put it on the shared folder",
            f"the node {worker.address} has 6. MB left in .*: make room",
            f"the clock of the node {worker.address} is 3,[56].. s off.*: set it",
            f"{absent.address} of the launch file did not join.*monitor.out",
            "a trial asks for 1 CPUs and 1 GPUs.*no node has both.*--gpus-per-trial",
        ]
        found = lines(out, "mend")
        assert len(found) == len(expected), out
        for line, words in zip(found, expected, strict=True):
            assert re.search(words, line), line
        assert f"the head {head.address} has the versions and the code that are here" in lines(out, "ok")
        assert out.rstrip().endswith("7 to mend")

    def test_a_storage_that_one_node_may_only_read(self, faulty: Faulty) -> None:
        head, worker, _ = faulty.hosts.hosts
        faulty.shared.mkdir()
        words = ("--address", f"{head.address}:6379", "--storage", str(faulty.shared))
        assert not any("--storage" in line for line in lines(faulty.check(*words), "mend"))
        started(worker, f"mount --bind {faulty.shared} {faulty.shared}")
        started(worker, f"mount -o remount,ro,bind {faulty.shared}")
        [line] = [line for line in lines(faulty.check(*words), "mend") if "--storage" in line]
        assert f"the node {worker.address} cannot use it (Read-only file system)" in line
        assert list(faulty.shared.iterdir()) == []

    def test_a_worker_that_cannot_resolve_the_head(self, faulty: Faulty) -> None:
        head, worker, other = faulty.hosts.hosts
        names = faulty.place / "etc_hosts"
        names.write_text(f"127.0.0.1 localhost\n{head.address} our-head\n")
        for host in (head, other):
            started(host, f"mount --bind {names} /etc/hosts")
        out = faulty.check(str(faulty.file("our-head")), "--storage", str(faulty.place / "common"))
        unresolved, *more = lines(out, "mend")
        assert re.search(f"{worker.address} cannot resolve the head's name our-head.*IP address", unresolved)
        assert more == []
        assert f"{other.address} sees {faulty.place / 'common'} and may write there" in lines(out, "ok")
