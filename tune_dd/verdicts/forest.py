"""A verdict as a picture: every difference with its interval, against the line where there is none.

Drawn on a figure of its own, without pyplot, as all pictures of the project.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainables.whole_files import whole_file
from tune_dd.verdicts.questions import QUESTIONS
from tune_dd.verdicts.words import deciding_part, panel_words

_COLOURS = {"better": "#1b7837", "worse": "#b2182b", "no difference found": "0.35"}
_DPI = 120
_ROW_INCHES = 0.3
_PANEL_INCHES = 0.5
_HEAD_INCHES = 0.58
_FOOT_INCHES = 0.75
_WIDTH_INCHES = 9.0
_LEFT, _RIGHT = 0.24, 0.76
_MOST_TIMES_THE_USUAL = 4


def draw_forest(path: Path, panels: Sequence[Mapping[str, Any]], title: str, subtitle: str) -> None:
    """Write a forest plot: a panel for each question, budget and objective, a line for each control.

    Panels of a question stand together and share a scale. An interval that would make all others a dot (of
    two seeds that chance drove apart) is cut off, with an arrow; its ends stand beside it all the same.

    Args:
        path: the PNG to write; it appears whole or not at all.
        panels: what :func:`tune_dd.verdicts.findings.panels_of` returns.
        title, subtitle: what stands above.
    """
    heights = [_PANEL_INCHES + _ROW_INCHES * (len(panel["rows"]) - 1) for panel in panels]
    height = _HEAD_INCHES + sum(heights) + _FOOT_INCHES
    figure = Figure(figsize=(_WIDTH_INCHES, height), dpi=_DPI, facecolor="white")
    figure.text(0.5, 1 - 0.25 / height, title, ha="center", va="center", fontsize=12, weight="bold")
    figure.text(0.5, 1 - 0.52 / height, subtitle, ha="center", va="center", fontsize=9, color="0.35")
    top = height - _HEAD_INCHES
    # Panels of one question are compared by eye; another one's differences may be a tenth of these.
    for _, alike in itertools.groupby(zip(panels, heights, strict=True), lambda one: one[0]["question"]):
        own = list(alike)
        reach = axis_reach([panel for panel, _ in own])
        for panel, tall in own:
            drawn = tall - _PANEL_INCHES
            axes = figure.add_axes(
                (_LEFT, (top - tall) / height, _RIGHT - _LEFT, drawn / height), xlim=(-reach, reach)
            )
            _draw_panel(axes, panel)
            axes.tick_params(labelbottom=panel is own[-1][0])
            top -= tall
    axes.set_xlabel("RL minus this control, in points of accuracy", fontsize=9)
    for place, words, side in (
        (_LEFT, "← the control is better", "left"),
        (_RIGHT, "RL is better →", "right"),
    ):
        figure.text(place, 0.12 / height, words, ha=side, va="bottom", fontsize=9, color="0.35")
    with whole_file(path) as stream:
        figure.savefig(stream, format="png")


def axis_reach(panels: Sequence[Mapping[str, Any]]) -> float:
    """Points from zero to the edge: all differences, and intervals up to some times the usual one."""
    differences = [
        row["rl_minus_this"][deciding_part(panel)] for panel in panels for row in panel["rows"][1:]
    ]
    found = max(abs(one) for row in differences for one in (row["mean"], *row["by_encoder"]))
    ends = [max(abs(row["low"]), abs(row["high"])) for row in differences]
    usual = statistics.median(ends)
    return 1.08 * max(0.1, 100 * found, 100 * min(max(ends), _MOST_TIMES_THE_USUAL * usual))


def _draw_panel(axes: Axes, panel: Mapping[str, Any]) -> None:
    """A line for each control, its figures at the right."""
    controls = panel["rows"][1:]
    axes.axvline(0, color="0.6", linewidth=1)
    for place, row in enumerate(controls):
        found = row["rl_minus_this"][deciding_part(panel)]
        mean, low, high = (100 * found[name] for name in ("mean", "low", "high"))
        colour = _COLOURS[found["verdict"]]
        axes.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
        left, right = axes.get_xlim()
        for beyond, edge, arrow in ((low < left, left, "<"), (high > right, right, ">")):
            if beyond:
                axes.plot([edge], [place], marker=arrow, markersize=6, color=colour, clip_on=False)
        axes.plot([mean], [place], marker="s", markersize=6, color=colour)
        by_encoder = [100 * one for one in found["by_encoder"]]
        if len(by_encoder) > 1:
            axes.plot(by_encoder, [place + 0.28] * len(by_encoder), ".", markersize=4, color="0.55")
        axes.text(
            1.02,
            place,
            f"{mean:+z.1f} [{low:+z.1f}, {high:+z.1f}]",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=9,
            color=colour,
        )
    axes.set_yticks(range(len(controls)), [row["words"] for row in controls], fontsize=9)
    axes.set_ylim(len(controls) - 0.5, -0.5)
    title = f"{QUESTIONS[panel['question']].method}, {panel_words(panel)}"
    axes.set_title(title, fontsize=10, loc="left", pad=4)
    axes.tick_params(length=0, colors="0.25", labelsize=9)
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
