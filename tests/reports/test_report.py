"""``tune-dd report``: its figures are the raw results, and it leads back to every trial."""

from __future__ import annotations

import json
import random
import re
import shlex
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import Command
from tune_dd.reports.charts import Figure, specification
from tune_dd.reports.course_charts import course_figures
from tune_dd.reports.page import cell_parts, overall_figures, page
from tune_dd.reports.sweep_data import SweepData, read_sweep_data


@pytest.fixture(scope="module")
def sweep(swept: Path) -> SweepData:
    return read_sweep_data(str(swept))


@pytest.fixture(scope="module")
def html(sweep: SweepData) -> str:
    return page(sweep, cell_parts(sweep, print), overall_figures(sweep))


def points(figure: Figure) -> list[dict[str, Any]]:
    """All rows that a chart draws, of trials."""
    found = []
    spec = specification(figure.chart)
    for layer in (spec, *spec.get("layer", ()), *spec.get("concat", ())):
        data = layer.get("data", {}).get("values", ())
        found += [row for row in data if "trial" in row and row not in found]
    return found


def raw(swept: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    summary = json.loads((swept / "sweep_summary.json").read_text())
    lines = (swept / "journal.jsonl").read_text().splitlines()
    return {trial["trial_id"]: trial for trial in summary["trials"]}, [json.loads(line) for line in lines]


def test_every_point_of_the_figures_is_a_raw_result(swept: Path, sweep: SweepData) -> None:
    trials, events = raw(swept)
    reported = {
        (event["trial"], event["iteration"]): event["scores"]["probe_accuracy"]
        for event in events
        if event["event"] == "reported"
    }
    shown: set[str] = set()
    for cell in sweep.cells:
        order, curves = course_figures(sweep, cell)
        for point in points(order):
            trial = trials[point["trial"]]
            assert point["score"] == pytest.approx(100 * trial["scores"]["probe_accuracy"], abs=1e-9)
            assert trial["config"]["method"] == point["name"]
            shown.add(point["trial"])
        drawn = {(point["trial"], point["iteration"]): point["score"] for point in points(curves)}
        of_cell = {key for key in reported if trials[key[0]]["cell"] == cell.name}
        assert drawn.keys() == of_cell
        for key in of_cell:
            assert drawn[key] == pytest.approx(100 * reported[key], abs=1e-9)
    assert shown == trials.keys()


def test_bars_and_sizes_add_up_to_the_raw_results(swept: Path, sweep: SweepData) -> None:
    trials, _ = raw(swept)
    figures = dict(overall_figures(sweep))
    bars = specification(figures["spent"].chart)["data"]["values"]
    for method in ("implicit", "kernel_ridge"):
        spent = sum(bar["cpu_s"] for bar in bars if bar["name"] == method)
        own = [trial for trial in trials.values() if trial["config"]["method"] == method]
        assert spent == pytest.approx(sum(trial["cpu_s"] for trial in own))
        assert sum(bar["trials"] for bar in bars if bar["name"] == method) == len(own)
    drawn = specification(figures["sizes-0"].chart)["layer"][0]
    rows = (drawn.get("data") or specification(figures["sizes-0"].chart)["data"])["values"]
    for row in rows:
        if row["control"] == "learned":
            own_scores = [
                trial["scores"]["probe_accuracy"]
                for trial in trials.values()
                if trial["config"]["method"] == row["name"] and trial["config"]["m_per_class"] == row["size"]
            ]
            assert row["score"] == pytest.approx(100 * max(own_scores))


def test_the_table_leads_to_every_trial_and_its_command_gives_the_scores_again(
    swept: Path, html: str, command: Command
) -> None:
    trials, _ = raw(swept)
    found = re.findall(r'<tr id="trial-(\d+)">.*?data-command="([^"]*)"', html, re.DOTALL)
    assert [trial for trial, _ in found] == sorted(trials)
    for link in re.findall(r'<a href="(features/[^"]*)"', html):
        assert (swept / link / "distillation_artifacts.pt").exists()
    trial, line = random.choice(found)
    words = shlex.split(unescape(line))
    assert words[0] == "tune-dd" and words[-1] == trial
    done = command(*words[1:], cwd=swept.parent.parent)
    assert done.returncode == 0, f"trial {trial}: {done.stdout}{done.stderr}"
    assert "reproduced" in done.stdout


def test_the_page_needs_nothing_else(html: str) -> None:
    outside = re.findall(r'(?:src|href)="(?!#|data:|features/)([^"]*)"', html.partition("<script>")[0])
    assert outside == []
    assert len(html) < 10_000_000


def test_words_of_trials_end_no_script_and_no_element(sweep: SweepData) -> None:
    trials = [{**trial, "status": "failed", "reason": "</script><b>"} for trial in sweep.trials]
    hurt = SweepData(sweep.folder, {**sweep.summary, "trials": trials}, sweep.kind, None)
    text = page(hurt, [], [])
    assert "&lt;/script&gt;&lt;b&gt;" in text
    assert text.count("</script>") == 3


def test_tables_and_figures_as_files(swept: Path, tmp_path: Path, command: Command) -> None:
    done = command("report", str(swept), "--out", "page.html", "--export", "files", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["page.html", "files"]
    trials, events = raw(swept)
    for frame in (
        pd.read_csv(tmp_path / "files/trials.csv"),
        pd.read_parquet(tmp_path / "files/trials.parquet"),
    ):
        assert frame["scores.probe_accuracy"].tolist() == [
            trial["scores"]["probe_accuracy"] for trial in trials.values()
        ]
    reports = pd.read_parquet(tmp_path / "files/reports.parquet")
    assert len(reports) == sum(event["event"] == "reported" for event in events)
    tables = (tmp_path / "files/tables.tex").read_text()
    assert tables.count("\\begin{tabular}") == 2 and "full\\_data" in tables
    for name in ("0-trials", "1-curves", "spent", "sizes-0"):
        assert (tmp_path / f"files/{name}.svg").read_text().startswith("<svg")
        assert (tmp_path / f"files/{name}.png").read_bytes().startswith(b"\x89PNG")
    again = command("report", str(swept), "--out", "page.html", "--export", "files", cwd=tmp_path)
    assert again.returncode == 2 and again.stderr.count("\n") == 1 and "files" in again.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("nowhere", "nowhere does not exist"),
        ("{sweep} --out missing/page.html", "missing"),
        ("{sweep} --out .", "--out is ."),
        ("{sweep} --exprt x", "did you mean --export?"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    swept: Path, tmp_path: Path, command: Command, words: str, told: str
) -> None:
    done = command("report", *words.format(sweep=swept).split(), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr and done.stderr.count("\n") == 1


def test_a_damaged_evaluation_is_told(swept: Path, tmp_path: Path, command: Command) -> None:
    copy = tmp_path / "toy"
    shutil.copytree(swept, copy)
    (copy / "evaluation.json").write_text('{"cells": [{}]}')
    done = command("report", str(copy))
    assert done.returncode == 2 and "evaluation.json is damaged" in done.stderr
