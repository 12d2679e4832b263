"""The ranking and what stands beside it: trials that have ended, and trials that have not."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from trainables.errors import InputError
from tune_dd.sweeps.finished import no_scores, read_summary
from tune_dd.sweeps.journal import TrialRecord
from tune_dd.sweeps.latent.settings import LatentSweep
from tune_dd.sweeps.live_display import Standing, progress_line
from tune_dd.sweeps.plurals import counted
from tune_dd.sweeps.results import ranking, summarise, write_sweep
from tune_dd.sweeps.runner import SweepOutcome
from tune_dd.sweeps.sessions import first_session
from tune_dd.sweeps.tables import print_outcome, print_summary

CONFIG = LatentSweep(name="s", prototypes=(10,))
[CELL] = CONFIG.cells


def trial(trial_id: str, status: str | None, *values: float) -> TrialRecord:
    reports = {
        number: {
            "probe_accuracy": value, "roundtrip_accuracy": 0.5, "gap_to_full": 0.1, "size_bytes": 8.0
        }
        for number, value in enumerate(values, 1)
    }  # fmt: skip
    return TrialRecord(trial_id, CELL, {}, {"method": "implicit", "m_per_class": 10}, reports, status=status)


def summary_of(folder: Path, records: dict[str, TrialRecord]) -> dict[str, Any]:
    return summarise(CONFIG.open(), folder, records, {}, "time budget spent", {}, first_session())


def test_ended_trials_are_ranked_and_others_are_under_way(tmp_path: Path) -> None:
    records = [
        trial("0", "completed", 0.1, 0.6),
        trial("1", "stopped_early", 0.9),
        trial("2", None, 0.2, 0.95),
        trial("3", None, 0.97, 0.3),
        trial("4", None),
        trial("5", "failed", 0.99),
        trial("6", "completed", 0.7),
    ]
    assert [record.trial_id for record in ranking(records, CELL, CONFIG)] == ["6", "0", "1"]
    by_id = {record.trial_id: record for record in records}
    summary = summary_of(tmp_path, by_id)
    [cell] = summary["cells"]
    assert (cell["best"], cell["ranking"], cell["under_way"]) == ("6", ["6", "0", "1"], ["2", "3"])
    screen = io.StringIO()
    print_summary(CONFIG.open(), summary, screen)
    rows = [line.split() for line in screen.getvalue().splitlines() if line.startswith("  ")][1:]
    assert [row[0] for row in rows] == ["6", "0", "1", "2"]
    assert rows[-1][-4:] == ["unfinished,", "after", "2", "iterations"]


def test_trials_on_features_are_ranked_without_a_round_trip() -> None:
    records = [trial("0", "completed", 0.5), trial("1", "completed", 0.6)]
    for record in records:
        del record.reports[1]["roundtrip_accuracy"]
    assert [record.trial_id for record in ranking(records, CELL, CONFIG)] == ["1", "0"]


def test_what_each_method_had_of_the_machine_is_told(tmp_path: Path) -> None:
    records = {
        number: trial(number, status, 0.5)
        for number, status in (("0", "completed"), ("1", "stopped_early"), ("2", "completed"), ("3", None))
    }
    for number, (method, cpu_s) in enumerate([("implicit", 1.25), ("rl_selection", 8.0)] * 2):
        records[str(number)].settings["method"] = method
        records[str(number)].reports[1]["cpu_s"] = cpu_s + number
    screen = io.StringIO()
    print_summary(CONFIG.open(), summary_of(tmp_path, records), screen)
    _, spent = screen.getvalue().split("what was spent\n")
    assert [line.split() for line in spent.splitlines()] == [
        ["method", "trials", "complete", "stopped", "early", "CPU", "s"],
        ["implicit", "2", "2", "0", "4.5"],
        ["rl_selection", "2", "0", "1", "20.0"],
    ]


def test_scores_on_the_way_are_not_denied(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, {"0": trial("0", None, 0.5)})
    assert "no trial that ended with a score (1 unfinished one has scores so far)" in str(
        no_scores(summary, "evaluate")
    )
    screen = io.StringIO()
    print_summary(CONFIG.open(), summary, screen)
    assert "no trial has ended with a score" in screen.getvalue()
    assert "unfinished, after 1 iteration\n" in screen.getvalue()
    assert "50.0%" in screen.getvalue()


@pytest.mark.parametrize(("number", "words"), [(0, "0 trials"), (1, "1 trial"), (2, "2 trials")])
def test_numbers_go_with_their_words(number: int, words: str, tmp_path: Path) -> None:
    assert counted(number, "trial") == words
    assert [counted(share, "GPU") for share in (0.5, 1.0, 2.0)] == ["0.5 GPUs", "1 GPU", "2 GPUs"]
    assert progress_line(Standing(CONFIG, []), str, number, None, workers=1).startswith(f"0 of {words}, ")


@pytest.mark.parametrize("status", ["completed", None, "failed"])
def test_only_what_can_work_is_offered_next(
    status: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = summary_of(tmp_path, {"0": trial("0", status, 0.5)})
    print_outcome(SweepOutcome(tmp_path, "time budget spent", summary, CONFIG.open()))
    offered = capsys.readouterr().out.partition("Next:")[2]
    assert ("tune-dd evaluate" in offered) == ("tune-dd reproduce" in offered) == (status == "completed")
    assert "--warm-start" in offered
    assert "tensorboard" not in offered, "no trial has written curves"


def test_a_folder_inside_a_sweep_is_led_back_to_it(tmp_path: Path) -> None:
    inside = tmp_path / "s" / "tune"
    inside.mkdir(parents=True)
    with pytest.raises(InputError, match="give the folder of a sweep, results/NAME"):
        read_summary(inside)
    write_sweep(tmp_path / "s", CONFIG, {}, first_session())
    with pytest.raises(InputError, match=f"give {tmp_path / 's'}\\."):
        read_summary(inside)
    with pytest.raises(InputError, match="tune-dd search --resume --name s --storage"):
        read_summary(tmp_path / "s")
