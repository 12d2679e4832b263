"""A report's tables and figures as files for papers and notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_dd.reports.answer import Table
from tune_dd.reports.charts import HEIGHT, Figure, specification
from tune_dd.reports.sweep_data import SweepData
from tune_dd.runs.folder import new_run_folder

if TYPE_CHECKING:
    import pandas as pd

    from tune_dd.reports.page import CellPart

_WIDTH = 640
_SCALE = 2.0
_LATEX = {
    **{letter: f"\\{letter}" for letter in "_%&#${}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def export(
    folder: Path, sweep: SweepData, parts: Sequence[CellPart], overall: Sequence[tuple[str, Figure]]
) -> Path:
    """Fill a new folder, which appears whole or not at all.

    Raises:
        InputError: it exists, or cannot be written.
    """
    with new_run_folder(folder) as place:
        for name, frame in (("trials", trials_frame(sweep)), ("reports", reports_frame(sweep))):
            frame.to_csv(place / f"{name}.csv", index=False)
            frame.to_parquet(place / f"{name}.parquet", index=False)
        text = "\n\n".join(latex(table) for part in parts for table in part.tables)
        (place / "tables.tex").write_text(text + "\n")
        for name, figure in (*overall, *(named for part in parts for named in part.figures)):
            svg, png = drawn(figure)
            (place / f"{name}.svg").write_text(svg)
            (place / f"{name}.png").write_bytes(png)
        for part in parts:
            for picture in part.pictures:
                (place / f"{part.id}-{picture.name}-{picture.trial}.png").write_bytes(picture.png)
    return folder


def trials_frame(sweep: SweepData) -> pd.DataFrame:
    """A row for each trial; its scores, parameters and settings are ``scores.x``, ``params.x``, ``config.x``.

    Values of lists, and of columns that hold several types, are text: Parquet's columns have one type each.
    """
    import pandas as pd

    frame = pd.json_normalize([dict(trial) for trial in sweep.trials])
    for name in frame.select_dtypes(["object", "string"]).columns:
        if len({type(value) for value in frame[name].dropna()}) > 1 or frame[name].map(_is_list).any():
            frame[name] = frame[name].map(lambda value: value if value is None else str(value))
    return frame


def _is_list(value: Any) -> bool:
    return isinstance(value, list | dict)


def reports_frame(sweep: SweepData) -> pd.DataFrame:
    """A row for each report of each trial, as in the journal."""
    import pandas as pd

    return pd.DataFrame(
        [
            {"trial_id": trial["trial_id"], "iteration": iteration, **scores}
            for trial in sweep.trials
            for iteration, scores in sweep.reports(trial["trial_id"])
        ]
    )


def drawn(figure: Figure) -> tuple[str, bytes]:
    """A figure as SVG and PNG, without a browser."""
    import vl_convert

    chart = specification(figure.chart)
    if chart.get("width") == "container":
        chart |= {"width": _WIDTH, "height": chart.get("height", HEIGHT)}
    svg: str = vl_convert.vegalite_to_svg(chart)
    png: bytes = vl_convert.vegalite_to_png(chart, scale=_SCALE)
    return svg, png


def latex(table: Table) -> str:
    """A table for papers, of LaTeX's own commands."""
    lines = [
        f"% {table.title}",
        f"\\begin{{tabular}}{{ll{'r' * (len(table.headings) - 2)}}}",
        "\\hline",
        _row(table.headings),
    ]
    for body in table.bodies:
        lines += ["\\hline", *map(_row, body)]
    return "\n".join([*lines, "\\hline", "\\end{tabular}"])


def _row(cells: Sequence[str]) -> str:
    return " & ".join("".join(_escaped(cell)) for cell in cells) + r" \\"


def _escaped(cell: str) -> Iterator[str]:
    for letter in cell.strip().replace("+-", "\0"):
        yield "$\\pm$" if letter == "\0" else _LATEX.get(letter, letter)
