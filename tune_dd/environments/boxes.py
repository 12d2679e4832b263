"""Learners' mean returns as boxes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from trainables.whole_files import whole_file
from tune_dd.environments.validation_rows import Row
from tune_dd.sweeps.plurals import counted

_COLOURS = {"sampled": "#2a78b8", "greedy": "#e08a2c"}
_UNTRAINED_COLOUR = "#8a8a8a"
_ROW_INCHES = 0.34
_GAP = 0.5  # between groups of boxes, in rows


def draw_boxes(path: Path, rows: Sequence[Row], title: str) -> None:
    """Write a PNG: one box for each row, those of a family and number of steps side by side.

    Each learner is a dot; returns that are not finite are left out.

    Args:
        rows: in the order to show, from above.
        title: what stands above.
    """
    groups: dict[str, list[Row]] = {}
    several = len({row.inner_steps for row in rows if row.inner_steps}) > 1
    for row in rows:
        steps = f"\n{counted(row.inner_steps, 'step')}" if several and row.inner_steps else ""
        groups.setdefault(row.name + steps, []).append(row)
    height = 1.5 + _ROW_INCHES * (len(rows) + _GAP * len(groups))
    figure = Figure(figsize=(8, height), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    jitter = np.random.default_rng(0)
    place, ticks = 0.0, []
    for members in groups.values():
        ticks.append(place + (len(members) - 1) / 2)
        for row in members:
            colour = _COLOURS[row.mode] if row.inner_steps else _UNTRAINED_COLOUR
            values = row.returns.by_learner[np.isfinite(row.returns.by_learner)]
            axes.boxplot(
                values,
                positions=[place],
                orientation="horizontal",
                widths=0.62,
                showfliers=False,
                patch_artist=True,
                boxprops={"facecolor": colour, "alpha": 0.35, "edgecolor": colour},
                medianprops={"color": colour, "linewidth": 2},
                whiskerprops={"color": colour},
                capprops={"color": colour},
            )
            heights = place + jitter.uniform(-0.2, 0.2, len(values))
            axes.scatter(values, heights, s=9, color=colour, alpha=0.55, linewidths=0, zorder=3)
            place += 1
        place += _GAP
    # Networks of the user's own are named by files, whose whole paths would take the picture's width.
    axes.set_yticks(ticks, [name.rpartition("/")[2] for name in groups])
    axes.set_ylim(place - _GAP - 0.4, -0.6)  # the first row above
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel(
        "mean return of each learner; boxes: quartiles, whiskers: at most 1.5 boxes long", fontsize=9
    )
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(title, fontsize=11, weight="bold", loc="left")
    modes = [mode for mode in _COLOURS if any(row.mode == mode and row.inner_steps for row in rows)]
    marks = [Patch(color=_COLOURS[mode], alpha=0.6, label=f"{mode} actions") for mode in modes]
    figure.legend(handles=marks, loc="outside lower right", ncols=len(marks), fontsize=9, frameon=False)
    with whole_file(path) as stream:
        figure.savefig(stream, format="png")
