"""What the score owes to each searched parameter: shares of variance, slices, parallel coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from tune_dd.reports.charts import Figure, finished, rows, score_axis, score_tip, score_words, shown
from tune_dd.reports.parameters import LEAST_TRIALS, Parameter, groups, importances, parameters_of
from tune_dd.reports.sweep_data import CellData, SweepData, Trial

MOST_SLICES = 6
"""Of a method's parameters, those that explain most."""
_SLICE_HEIGHT = 150
_ROW_HEIGHT = 26


def parameter_figures(sweep: SweepData, cell: CellData) -> list[Figure]:
    """Importances of all methods, then slices and parallel coordinates of the method that is best."""
    scored = cell.scored
    by_group = groups(parameters_of(scored))
    found: list[Figure] = []
    shares = {group: importances(scored, own, sweep.metric) for group, own in by_group.items()}
    if any(shares.values()):
        found.append(_importances(by_group, shares))
    group = _best_group(cell, by_group)
    if group is None:
        return found
    own = [trial for trial in scored if any(trial["trial_id"] in one.values for one in by_group[group])]
    # All trials' parameters belong to each method's, too, but for the one that names it.
    wanted = by_group[group] + [one for one in by_group.get("", ()) if group and one.name != "method"]
    wanted = sorted(wanted, key=lambda one: -shares.get(one.group, {}).get(one.name, 0.0))
    if len(own) > 1:
        found.append(_slices(sweep, own, wanted[:MOST_SLICES], group))
    if len(wanted) > 1 and len(own) > 1:
        found.append(_parallel(sweep, own, wanted, group))
    return found


def _best_group(cell: CellData, by_group: dict[str, list[Parameter]]) -> str | None:
    """The method of the best trial, where it has parameters of its own."""
    if cell.best is None or not by_group:
        return None
    method = cell.best["params"].get("method")
    return method if method in by_group else ("" if "" in by_group else None)


def _importances(by_group: dict[str, list[Parameter]], shares: dict[str, dict[str, float]]) -> Figure:
    bars = [
        {"parameter": one.name, "share": 100 * shares[group][one.name], "of": group or "all trials"}
        for group, own in by_group.items()
        for one in own
        if one.name in shares[group]
    ]
    chart = (
        alt.Chart(rows(bars))
        .mark_bar(color="#0072b2")
        .encode(
            alt.X("share:Q", title="share of the score's variance, %", scale=alt.Scale(domain=[0, 100])),
            alt.Y("parameter:N", title=None, sort=None, axis=alt.Axis(labelLimit=220)),
            tooltip=["parameter:N", alt.Tooltip("share:Q", format=".0f"), alt.Tooltip("of:N", title="among")],
        )
    )
    return Figure(
        "importances",
        "What the score depends on",
        "fANOVA (Hutter et al., 2014) among the complete trials of a method, whose parameters' shares add up "
        f"to 100%; methods with fewer than {LEAST_TRIALS} complete trials are left out. With some dozens of "
        "trials these are hints.",
        finished(
            chart, "share of the score's variance that each parameter explains", _ROW_HEIGHT * len(bars)
        ),
    )


def _slices(sweep: SweepData, trials: Sequence[Trial], parameters: Sequence[Parameter], group: str) -> Figure:
    panels = []
    for one in parameters:
        points = [
            {
                "trial": trial["trial_id"],
                "value": _told(one, trial),
                "score": shown(sweep.metric, trial["scores"][sweep.metric]),
                "status": trial["status"].replace("_", " "),
            }
            for trial in trials
            if trial["trial_id"] in one.values
        ]
        kind = "Q" if one.numeric else "N"
        x = alt.X(f"value:{kind}", title=one.words)
        if one.logarithmic:
            x = x.scale(type="log", nice=False)
        elif one.numeric:
            x = x.scale(zero=False, nice=False)
        panels.append(
            alt.Chart(rows(points), width=175, height=_SLICE_HEIGHT)
            .mark_point(filled=True, size=45, opacity=0.75, cursor="pointer", color="#0072b2")
            .encode(
                x,
                score_axis("score", sweep.metric),
                alt.Opacity(
                    "status:O",
                    scale=alt.Scale(domain=["completed", "stopped early"], range=[0.85, 0.3]),
                    legend=None,
                ),
                tooltip=[
                    "trial:N",
                    alt.Tooltip(f"value:{kind}", title=one.words),
                    score_tip("score", sweep.metric),
                ],
            )
        )
    of = f" of {group}" if group else ""
    return Figure(
        "slices",
        f"The score against each parameter{of}",
        "A point for each trial that ended with a score; pale ones were stopped early.",
        alt.concat(*panels, columns=3).properties(description=f"score against each parameter{of}"),
        wide=True,
    )


def _told(parameter: Parameter, trial: Trial) -> Any:
    value = parameter.values[trial["trial_id"]]
    return value if parameter.numeric else str(value)


def _parallel(
    sweep: SweepData, trials: Sequence[Trial], parameters: Sequence[Parameter], group: str
) -> Figure:
    axes = [one.words for one in parameters]
    scores = [shown(sweep.metric, trial["scores"][sweep.metric]) or 0.0 for trial in trials]
    low, high = min(scores), max(scores)
    lines: list[dict[str, Any]] = []
    for trial, score in zip(trials, scores, strict=True):
        own = {"trial": trial["trial_id"], "score": score}
        for one in parameters:
            if trial["trial_id"] in one.values:
                value = one.values[trial["trial_id"]]
                lines.append({**own, "axis": one.words, "place": one.place(value), "value": f"{value}"})
        place = (score - low) / (high - low) if high > low else 0.5
        lines.append({**own, "axis": "score", "place": place, "value": f"{score:.4g}"})
    ends: list[dict[str, Any]] = [
        {"axis": one.words, "place": place, "words": words}
        for one in parameters
        for place, words in _ends(one)
    ]
    ends += [{"axis": "score", "place": place, "words": f"{end:.4g}"} for place, end in ((0, low), (1, high))]
    x = alt.X(
        "axis:N", sort=[*axes, "score"], title=None, axis=alt.Axis(labelAngle=-20, grid=True, labelPadding=14)
    )
    y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[-0.08, 1.08]))
    over = alt.selection_point(fields=["trial"], on="pointerover", clear="pointerout", empty=False)
    drawn = (
        alt.Chart(rows(lines))
        .mark_line(cursor="pointer")
        .encode(
            x,
            y,
            alt.Color(
                "score:Q",
                scale=alt.Scale(scheme="viridis", reverse=True),
                legend=alt.Legend(title=score_words(sweep.metric)),
            ),
            detail="trial:N",
            opacity=alt.condition(over, alt.value(1.0), alt.value(0.6)),
            size=alt.condition(over, alt.value(3.5), alt.value(1.3)),
            tooltip=["trial:N", score_tip("score", sweep.metric)],
        )
        .add_params(over)
    )
    words = alt.Chart(rows(ends)).mark_text(fontSize=11, color="#374151", dy=0).encode(x, y, text="words:N")
    of = f" of {group}" if group else ""
    return Figure(
        "parallel",
        f"All parameters{of} at once",
        "A line for each trial, dark where it is best; each axis runs from the least value tried to the "
        "largest.",
        finished(alt.layer(drawn, words), f"parallel coordinates of the trials{of}"),
        wide=True,
    )


def _ends(parameter: Parameter) -> list[tuple[float, str]]:
    """What stands at an axis: its ends, or its choices."""
    if not parameter.numeric:
        return [(parameter.place(choice), choice) for choice in parameter.choices]
    return [(end, f"{pick(parameter.values.values()):.3g}") for end, pick in ((-0.06, min), (1.06, max))]
