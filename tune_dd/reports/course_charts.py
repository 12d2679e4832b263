"""How a cell's trials went: one after the other, and each by its reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from trainables.latent.controls import FULL_DATA
from tune_dd.reports.charts import (
    CONTROL_DASH,
    GREY,
    Figure,
    colour,
    finished,
    rows,
    score_axis,
    score_tip,
    score_words,
    shown,
)
from tune_dd.reports.savings import saved_by_stopping, savings_words
from tune_dd.reports.sweep_data import CellData, SweepData

_STATUS_SHAPES = {"completed": "circle", "stopped early": "triangle-down"}
MOST_CURVES = 400
"""With more trials, those that stopped soonest are left out of the curves."""


def course_figures(sweep: SweepData, cell: CellData) -> list[Figure]:
    """Trials in their order, and their curves; none where no trial has a score."""
    if not cell.scored:
        return []
    found = [_order(sweep, cell), _curves(sweep, cell, sweep.metric, "curves", "Learning curves")]
    if any("inner_lr" in trial["scores"] for trial in cell.scored):
        found.append(_curves(sweep, cell, "inner_lr", "inner-lr", "The learned inner learning rate"))
    return found


def _order(sweep: SweepData, cell: CellData) -> Figure:
    metric, best = sweep.metric, float("-inf")
    points, steps = [], []
    for trial in cell.scored:
        score = shown(metric, trial["scores"][metric])
        assert score is not None
        points.append(
            {
                "trial": trial["trial_id"],
                "number": int(trial["trial_id"]),
                "score": score,
                "name": sweep.name_of(trial),
                "status": trial["status"].replace("_", " "),
            }
        )
        if trial["status"] == "completed":
            best = max(best, score)
            steps.append({"number": int(trial["trial_id"]), "score": best})
    x = alt.X(
        "number:Q", title="trial", scale=alt.Scale(nice=False), axis=alt.Axis(tickMinStep=1, format="d")
    )
    y = score_axis("score", metric)
    marks = (
        alt.Chart(rows(points))
        .mark_point(filled=True, size=70, opacity=0.85, cursor="pointer")
        .encode(
            x,
            y,
            colour("name", sweep.names),
            alt.Shape(
                "status:N",
                scale=alt.Scale(domain=list(_STATUS_SHAPES), range=list(_STATUS_SHAPES.values())),
                legend=None,
            ),
            tooltip=["trial:N", "name:N", "status:N", score_tip("score", metric)],
        )
    )
    layers = _reference(sweep, cell)
    if steps:
        line = alt.Chart(rows(steps)).mark_line(interpolate="step-after", color=GREY, strokeWidth=1.5)
        layers.append(line.encode(x, y))
    layers.append(marks)  # above all, to be clicked
    saved = saved_by_stopping(cell.trials)
    return Figure(
        "trials",
        "Trials in their order",
        "The grey line is the best complete trial so far, triangles were stopped early. "
        f"{savings_words(saved)} "
        "Click a point for its row in the table of all trials.",
        finished(alt.layer(*layers), f"{score_words(metric)} of each trial, in the order of the trials"),
    )


def _reference(sweep: SweepData, cell: CellData) -> list[alt.Chart]:
    """The full-data probe as a dashed line, where the cell has one."""
    full = cell.entry["controls"].get(FULL_DATA, {}).get(sweep.metric)
    if full is None:
        return []
    at = [{"score": shown(sweep.metric, full), "words": "all data"}]
    rule = alt.Chart(rows(at)).mark_rule(strokeDash=CONTROL_DASH, color="#111827")
    text = alt.Chart(rows(at)).mark_text(align="right", dy=-6, color="#111827").encode(x=alt.value("width"))
    y = score_axis("score", sweep.metric)
    return [rule.encode(y), text.encode(y, text="words:N")]


def _curves(sweep: SweepData, cell: CellData, metric: str, name: str, title: str) -> Figure:
    trials = sorted(cell.scored, key=lambda trial: -int(trial["iterations"]))[:MOST_CURVES]
    points: list[Mapping[str, Any]] = [
        {
            "trial": trial["trial_id"],
            "iteration": iteration,
            "score": shown(metric, scores[metric]),
            "name": sweep.name_of(trial),
            "status": trial["status"].replace("_", " "),
        }
        for trial in trials
        for iteration, scores in sweep.reports(trial["trial_id"])
        if metric in scores
    ]
    base = alt.Chart(rows(points)).encode(
        alt.X("iteration:Q", title="report", axis=alt.Axis(tickMinStep=1, format="d")),
        score_axis("score", metric),
        colour("name", sweep.names),
        detail="trial:N",
        tooltip=["trial:N", "name:N", "status:N", "iteration:Q", score_tip("score", metric)],
    )
    lines = base.mark_line(strokeWidth=1.3, opacity=0.55)
    ends = base.mark_point(filled=True, size=22, opacity=0.8, cursor="pointer")
    left_out = len(cell.scored) - len(trials)
    note = f" {left_out} trials that ended soonest are left out." if left_out else ""
    return Figure(
        name,
        title,
        f"A line for each trial; a line that ends early was stopped there.{note}",
        finished(alt.layer(lines, ends), f"{score_words(metric)} of each trial by report"),
    )
