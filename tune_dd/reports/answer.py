"""A sweep's result in words and tables: what a reader sees first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainables.latent.controls import FULL_DATA
from tune_dd.evaluation.table import chosen_sentence, evaluation_heading, evaluation_rows
from tune_dd.reports.charts import is_share, score_words
from tune_dd.reports.sweep_data import CellData, SweepData
from tune_dd.sweeps.live_display import clock
from tune_dd.sweeps.plurals import counted
from tune_dd.sweeps.sessions import all_versions
from tune_dd.sweeps.tables import cell_rows, covered_words, wall_s

MOST_ANSWERS = 6


@dataclass(frozen=True)
class Table:
    """A table of words.

    Attributes:
        title: what it holds.
        headings: of its columns.
        bodies: groups of rows with a line between them.
    """

    title: str
    headings: Sequence[str]
    bodies: Sequence[Sequence[Sequence[str]]]


def answers(sweep: SweepData) -> list[str]:
    """What was found, a sentence or two for each cell; those of many cells are in their own parts."""
    found = [_answer(sweep, cell) for cell in sweep.cells[:MOST_ANSWERS]]
    left = len(sweep.cells) - len(found)
    return found + ([f"{counted(left, 'further cell')} below."] if left else [])


def _answer(sweep: SweepData, cell: CellData) -> str:
    best, heading = cell.best, sweep.kind.heading(cell.cell)
    if cell.evaluation is not None:
        return chosen_sentence(cell.evaluation)
    if best is None:
        return f"{heading}: no trial has ended with a score."
    reached = f"{heading}: the best of {counted(len(cell.scored), 'trial')} is {_named(sweep, cell)} with "
    words = score_words(sweep.metric).removesuffix(", %")
    reached += f"{_score(sweep.metric, best['scores'][sweep.metric])} {words}"
    controls = {
        name: scores[sweep.metric]
        for name, scores in cell.entry["controls"].items()
        if sweep.metric in scores and name != FULL_DATA
    }
    if controls:
        name = max(controls, key=lambda name: controls[name])
        reached += f"; the best control, {name}, has {_score(sweep.metric, controls[name])}"
    full = cell.entry["controls"].get(FULL_DATA, {}).get(sweep.metric)
    if full is not None:
        reached += f", all data {_score(sweep.metric, full)}"
    where = ", on validation, one run each" if is_share(sweep.metric) else ""
    return f"{reached}{where}. The best of many owes a part of its lead to luck; next: {_confirm(sweep)}"


def _confirm(sweep: SweepData) -> str:
    commands = sweep.kind.next_commands(sweep.folder, sweep.summary)
    return next(iter(commands.values()), "run it again on fresh seeds")


def _named(sweep: SweepData, cell: CellData) -> str:
    assert cell.best is not None
    return f"{sweep.kind.set_name(cell.cell, cell.best['config'])} (trial {cell.best['trial_id']})"


def _score(metric: str, value: float) -> str:
    return f"{100 * value:.1f}%" if is_share(metric) else f"{value:,.1f}"


def tables_of(sweep: SweepData, cell: CellData) -> list[Table]:
    """A cell's best trials beside the controls; and what the evaluation found, if there was one."""
    found = []
    if cell.evaluation is not None:
        headings, learned, controls = evaluation_rows(cell.evaluation)
        title = f"{evaluation_heading(cell.evaluation)}; accuracies in percent, differences in points"
        found.append(Table(title, headings, [learned, controls]))
    by_id = {trial["trial_id"]: trial for trial in cell.trials}
    headings, rows, controls = cell_rows(sweep.kind, cell.cell, cell.entry, by_id)
    what = "The front" if cell.entry.get("pareto") else "The best trials"
    found.append(Table(f"{what} of the search and the controls, one run each", headings, [rows, controls]))
    return found


def notes_of(cell: CellData) -> list[str]:
    """What else there is to say of a cell."""
    if cell.entry.get("pareto") and cell.entry["ranking"]:
        return [covered_words(cell.entry["pareto"]).capitalize() + "."]
    return []


def facts_of(sweep: SweepData) -> list[tuple[str, str]]:
    """What was searched, and what it cost."""
    config, summary = sweep.kind.config, sweep.summary
    ends = Counter(str(trial["status"]).replace("_", " ") for trial in sweep.trials)
    cpu = sum(trial["cpu_s"] or 0.0 for trial in sweep.trials)
    methods = [name for name in sweep.names if name]
    return [
        ("state", str(summary["state"])),
        ("trials", f"{len(sweep.trials)}: " + ", ".join(f"{count} {end}" for end, count in ends.items())),
        ("what was maximised", score_words(sweep.metric).removesuffix(", %")),
        ("rows", ", ".join(methods)),
        ("searcher, early stopping", f"{config.searcher}, {'ASHA' if config.early_stopping else 'none'}"),
        ("search space", config.space),
        ("time in all", f"{clock(wall_s(summary))}; trials took {cpu:,.0f} CPU s"),
        ("scores are", " ".join(sweep.kind.scores_are.split())),
    ]


def record_of(sweep: SweepData) -> list[tuple[str, str]]:
    """Seeds, versions and data by which the sweep can be had again."""
    config, summary = sweep.kind.config, sweep.summary
    found = [("seeds", ", ".join(map(str, config.seeds))), ("seed of the searcher", str(config.seed))]
    for name, values in _versions(summary).items():
        found.append((name, ", ".join(values)))
    for source, facts in summary["data"].items():
        digest = facts.get("data_fingerprint") or facts["key"]
        found.append((f"data of {source}", str(digest)[:16]))
    return found


def _versions(summary: Any) -> dict[str, list[str]]:
    """Each package's versions, several where sessions differ."""
    found: dict[str, dict[str, None]] = {}
    for versions in all_versions(summary):
        for name, version in versions.items():
            found.setdefault(name, {})[str(version)] = None
    return {name: list(values) for name, values in found.items()}
