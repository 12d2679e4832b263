"""A sweep across three hosts, one of which dies, then the head: every trial is there once, with its score."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.hosts import made_hosts, require_hosts
from tests.cluster.launcher import BIN, Launcher
from tests.conftest import Command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LATENT = (
    "--searcher random --scheduler none --num-trials 9 --proto-steps-base 1500 --steps-per-iteration 100"
    " --name latent"
)
ENVIRONMENT = (
    "--searcher random --scheduler none --num-trials 6 --iterations 100 --iterations-per-report 10 --name env"
)


STRANGER = Path(__file__).parent / "stranger.py"


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    require_hosts()
    with made_hosts(tmp_path / "hosts", 3, network=1) as hosts:
        yield Launcher.at(hosts, tmp_path)


def events(storage: Path, name: str) -> list[dict[str, Any]]:
    path = storage / name / "journal.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def number(storage: Path, name: str, event: str) -> int:
    return sum(entry["event"] == event for entry in events(storage, name))


def reporting(lately: list[dict[str, Any]]) -> set[str]:
    """Trials that have reported and not ended."""
    reported, ended = ({e["trial"] for e in lately if e["event"] == kind} for kind in ("reported", "ended"))
    return reported - ended


def wait(condition: Callable[[], bool], launcher: Launcher, timeout_s: float = 180) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(
                launcher.on_head("tail -n 15 /tmp/ray/session_latest/logs/job-driver*; ray status").stdout
            )
        time.sleep(0.2)


def submit(launcher: Launcher, storage: Path, words: str) -> None:
    """As docs/clusters.md says."""
    search = f"python ~/tune-dd/tune_dd/search.py {words} --address auto --storage {storage}"
    launcher.ray("exec", str(launcher.file), f"ray job submit --no-wait -- {search}")


def scores(storage: Path) -> dict[str, dict[str, float]]:
    summary = json.loads((storage / "latent" / "sweep_summary.json").read_text())
    return {trial["trial_id"]: trial["scores"] for trial in summary["trials"]}


def test_hosts_that_die_cost_no_trial(launcher: Launcher, tmp_path: Path, command: Command) -> None:
    started = time.monotonic()
    storage, (head, doomed, _) = tmp_path / "shared", launcher.hosts.hosts
    launcher.up()
    submit(launcher, storage, LATENT)
    wait(lambda: number(storage, "latent", "reported") > 0, launcher, 90)
    print(f"first report {time.monotonic() - started:.0f} s after ray up")
    without_token = f"HOME=/nowhere RAY_AUTH_MODE=disabled {BIN / 'python'} {STRANGER} {head.address}:6379"
    assert head.ssh(without_token).stdout.splitlines() == ["GCS: refused", "dashboard: 401", "jobs: refused"]
    launcher.wait_for(cpus=3)
    joined = len(events(storage, "latent"))
    # A processor each: three trials that report are on three hosts.
    wait(lambda: len(reporting(events(storage, "latent")[joined:])) >= 3, launcher)
    doomed.die()
    wait(lambda: number(storage, "latent", "broke_off") > 0, launcher)
    doomed.boot()
    submit(launcher, storage, f"environment --env CartPole-v1 {ENVIRONMENT}")
    wait(lambda: number(storage, "latent", "node_lost") == number(storage, "latent", "broke_off"), launcher)
    wait(lambda: number(storage, "env", "saved") > 0, launcher)
    head.die()
    head.boot()
    launcher.up()
    for name in ("latent", "env"):
        submit(launcher, storage, f"{'environment ' if name == 'env' else ''}--resume --name {name}")
    for name in ("latent", "env"):
        summary = storage / name / "sweep_summary.json"
        wait(summary.exists, launcher, 300)
    for name, trials in (("latent", 9), ("env", 6)):
        ended = Counter(entry["trial"] for entry in events(storage, name) if entry["event"] == "ended")
        assert ended == {f"{trial:05d}": 1 for trial in range(trials)}
        assert {e["status"] for e in events(storage, name) if e["event"] == "ended"} == {"completed"}
    print(f"ended {time.monotonic() - started:.0f} s after ray up")
    # Of an encoder trained twice the manifests would differ, by the seconds that it took.
    caches = [host.home / ".cache" / "tune-dd" for host in launcher.hosts.hosts] + [storage / ".cache"]
    manifests = [list((cache / "latents").glob("*/manifest.json")) for cache in caches]
    assert [len(found) for found in manifests] == [1] * 4
    assert len({found[0].read_text() for found in manifests}) == 1
    done = command("search", *LATENT.split(), "--storage", str(tmp_path / "undisturbed"))
    assert done.returncode == 0, done.stderr
    assert scores(storage) == scores(tmp_path / "undisturbed")
