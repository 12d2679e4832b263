"""Verdicts of a few seconds, as processes that can be killed."""

from __future__ import annotations

from pathlib import Path

from tests.sweep.sweeps import Process, descendants, launch

WORDS = (
    "--dataset features --features-train train.npz --features-test test.npz --seeds 2 --budgets 1 2 "
    "--evaluations 200 --cache cache --workers 2"
).split()


def start(place: Path, name: str, log: Path) -> Process:
    """``tune-dd verdict`` as a process of its own, its output in ``log``."""
    return launch("verdict", "--name", name, *WORDS, cwd=place, log=log)


def workers(pid: int) -> list[int]:
    """The processes that make cells of the verdict ``pid``."""
    return sorted(child for child, name in descendants(pid).items() if name.startswith("ray::_do"))
