"""The report: one HTML file that needs nothing else."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import quote as quote_url

from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup

from tune_dd.reports.answer import Table, answers, facts_of, notes_of, record_of, tables_of
from tune_dd.reports.charts import Figure, is_share, score_words, shown, specification
from tune_dd.reports.course_charts import course_figures
from tune_dd.reports.parameter_charts import parameter_figures
from tune_dd.reports.pictures import Picture, pictures_of
from tune_dd.reports.size_charts import front_figure, size_figure, spent_figure
from tune_dd.reports.sweep_data import CellData, SweepData, Trial

ASSETS = Path(__file__).parent / "assets"
MOST_OPEN = 4
"""Cells beyond these are there, but closed, until somebody opens them."""


@dataclass(frozen=True)
class CellPart:
    """A cell's part of the page."""

    id: str
    title: str
    open: bool
    tables: Sequence[Table]
    notes: Sequence[str]
    figures: Sequence[tuple[str, Figure]]
    pictures: Sequence[Picture]


def cell_parts(sweep: SweepData, report: Callable[[str], None]) -> list[CellPart]:
    """All cells with their figures, named so that no two of the page have one name."""
    parts = []
    for number, cell in enumerate(sweep.cells):
        figures = [*course_figures(sweep, cell), *filter(None, [front_figure(sweep, cell)])]
        figures += parameter_figures(sweep, cell)
        parts.append(
            CellPart(
                f"cell-{number}",
                sweep.kind.heading(cell.cell),
                number < MOST_OPEN,
                tables_of(sweep, cell),
                notes_of(cell),
                [(f"{number}-{figure.name}", figure) for figure in figures],
                pictures_of(sweep, cell, report) if number < MOST_OPEN else (),
            )
        )
    return parts


def overall_figures(sweep: SweepData) -> list[tuple[str, Figure]]:
    """Those that span cells: sizes, and what methods cost."""
    by_group: dict[str, list[CellData]] = {}
    for cell in sweep.cells:
        if cell.cell.size is not None:
            by_group.setdefault(cell.cell.group, []).append(cell)
    found = [size_figure(sweep, group, cells) for group, cells in by_group.items()]
    named = [(f"sizes-{number}", figure) for number, figure in enumerate(found) if figure is not None]
    spent = spent_figure(sweep)
    return named + ([("spent", spent)] if spent else [])


def page(sweep: SweepData, parts: Sequence[CellPart], overall: Sequence[tuple[str, Figure]]) -> str:
    """The report's HTML."""
    figures = [*overall, *(named for part in parts for named in part.figures)]
    charts = {name: specification(figure.chart) for name, figure in figures}
    failed = [trial for trial in sweep.trials if trial["status"] in ("failed", "diverged")]
    return _template().render(
        title=f"Sweep {sweep.name}",
        lead=f"{sweep.kind.config.KIND.capitalize()} distillation; {len(sweep.trials)} trials in "
        f"{len(sweep.cells)} {'cell' if len(sweep.cells) == 1 else 'cells'}, {sweep.summary['state']}",
        # As they are, where all words of trials are escaped.
        style=Markup(_asset("page.css")),
        script=Markup(_asset("page.js")),
        library=Markup(_library()),
        charts=Markup(_script_json(charts)),
        answer=answers(sweep),
        facts=facts_of(sweep),
        record=record_of(sweep),
        overall_title="Across cells" if len(sweep.cells) > 1 else "Cost",
        overall=[_named(name, figure) for name, figure in overall],
        cells=[
            {**vars(part), "figures": [_named(name, figure) for name, figure in part.figures]}
            for part in parts
        ],
        failures=Table(
            "Trials without a score", ["trial", "cell", "", "reason"], [[_failure(trial) for trial in failed]]
        )
        if failed
        else None,
        trials=trial_table(sweep),
    )


def _named(name: str, figure: Figure) -> dict[str, Any]:
    return {"id": name, "title": figure.title, "caption": figure.caption, "wide": figure.wide}


def _failure(trial: Trial) -> list[str]:
    why = trial["reason"] or ("its loss left the finite numbers" if trial["status"] == "diverged" else "")
    return [trial["trial_id"], trial["cell"], trial["status"], why]


def trial_table(sweep: SweepData) -> dict[str, Any]:
    """The table of all trials, with a link to each one's files and what runs it again."""
    metric, config = sweep.metric, sweep.kind.config
    other = config.axes[1].metric if config.axes else config.TIE_BREAKS[metric]
    parameters = list(dict.fromkeys(name for trial in sweep.trials for name in trial["params"]))
    parameters = [name for name in parameters if name != "method"]  # which names the row
    headings = [
        "trial",
        "name",
        "cell",
        "status",
        score_words(metric),
        score_words(other),
        "reports",
        "CPU s",
    ]
    rows = []
    for trial in sweep.trials:
        cells = [
            _cell(trial["trial_id"], link=trial["run"] and f"{quote_url(trial['run'])}/"),
            _cell(sweep.name_of(trial)),
            _cell(trial["cell"]),
            _cell(trial["status"].replace("_", " ")),
            *(_score_cell(name, trial["scores"].get(name)) for name in (metric, other)),
            _cell(trial["iterations"]),
            _cell(trial["cpu_s"]),
            *(_cell(trial["params"].get(name)) for name in parameters),
        ]
        command = f"tune-dd reproduce {quote(sweep.place)} --trial {trial['trial_id']}"
        rows.append({"trial": trial["trial_id"], "cells": cells, "command": command})
    return {"headings": headings + parameters, "rows": rows}


def _score_cell(metric: str, score: float | None) -> dict[str, Any]:
    found = _cell(shown(metric, score))
    return (
        {**found, "words": f"{shown(metric, score):.1f}"} if score is not None and is_share(metric) else found
    )


def _cell(value: Any, link: str | None = None) -> dict[str, Any]:
    """A value as it is sorted, and as it is read."""
    words, number = value, isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, float):
        words = f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    exact = "" if value is None else value
    return {"value": exact, "words": "" if words is None else words, "link": link, "number": number}


@functools.cache
def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script, from the package that also writes the pictures."""
    import vl_convert

    found: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # without a snippet it is the library
    return found.replace("</script", "<\\/script")


def _script_json(content: Mapping[str, Any]) -> str:
    """JSON inside a script: nothing in it may end the script."""
    return json.dumps(content, allow_nan=False).replace("<", "\\u003c")


def _asset(name: str) -> str:
    return (ASSETS / name).read_text()


def _template() -> Template:
    loader = FileSystemLoader(ASSETS)
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("page.html.j2")
