"""Hosts that share nothing but a bucket: when the head is gone for good, another host goes on as the head."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.hosts import Host, Hosts, made_hosts, require_hosts
from tests.cluster.launcher import BIN
from tests.conftest import ROOT, Command
from tests.object_store import new_bucket, object_store
from trainables.buckets import Bucket

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TRIALS = 5
WORDS = (
    "--searcher random --scheduler none --num-trials 5 --proto-steps-base 500 --steps-per-iteration 100"
    " --name far"
)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    require_hosts()
    with made_hosts(tmp_path / "hosts", 2, network=3) as made:
        for host in made.hosts:
            (host.home / ".ray").mkdir()
            (host.home / ".ray" / "auth_token").write_text("0" * 64)
        yield made


def events(bucket: Bucket) -> list[dict[str, Any]]:
    lines = (bucket.read("far/journal.jsonl") or b"").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def test_another_host_goes_on_where_the_head_is_gone(
    hosts: Hosts, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with object_store(tmp_path / "store.log", hosts.outside) as address:
        first, second = hosts.hosts
        access = {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
        for name, value in access.items():
            monkeypatch.setenv(name, value)
        bucket = Bucket(new_bucket(address))
        given = " ".join(f"{name}={value}" for name, value in access.items())
        given += f" RAY_AUTH_MODE=token OMP_NUM_THREADS=1 PYTHONPATH={ROOT}"

        def ray_start(host: Host, words: str) -> None:
            limits = "--num-cpus=1 --object-store-memory=100000000"
            done = host.ssh(f"{given} {BIN / 'ray'} start {words} {limits}")
            assert done.returncode == 0, done.stdout + done.stderr

        def tune_dd(host: Host, verb: str, words: str) -> str:
            where = f"--address auto --storage {bucket.uri}"
            done = host.ssh(f"{given} {BIN / 'python'} -m tune_dd.cli {verb} {words} {where}", 300)
            return done.stdout + done.stderr

        ray_start(first, "--head --port=6379 --include-dashboard=false")
        ray_start(second, f"--address={first.address}:6379")
        looked = tune_dd(first, "check", "")
        assert f"ok    the node {second.address} can use the storage" in looked, looked
        threading.Thread(target=tune_dd, args=(first, "search", WORDS), daemon=True).start()
        deadline = time.monotonic() + 200
        while sum(event["event"] == "ended" for event in events(bucket)) < 2:
            assert time.monotonic() < deadline, events(bucket)
            time.sleep(0.5)
        first.die()

        second.ssh(f"{given} {BIN / 'ray'} stop --force")
        ray_start(second, "--head --port=6379 --include-dashboard=false")
        resumed = tune_dd(second, "search", "--resume --name far")
        assert "to see whether" in resumed and "resumed: " in resumed, resumed
        ended = Counter(event["trial"] for event in events(bucket) if event["event"] == "ended")
        assert ended == {f"{trial:05d}": 1 for trial in range(TRIALS)}
        summary = json.loads(bucket.read("far/sweep_summary.json") or b"")
        assert {trial["status"] for trial in summary["trials"]} == {"completed"}
        # Every trial's folder came with the head's death, or was written after it.
        runs = {f"far/{trial['run']}/distillation_artifacts.pt" for trial in summary["trials"]}
        assert runs <= {f"far/{name}" for name in (bucket / "far").files()}
        # One encoder, trained once: manifests tell of the seconds that it took.
        [key] = (bucket / ".cache" / "latents").children()
        own = second.home / ".cache" / "tune-dd" / "latents" / key / "manifest.json"
        assert bucket.read(f".cache/latents/{key}/manifest.json") == own.read_bytes()

        done = command("search", *WORDS.split(), "--storage", str(tmp_path / "undisturbed"))
        assert done.returncode == 0, done.stderr
        alone = json.loads((tmp_path / "undisturbed" / "far" / "sweep_summary.json").read_text())
        of = [{trial["trial_id"]: trial["scores"] for trial in one["trials"]} for one in (summary, alone)]
        assert of[0] == of[1]
