"""What sets of different sizes reach, and what methods cost."""

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
from tune_dd.reports.sweep_data import CellData, SweepData

MOST_CONTROLS = 3
_ENDS = ("completed", "stopped early", "diverged", "failed", "unfinished")
_END_COLOURS = ("#0072b2", "#d9a441", "#7c3f8c", "#b2182b", "#9ca3af")


def front_figure(sweep: SweepData, cell: CellData) -> Figure | None:
    """The front, where two scores were weighed against each other."""
    pareto = cell.entry.get("pareto")
    if pareto is None or not cell.scored:
        return None
    up, right = (axis["score"] for axis in pareto["axes"])
    on_front = {member["trial_id"] for member in pareto["front"]}
    points: list[Mapping[str, Any]] = [
        {
            "trial": trial["trial_id"],
            "up": shown(up, trial["scores"][up]),
            "right": shown(right, trial["scores"][right]),
            "name": sweep.name_of(trial),
            "where": "front" if trial["trial_id"] in on_front else "behind it",
        }
        for trial in cell.scored
    ]
    controls = [
        {"words": name, "up": shown(up, scores[up]), "right": shown(right, scores[right])}
        for name, scores in cell.entry["controls"].items()
        if up in scores and right in scores
    ]
    log = pareto["axes"][1].get("scale") == "logarithmic"
    x = alt.X(
        "right:Q",
        title=score_words(right),
        scale=alt.Scale(type="log") if log else alt.Scale(type="linear", zero=False),
    )
    y = score_axis("up", up)
    marks = (
        alt.Chart(rows(points))
        .mark_point(filled=True, cursor="pointer")
        .encode(
            x,
            y,
            colour("name", sweep.names),
            size=alt.Size(
                "where:O", scale=alt.Scale(domain=["front", "behind it"], range=[130, 30]), legend=None
            ),
            tooltip=["trial:N", "name:N", "where:N", score_tip("up", up), score_tip("right", right)],
        )
    )
    others = (
        alt.Chart(rows(controls))
        .mark_point(shape="diamond", size=60, color=GREY)
        .encode(x, y, tooltip=["words:N", score_tip("up", up), score_tip("right", right)])
    )
    reached = f"Hypervolume {pareto['hypervolume']:.4f}."
    return Figure(
        "front",
        "What no other trial betters in both scores",
        f"Large points are the front, small ones lie behind it, grey diamonds are controls. {reached}",
        finished(alt.layer(others, marks), f"{score_words(up)} against {score_words(right)}"),
    )


def size_figure(sweep: SweepData, group: str, cells: list[CellData]) -> Figure | None:
    """What the best trials and the controls of cells that differ in their size alone reach.

    Args:
        group: what the cells share, in words.
        cells: with a size each.
    """
    points: list[Mapping[str, Any]] = []
    for cell in cells:
        points += _confirmed(sweep, cell) if cell.evaluation else _found(sweep, cell)
    points = [point for point in points if point["score"] is not None]
    if len({point["size"] for point in points}) < 2:
        return None
    points = _few(points)
    learned, controls = (
        list(dict.fromkeys(point["name"] for point in points if point["control"] == kind))
        for kind in ("learned", "control")
    )
    # The colours of all methods, whoever is shown here: they are the same in other charts.
    names = sweep.names if set(learned) <= set(sweep.names) else learned
    evaluated = any("low" in point for point in points)
    x = alt.X("size:Q", title=cells[0].cell.SIZE_WORDS, scale=alt.Scale(type="log", nice=False, padding=20))
    base = alt.Chart(rows(points)).encode(
        x,
        score_axis("score", sweep.metric),
        colour("name", names, controls),
        strokeDash=alt.StrokeDash(
            "control:N",
            scale=alt.Scale(domain=["learned", "control"], range=[[1, 0], CONTROL_DASH]),
            legend=None,
        ),
        tooltip=["name:N", "size:Q", score_tip("score", sweep.metric), "intervals:N"],
    )
    layers: list[alt.Chart] = [base.mark_line(), base.mark_point(filled=True, size=60)]
    if evaluated:
        layers.append(base.mark_rule().encode(y=alt.Y("low:Q", title=""), y2="high:Q"))
    where = "on test" if _on_test(cells) else "on validation"
    told = (
        f"Means of fresh seeds {where} with their 95% intervals"
        if evaluated
        else "The best trial of each method and the controls on validation, one run each: tune-dd evaluate "
        "adds fresh seeds, intervals and test"
    )
    return Figure(
        "sizes",
        f"{score_words(sweep.metric).partition(',')[0].capitalize()} by size: {group}",
        f"{told}. Controls are dashed: all data, and the {MOST_CONTROLS} best of the others.",
        finished(alt.layer(*layers), f"{score_words(sweep.metric)} by size of the set"),
        wide=True,
    )


def _on_test(cells: list[CellData]) -> bool:
    return all(cell.evaluation and cell.evaluation["test_items"] for cell in cells)


def _confirmed(sweep: SweepData, cell: CellData) -> list[dict[str, Any]]:
    """Rows of the evaluation, with intervals; of those that a search learned the chosen one."""
    assert cell.evaluation is not None
    part = "test" if cell.evaluation["test_items"] else "validation"
    found = []
    for row in cell.evaluation["rows"]:
        known = (row[part] or {}).get(sweep.metric)
        if known is None or (row["kind"] == "learned" and row["name"] != cell.evaluation["chosen"]):
            continue
        point = {
            "name": "chosen by the sweep" if row["kind"] == "learned" else row["name"],
            "size": cell.cell.size,
            "score": shown(sweep.metric, known["mean"]),
            "control": row["kind"],
        }
        if known["low"] is not None:
            low, high = (shown(sweep.metric, known[end]) or 0.0 for end in ("low", "high"))
            point |= {"low": low, "high": high, "intervals": f"{low:.1f} to {high:.1f}"}
        found.append(point)
    return found


def _found(sweep: SweepData, cell: CellData) -> list[dict[str, Any]]:
    """The best trial of each method, and the controls."""
    best: dict[str, float] = {}
    for trial in cell.scored:
        name, score = sweep.name_of(trial), trial["scores"][sweep.metric]
        best[name] = max(best.get(name, float("-inf")), score)
    learned = [(name, score, "learned") for name, score in best.items()]
    controls = [
        (name, scores.get(sweep.metric), "control") for name, scores in cell.entry["controls"].items()
    ]
    return [
        {"name": name, "size": cell.cell.size, "score": shown(sweep.metric, score), "control": control}
        for name, score, control in learned + controls
    ]


def _few(points: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All learned rows, all data, and the best of the other controls: more lines nobody tells apart."""
    totals: dict[str, float] = {}
    for point in points:
        if point["control"] == "control" and point["name"] != FULL_DATA:
            totals[point["name"]] = totals.get(point["name"], 0.0) + point["score"]
    kept = sorted(totals, key=lambda name: -totals[name])[:MOST_CONTROLS]
    return [point for point in points if point["name"] in kept or point["name"] not in totals]


def spent_figure(sweep: SweepData) -> Figure | None:
    """CPU seconds of each method's trials, by how they ended; where there are several methods."""
    if len(sweep.names) < 2:
        return None
    sums: dict[tuple[str, str], list[float]] = {}
    for trial in sweep.trials:
        sums.setdefault((sweep.name_of(trial), trial["status"].replace("_", " ")), []).append(
            trial["cpu_s"] or 0.0
        )
    bars = [
        {"name": name, "end": end, "cpu_s": sum(spent), "trials": len(spent), "order": _ENDS.index(end)}
        for (name, end), spent in sums.items()
    ]
    ends = [end for end in _ENDS if any(bar["end"] == end for bar in bars)]
    chart = (
        alt.Chart(rows(bars))
        .mark_bar()
        .encode(
            alt.X("cpu_s:Q", title="CPU seconds of all trials"),
            alt.Y("name:N", title=None, sort=sweep.names),
            alt.Color(
                "end:N",
                scale=alt.Scale(domain=ends, range=[_END_COLOURS[_ENDS.index(end)] for end in ends]),
                legend=alt.Legend(title=None, orient="top"),
            ),
            alt.Order("order:Q"),
            tooltip=["name:N", "end:N", "trials:Q", alt.Tooltip("cpu_s:Q", format=",.1f", title="CPU s")],
        )
    )
    return Figure(
        "spent",
        "What each method had of the machine",
        "A method that was given little may look worse than it is.",
        finished(chart, "CPU seconds by method and by how trials ended", 34 * len(sweep.names)),
    )
