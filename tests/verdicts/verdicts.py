"""Verdicts of a few seconds, as processes that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.sweep.sweeps import ROOT, STARTED, Process, descendants

WORDS = (
    "--dataset features --features-train train.npz --features-test test.npz --seeds 2 --budgets 1 2 "
    "--evaluations 200 --cache cache --workers 2"
).split()


def start(place: Path, name: str, log: Path) -> Process:
    """``tune-dd verdict`` as a process of its own, its output in ``log``."""
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "tune_dd" / "verdict.py"), "--name", name, *WORDS],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    STARTED.append(process)
    return process


def workers(pid: int) -> list[int]:
    """The processes that make cells of the verdict ``pid``."""
    return sorted(child for child, name in descendants(pid).items() if name.startswith("ray::_do"))
