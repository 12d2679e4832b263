"""A full disk and Ctrl-C: one line, an exit code, and a sweep that goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sweep import sweeps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def last_line(text: str) -> str:
    return text.rstrip().splitlines()[-1]


def fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(1 << 16))


@pytest.mark.parametrize("kind", sweeps.DISTURBED)
def test_full_disk_stops_the_sweep_and_it_resumes(
    kind: str, tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    disk, log = small_disk("48m"), tmp_path / "log"
    folder = disk / "results" / "crowded"
    words, trials = sweeps.DISTURBED[kind]
    sweep = sweeps.start(disk / "results", "--name", "crowded", *words, log=log, kind=kind)
    sweeps.wait_for(lambda: any(e["event"] == "ended" for e in sweeps.events(folder)), sweep, log)
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        fill_up(filler)
    text = sweeps.finish(sweep, log, code=1)
    assert "is full after" in last_line(text)
    assert "--resume --name crowded" in last_line(text)
    assert "Traceback" not in text
    sweeps.check_checkpoints_are_there(folder)
    filler.unlink()
    log.unlink()
    sweeps.finish(sweeps.start(disk / "results", "--resume", "--name", "crowded", log=log, kind=kind), log)
    sweeps.check_each_trial_once(folder, trials)
    assert {trial["status"] for trial in sweeps.summary(folder)["trials"]} == {"completed"}


@pytest.mark.parametrize(
    ("kind", "number"),
    [("latent", signal.SIGINT), ("latent", signal.SIGTERM), ("environment", signal.SIGINT)],
)
def test_interrupted_sweep_ends_in_order_and_resumes(
    kind: str, number: signal.Signals, tmp_path: Path
) -> None:
    storage, log = tmp_path / "results", tmp_path / "log"
    words, trials = sweeps.DISTURBED[kind]
    sweep = sweeps.start(storage, "--name", "stopped", *words, log=log, kind=kind)
    folder = storage / "stopped"
    sweeps.wait_for(lambda: any(e["event"] == "ended" for e in sweeps.events(folder)), sweep, log)
    os.kill(sweep.pid, number)
    time.sleep(0.5)
    assert "stopping; trials that run stay resumable" in log.read_text(), "told at once"
    text = sweeps.finish(sweep, log, code=130, timeout_s=20)
    assert "interrupted after" in last_line(text)
    assert "Traceback" not in text
    states = [trial["status"] for trial in sweeps.summary(folder)["trials"]]
    assert "completed" in states
    assert "unfinished" in states
    log.unlink()
    sweeps.finish(sweeps.start(storage, "--resume", "--name", "stopped", log=log, kind=kind), log)
    sweeps.check_each_trial_once(folder, trials)


@pytest.mark.parametrize("kind", sweeps.DISTURBED)
def test_a_sweep_whose_ray_died_says_so_and_resumes(kind: str, tmp_path: Path) -> None:
    storage, log = tmp_path / "results", tmp_path / "log"
    words, trials = sweeps.DISTURBED[kind]
    sweep = sweeps.start(storage, "--name", "orphan", *words, log=log, kind=kind)
    folder = storage / "orphan"
    sweeps.wait_for(lambda: any(e["event"] == "ended" for e in sweeps.events(folder)), sweep, log)
    (raylet,) = (pid for pid, name in sweeps.descendants(sweep.pid).items() if "raylet/raylet " in name)
    workers = sweeps.trial_workers(sweep.pid)
    for process in (raylet, *workers):  # left alone, the workers might end a sweep as short as this one
        sweeps.kill(process)
    text = sweeps.finish(sweep, log, code=1, timeout_s=120)
    assert "Ray's node died after" in last_line(text)
    assert "--resume --name orphan" in last_line(text)
    assert "Traceback" not in text
    log.unlink()
    sweeps.finish(sweeps.start(storage, "--resume", "--name", "orphan", log=log, kind=kind), log)
    sweeps.check_each_trial_once(folder, trials)
    assert {trial["status"] for trial in sweeps.summary(folder)["trials"]} == {"completed"}
