"""The journal holds what happened, whatever cut it off."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trainables.errors import InputError
from tune_dd.sweeps.journal import Journal, TrialRecord, read_records
from tune_dd.sweeps.latent.cell import LatentCell

CELL = LatentCell("digits", "conv", 0, 10)


def fill(journal: Journal) -> None:
    journal.proposed("00000", CELL, {"method": "implicit"}, {"lr": 0.1})
    journal.reported("00000", 1, {"probe_accuracy": 0.5}, 0.25)
    journal.saved("00000", "tune/a")
    journal.proposed("00001", CELL, {"method": "unrolled"}, {"lr": 0.2})
    journal.reported("00000", 2, {"probe_accuracy": 0.75}, 0.5)
    journal.ended("00000", "completed")
    journal.ended("00001", "failed", "no reason")


def test_records_follow_from_events(tmp_path: Path) -> None:
    journal = Journal(tmp_path, LatentCell)
    fill(journal)
    first = TrialRecord(
        "00000",
        CELL,
        {"method": "implicit"},
        {"lr": 0.1},
        {1: {"probe_accuracy": 0.5}, 2: {"probe_accuracy": 0.75}},
        "tune/a",
        "completed",
        None,
        0.75,
    )
    assert journal.records["00000"] == first
    assert journal.records["00001"].reason == "no reason"
    journal.close()
    assert read_records(tmp_path, LatentCell) == journal.records
    again = Journal(tmp_path, LatentCell)
    assert again.records == journal.records
    again.close()


def test_cut_off_anywhere_it_holds_the_events_before(tmp_path: Path) -> None:
    journal = Journal(tmp_path, LatentCell)
    fill(journal)
    journal.close()
    whole = journal.path.read_bytes()
    ends = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(0, len(whole), 7):
        journal.path.write_bytes(whole[:length])
        resumed = Journal(tmp_path, LatentCell)
        complete = sum(end < length for end in ends)
        assert journal.path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:complete])
        resumed.proposed("00007", CELL, {}, {})
        resumed.close()
        assert "00007" in read_records(tmp_path, LatentCell)


def test_reports_of_a_repeated_iteration_count_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path, LatentCell)
    journal.proposed("00000", CELL, {}, {})
    for _ in range(2):
        journal.reported("00000", 1, {"probe_accuracy": 0.5}, 0.25)
    assert journal.records["00000"].values("probe_accuracy") == {1: 0.5}
    journal.close()


def test_a_lost_node_is_no_failure_of_the_trial(tmp_path: Path) -> None:
    journal = Journal(tmp_path, LatentCell)
    journal.proposed("00000", CELL, {}, {})
    for reason in ("its worker died", "it raised"):
        journal.broke_off("00000", reason)
    journal.node_lost("00000", "node 10.0.0.2")
    assert journal.records["00000"].failures == 1
    journal.close()
    assert Journal(tmp_path, LatentCell).records["00000"].failures == 1


def test_damage_before_the_end_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path, LatentCell)
    fill(journal)
    journal.close()
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(b"".join([lines[0], b"{broken\n", *lines[1:]]))
    with pytest.raises(InputError, match="damaged in line 2"):
        Journal(tmp_path, LatentCell)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path, LatentCell)
    code = (
        "import sys, pathlib; from tune_dd.sweeps.journal import Journal\n"
        "from tune_dd.sweeps.latent.settings import LatentCell\n"
        "Journal(pathlib.Path(sys.argv[1]), LatentCell)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    root = str(Path(__file__).parent.parent.parent)
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root})
    assert "is running in another process" in done.stderr
    journal.close()
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": root}).returncode == 0


def test_full_disk_leaves_whole_lines(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("64k")
    journal = Journal(disk, LatentCell)
    journal.proposed("00000", CELL, {}, {})

    def report_until_full() -> None:
        for iteration in range(10_000):
            journal.reported("00000", iteration, {"probe_accuracy": 0.5, "filler": iteration / 7}, 0.1)

    with pytest.raises(OSError, match="No space left") as raised:
        report_until_full()
    assert raised.value.errno == errno.ENOSPC
    known = journal.records
    journal.close()
    assert journal.path.read_bytes().endswith(b"\n")
    assert read_records(disk, LatentCell) == known
