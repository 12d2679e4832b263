"""The fronts of a sweep as a picture: one panel for each cell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.whole_files import whole_file
from tune_dd.runs.score_table import WORDS

if TYPE_CHECKING:  # the one imports Ray, the other takes a second
    from matplotlib.axes import Axes

    from tune_dd.sweeps.kind import Kind

FRONTS_FILE = "pareto.png"
_MOST_COLUMNS = 3
_PANEL_INCHES = (6.2, 4.4)
_MOST_TICKS = 6
_MARKS = "PXDs*v^<>ph8d"


def draw_fronts(path: Path, kind: Kind[Any], summary: Mapping[str, Any]) -> None:
    """Write a PNG, whole or not at all: all trials grey, the front as steps, controls by name.

    Args:
        summary: the content of ``sweep_summary.json``; without controls where the sweep has not ended.
    """
    from matplotlib.figure import Figure

    cells = {str(cell): cell for cell in kind.config.cells}
    columns = min(len(cells), _MOST_COLUMNS)
    rows = math.ceil(len(cells) / columns)
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(columns * width, rows * height + 0.4), layout="constrained", facecolor="white")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, entry in zip(panels, summary["cells"], strict=False):
        trials = [trial for trial in summary["trials"] if trial["cell"] == entry["cell"]]
        _draw(panel, entry, trials)
        panel.set_title(kind.heading(cells[entry["cell"]]), fontsize=9)
    for panel in panels[len(cells) :]:
        panel.set_axis_off()
    figure.suptitle(f"{summary['name']}: what no other trial betters in both scores", fontsize=11)
    with whole_file(path) as stream:
        figure.savefig(stream, format="png", dpi=130)


def _draw(panel: Axes, entry: Mapping[str, Any], trials: list[Mapping[str, Any]]) -> None:
    """The second score to the right, as bytes are read, the first one upwards."""
    up, right = entry["pareto"]["axes"]

    def scatter(rows: list[Mapping[str, float]], **style: Any) -> None:
        panel.scatter([_shown(row, right) for row in rows], [_shown(row, up) for row in rows], **style)

    ended = [trial["scores"] for trial in trials if trial["status"] == "completed"]
    scatter(ended, s=16, color="0.6", alpha=0.6, label="trials", zorder=2)
    families: dict[str, list[Mapping[str, float]]] = {}
    for name, scores in entry["controls"].items():
        if up["score"] in scores and right["score"] in scores:
            families.setdefault(name.partition("@")[0], []).append(scores)
    controls = [scores for rows in families.values() for scores in rows]
    members = sorted(entry["pareto"]["front"], key=lambda member: float(member[right["score"]]))
    if members:
        x, y = ([_shown(member, axis) for member in members] for axis in (right, up))
        every = [_shown(scores, right) for scores in [*ended, *controls]]
        # What is reached with so many bytes or fewer, or by so much round trip or more: beyond the ends, too.
        if right["better"] == "lower":
            panel.step([*x, max(every)], [*y, y[-1]], where="post", color="C0", linewidth=1.5, zorder=3)
        else:
            panel.step([min(every), *x], [y[0], *y], where="pre", color="C0", linewidth=1.5, zorder=3)
    scatter(members, s=34, color="C0", label="front", zorder=4)
    for number, (family, rows) in enumerate(families.items()):
        mark = _MARKS[number % len(_MARKS)]
        scatter(rows, s=28, marker=mark, edgecolors="C1", facecolors="none", label=family, zorder=3)
    if right["scale"] == "logarithmic":
        panel.set_xscale("log")
        sizes = sorted({_shown(scores, right) for scores in [*ended, *controls]})
        if len(sizes) <= _MOST_TICKS:
            panel.set_xticks(sizes, [f"{size:,.0f}" for size in sizes], fontsize=8)
            panel.set_xticks([], minor=True)
    panel.set_xlabel(_label(right))
    panel.set_ylabel(_label(up))
    panel.grid(alpha=0.25, linewidth=0.5)
    panel.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _shown(scores: Mapping[str, float], axis: Mapping[str, Any]) -> float:
    """Accuracies in percent."""
    value = scores[axis["score"]]
    return value if axis["score"] == "size_bytes" else 100 * value


def _label(axis: Mapping[str, Any]) -> str:
    words = WORDS.get(axis["score"], axis["score"])
    return words if axis["score"] == "size_bytes" else f"{words}, % of the selection half"
