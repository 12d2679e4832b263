"""Sweeps of a few seconds, as processes that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
# Two cells of two methods, with and without the cycle term. A trial makes many short iterations, so that
# kills fall at all stages of one.
GRID = (
    "--searcher grid --methods implicit kernel_ridge --prototypes 1 2 --proto-steps-base 60 "
    "--steps-per-iteration 5 --ae-epochs 2"
).split()
GRID_TRIALS = 8
# Runs of a second: a few reports of a few meta-iterations each.
ENVIRONMENT = (
    "--iterations 4 --iterations-per-report 1 --num-envs 10 --rollout-steps 10 --probe-learners 4"
).split()
# As many trials of each kind that something may happen to, half a dozen reports or more each.
DISTURBED = {
    "latent": (GRID, GRID_TRIALS),
    "environment": (
        [*ENVIRONMENT, "--iterations", "16", "--num-trials", "5", "--scheduler", "none"],
        5,
    ),
}
ARTEFACTS = {"latent": "distillation_artifacts.pt", "environment": "distilled_set.pt"}
Process = subprocess.Popen[bytes]
STARTED: list[Process] = []
"""Every sweep that :func:`start` started; those that a failed test left are killed after it."""
TIMINGS = ("cpu_s", "optimise_cpu_s")


def start(storage: Path, *words: str, log: Path, kind: str = "latent") -> Process:
    """``tune-dd search`` as a process of its own, its output in ``log``."""
    return launch("search", kind, "--storage", str(storage), *words, cwd=storage.parent, log=log)


def launch(verb: str, *words: str, cwd: Path, log: Path) -> Process:
    """A command as a process of its own that can be killed, its output in ``log``."""
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "tune_dd" / f"{verb}.py"), *words],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    STARTED.append(process)
    return process


def finish(process: Process, log: Path, code: int = 0, timeout_s: float = 240) -> str:
    """Wait for a sweep and return its output.

    Raises:
        AssertionError: it ended with another code.
    """
    found = process.wait(timeout_s)
    text = log.read_text()
    assert found == code, text
    return text


def events(folder: Path) -> list[dict[str, Any]]:
    """The journal's whole lines."""
    path = folder / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def wait_for(condition: Callable[[], bool], process: Process, log: Path, timeout_s: float = 300) -> None:
    """Wait until something holds; fails where the process ends or the time runs out before."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, f"the sweep ended before it could be disturbed:\n{log.read_text()}"
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def summary(folder: Path) -> dict[str, Any]:
    """``sweep_summary.json``."""
    content: dict[str, Any] = json.loads((folder / "sweep_summary.json").read_text())
    return content


def scores(folder: Path) -> dict[str, dict[str, float]]:
    """What each trial ended with, by its id."""
    return {trial["trial_id"]: trial["scores"] for trial in summary(folder)["trials"]}


def check_each_trial_once(folder: Path, total: int) -> None:
    """Every trial is there once, ended once, and has one folder with its artefacts."""
    kind, trials = summary(folder)["kind"], summary(folder)["trials"]
    assert [trial["trial_id"] for trial in trials] == [f"{number:05d}" for number in range(total)]
    recorded = Counter((event["event"], event["trial"]) for event in events(folder))
    for trial in trials:
        assert recorded["proposed", trial["trial_id"]] == 1
        assert recorded["ended", trial["trial_id"]] == 1
        assert (folder / trial["run"] / ARTEFACTS[kind]).stat().st_size > 0
        run = json.loads((folder / trial["run"] / "experiment_summary.json").read_text())
        assert run["trial_id"] == trial["trial_id"]
        assert run["config"] == trial["config"]
        if kind == "latent":
            check_accuracies(run, trial)
        else:
            assert run["scores"] == trial["scores"]
    runs = sorted(path.parent.relative_to(folder) for path in folder.rglob("experiment_summary.json"))
    assert [str(run) for run in runs] == sorted(trial["run"] for trial in trials)


def check_accuracies(run: dict[str, Any], trial: dict[str, Any]) -> None:
    """A trial's folder holds the scores of the sweep's summary, and accuracies by class that agree."""
    method = trial["config"]["method"]
    assert run["scores"][method] == trial["scores"]
    by_class = run["per_class_accuracy"][method]
    mean = sum(by_class.values()) / len(by_class)
    assert abs(mean - trial["scores"]["balanced_accuracy"]) < 1e-9


def check_iterations_went_on(folder: Path) -> None:
    """No trial fell back further than to the iteration after its last checkpoint."""
    reached: dict[str, int] = {}
    saved: dict[str, int] = {}
    for event in events(folder):
        trial = event["trial"]
        if event["event"] == "reported":
            assert event["iteration"] in (saved.get(trial, 0) + 1, saved.get(trial, 0))
            reached[trial] = event["iteration"]
        elif event["event"] == "saved":
            saved[trial] = reached[trial]


def check_checkpoints_are_there(folder: Path) -> None:
    """Every checkpoint that the journal names last is there: no trial would begin again."""
    named = {event["trial"]: event["checkpoint"] for event in events(folder) if event["event"] == "saved"}
    assert [name for name in named.values() if not (folder / name).is_dir()] == []


def descendants(pid: int) -> dict[int, str]:
    """Processes started by ``pid``, directly or not, with their names."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            status = (place / "stat").read_text()
            names[int(place.name)] = (
                (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(place.name)] = int(status.rpartition(")")[2].split()[1])
    found: set[int] = set()
    edge: Sequence[int] = [pid]
    while edge:
        edge = [child for child, parent in parents.items() if parent in edge and child not in found]
        found.update(edge)
    return {child: names[child] for child in found if child in names}


def trial_workers(pid: int) -> list[int]:
    """The processes that run trials of the sweep ``pid``."""
    trainables = ("ray::LatentDistillation", "ray::EnvironmentDistillation")
    return sorted(child for child, name in descendants(pid).items() if name.startswith(trainables))


def ray_processes(pid: int) -> list[int]:
    """Ray's processes for the sweep ``pid`` but for its two agents.

    Those notice the raylet's death, then try for a minute or two to tell the server that died with it.
    """
    agents = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
    return [child for child, name in descendants(pid).items() if not name.startswith(agents)]


def kill(pid: int) -> None:
    """As the kernel does when memory runs out."""
    os.kill(pid, signal.SIGKILL)


def kill_driver(sweep: Process) -> None:
    """Kill a sweep's driver, and wait until Ray's processes have followed it.

    Raises:
        AssertionError: they outlive it.
    """
    helpers = ray_processes(sweep.pid)
    kill(sweep.pid)
    sweep.wait()
    deadline = time.monotonic() + 30
    while not gone(helpers):
        assert time.monotonic() < deadline, "Ray's processes outlive the driver"
        time.sleep(0.1)


def gone(pids: Sequence[int]) -> bool:
    """Whether none of the processes runs any more."""
    return not any((Path("/proc") / str(pid)).exists() for pid in pids)
