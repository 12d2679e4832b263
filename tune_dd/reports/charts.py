"""What all charts of a report share: a figure's words, its looks, and how scores are shown.

Charts are Vega-Lite specifications (Satyanarayan et al., "Vega-Lite: a grammar of interactive graphics",
2017), made by Altair: the page draws them, and the same ones are written as SVG and PNG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from tune_dd.runs.score_table import WORDS

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d1f", "#5b5ea6", "#56b4e9", "#a23b3b", "#4d4d4d")
"""Told apart by all, after Okabe and Ito; those too light for lines on white are darker here."""
GREY = "#6b7280"
GREYS = ("#111827", "#4b5563", "#8b93a1", "#b6bcc6")
HEIGHT = 260
CONTROL_DASH = [4, 3]


@dataclass(frozen=True)
class Figure:
    """One chart with its words.

    Attributes:
        name: of its files.
        title: what it shows.
        caption: how to read it, and what follows from it.
        chart: the chart; its data's ``trial`` leads from a mark to the trial's row in the table.
        wide: whether it needs the page's whole width.
    """

    name: str
    title: str
    caption: str
    chart: alt.LayerChart | alt.Chart | alt.ConcatChart
    wide: bool = False


def is_share(metric: str) -> bool:
    """Whether a score is shown in percent."""
    return metric.endswith("_accuracy")


def shown(metric: str, value: float | None) -> float | None:
    """A score as it is shown: accuracies in percent."""
    if value is None:
        return None
    return 100 * value if is_share(metric) else value


def score_words(metric: str) -> str:
    """A score's name for an axis."""
    words = WORDS.get(metric, metric.replace("_", " "))
    return f"{words}, %" if is_share(metric) else words


def rows(values: Sequence[Mapping[str, Any]]) -> alt.Data:
    """Rows of plain values as a chart's data."""
    return alt.Data(values=[dict(row) for row in values])


def colour(field: str, names: Sequence[str], controls: Sequence[str] = ()) -> alt.Color:
    """One colour for each name, the same in all charts of a report; controls are black and grey."""
    colours = [
        *(COLOURS[i % len(COLOURS)] for i in range(len(names))),
        *(GREYS[i % len(GREYS)] for i in range(len(controls))),
    ]
    scale = alt.Scale(domain=[*names, *controls], range=colours)
    legend = None if len(colours) < 2 else alt.Legend(title=None, orient="top", symbolLimit=0)
    return alt.Color(f"{field}:N", scale=scale, legend=legend)


def score_axis(field: str, metric: str) -> alt.Y:
    """A vertical axis for scores, which need not begin at zero."""
    return alt.Y(f"{field}:Q", title=score_words(metric), scale=alt.Scale(zero=False, nice=True))


def score_tip(field: str, metric: str) -> alt.Tooltip:
    """A score where the mouse points."""
    return alt.Tooltip(f"{field}:Q", title=score_words(metric), format=".1f" if is_share(metric) else ",.4~g")


def finished(chart: Any, description: str, height: int = HEIGHT) -> Any:
    """The chart at the page's width, with what a screen reader says."""
    return chart.properties(width="container", height=height, description=description)


def specification(chart: Any) -> dict[str, Any]:
    """What draws a chart, with the looks of all.

    Raises:
        altair's own errors: of a chart that is none.
    """
    found: dict[str, Any] = chart.to_dict()
    found["config"] = _CONFIG
    found.pop("$schema", None)
    return found


_FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
_CONFIG = {
    "font": _FONT,
    "background": "white",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "#374151",
        "titleColor": "#374151",
        "titleFontWeight": "normal",
        "gridColor": "#e5e7eb",
        "domainColor": "#9ca3af",
        "tickColor": "#9ca3af",
        "labelFontSize": 12,
        "titleFontSize": 12,
    },
    "legend": {"labelFontSize": 12, "labelLimit": 240, "symbolType": "circle", "columns": 4},
    "header": {"labelFontSize": 12, "titleFontSize": 12},
    "concat": {"spacing": 12},
}
