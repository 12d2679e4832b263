"""What a verdict is worth after its driver or its workers were killed."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.sweep import sweeps
from tests.toy_features import write_toy_features
from tests.verdicts import verdicts
from tune_dd import verdict
from tune_dd.verdicts import work

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CELLS = 2 * (6 * 2 + 1)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_toy_features(tmp_path, train=60, test=30, d=6, separation=1.5)
    return tmp_path


def made(place: Path, name: str) -> dict[str, int]:
    """When each cell's file was written."""
    folder = place / "results" / "verdicts" / name / "cells"
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.pt")} if folder.exists() else {}


def accuracies(place: Path, name: str) -> Any:
    content = json.loads((place / "results" / "verdicts" / name / "verdict.json").read_text())
    assert content["cells"] == CELLS
    return [[(row["accuracy"], row["rl_minus_this"]) for row in panel["rows"]] for panel in content["panels"]]


def test_killed_driver_and_workers_lead_to_the_same_verdict(place: Path) -> None:
    log = place / "log"
    sweeps.finish(verdicts.start(place, "whole", log), log)
    for moment in (5, 17):
        process = verdicts.start(place, "killed", log)
        sweeps.wait_for(lambda moment=moment: len(made(place, "killed")) >= moment, process, log)
        sweeps.kill_driver(process)
        before = made(place, "killed")
        assert moment <= len(before) < CELLS
    process = verdicts.start(place, "killed", log)
    struck: list[int] = []

    def strike() -> bool:
        fresh = [pid for pid in verdicts.workers(process.pid) if pid not in struck]
        if len(made(place, "killed")) > len(before) and fresh:
            struck.append(fresh[0])
            sweeps.kill(fresh[0])
        return bool(struck)

    sweeps.wait_for(strike, process, log)
    assert f"of {CELLS} cells are there from before" in sweeps.finish(process, log)
    after = made(place, "killed")
    assert len(after) == CELLS and before.items() <= after.items()
    assert after.keys() == made(place, "whole").keys()
    assert accuracies(place, "killed") == accuracies(place, "whole")
    assert len((place / "results/verdicts/killed/test_access.jsonl").read_text().splitlines()) == 1


def test_a_verdict_that_is_asked_to_end_says_so_in_a_line(place: Path) -> None:
    log = place / "log"
    process = verdicts.start(place, "ended", log)
    sweeps.wait_for(lambda: len(made(place, "ended")) >= 3, process, log)
    process.terminate()
    text = sweeps.finish(process, log, code=130)
    told = "tune-dd verdict: interrupted: the same command goes on where it stopped"
    assert text.splitlines()[-1] == told
    assert "Traceback" not in text and "SIGTERM" not in text


def test_workers_that_die_each_time_are_told_in_a_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("PYTHONPATH", str(sweeps.ROOT))
    monkeypatch.setattr(work, "RETRIES", 0)
    words = [*verdicts.WORDS, "--name", "hurt", "--seeds", "1", "--budgets", "1"]
    ended = threading.Event()

    def strike() -> None:
        while not ended.wait(0.02):
            for pid in verdicts.workers(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    sweeps.kill(pid)

    killer = threading.Thread(target=strike)
    killer.start()
    try:
        assert verdict.main(words) == 1
    finally:
        ended.set()
        killer.join()
    [told] = capsys.readouterr().err.splitlines()
    assert told.startswith("tune-dd verdict: ") and "the same command goes on where this one stopped" in told
    assert len(made(place, "hurt")) < 7
    assert verdict.main(words) == 0
    assert len(made(place, "hurt")) == 7
