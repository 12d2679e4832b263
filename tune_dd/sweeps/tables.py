"""The end of a sweep on the screen: the best trials beside the controls, and what to do next."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, TextIO

from tune_dd.flags import INTERRUPTED
from tune_dd.runs.places import bucket_of, place_of
from tune_dd.runs.score_table import aligned
from tune_dd.sweeps.front_picture import FRONTS_FILE
from tune_dd.sweeps.journal import SCORED
from tune_dd.sweeps.kind import Kind
from tune_dd.sweeps.live_display import clock
from tune_dd.sweeps.plurals import counted
from tune_dd.sweeps.runner import SweepOutcome
from tune_dd.sweeps.settings import Cell

SHOWN_PER_CELL = 3
EXIT_CODES = {
    "finished": 0,
    "time budget spent": 0,
    "disk full": 1,
    "Ray died": 1,
    "interrupted": INTERRUPTED,
}


def print_outcome(outcome: SweepOutcome) -> int:
    """Print tables and next commands, or one line on stderr where the sweep has to be resumed.

    Returns:
        The exit code.
    """
    folder, summary = outcome.folder, outcome.summary
    resume = f"{outcome.kind.config.COMMAND} --resume --name {folder.name}" + _storage_words(outcome)
    done = counted(sum(trial["status"] != "unfinished" for trial in summary["trials"]), "trial")
    if outcome.state == "disk full":
        line = f"the disk of {folder} is full after {done}: make room, then go on with {resume}"
        print(f"tune-dd search: {line}", file=sys.stderr)
    elif outcome.state == "interrupted":
        print(f"tune-dd search: interrupted after {done}: go on with {resume}", file=sys.stderr)
    elif outcome.state == "Ray died":
        print(f"tune-dd search: Ray's node died after {done}: go on with {resume}", file=sys.stderr)
    else:
        print_summary(outcome.kind, summary, sys.stdout)
        if outcome.state != "finished":
            print(f"\nThe time budget is spent; the rest: {resume}")
        _print_next(outcome)
    return EXIT_CODES[outcome.state]


def print_summary(kind: Kind[Any], summary: Mapping[str, Any], stream: TextIO) -> None:
    """One table per cell: the best trials, then what is not ranked: the unfinished trial that is best so far,
    and the controls."""
    trials = {trial["trial_id"]: trial for trial in summary["trials"]}
    cells = {str(cell): cell for cell in kind.config.cells}
    for entry in summary["cells"]:
        cell, pareto = cells[entry["cell"]], entry.get("pareto")
        headings, rows, controls = cell_rows(kind, cell, entry, trials)
        print(f"\n{kind.heading(cell)}", file=stream)
        for line in aligned([headings, *rows, *controls], left=(0, 1, len(headings) - 1)):
            print(f"  {line}", file=stream)
        if not entry["ranking"]:
            print("  no trial has ended with a score", file=stream)
        elif pareto:
            print(f"  {covered_words(pareto)}", file=stream)
    _print_spent(kind, summary["trials"], stream)
    failed = [trial for trial in summary["trials"] if trial["status"] == "failed"]
    for trial in failed[:SHOWN_PER_CELL]:
        print(f"\ntrial {trial['trial_id']} failed: {trial['reason']}", file=stream)
    if len(failed) > SHOWN_PER_CELL:
        print(f"... and {len(failed) - SHOWN_PER_CELL} more failed; see the summary", file=stream)


def cell_rows(
    kind: Kind[Any], cell: Cell, entry: Mapping[str, Any], trials: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], list[list[str]], list[list[str]]]:
    """A cell's table: headings, its best trials (or its front) with the unfinished one that is best so far,
    and its controls.

    Args:
        entry: of ``cells`` in ``sweep_summary.json``.
        trials: entries of ``trials`` there, by id.
    """
    pareto = entry.get("pareto")
    shown = [member["trial_id"] for member in pareto["front"]] if pareto else entry["ranking"]
    rows = []
    for trial_id in shown[: None if pareto else SHOWN_PER_CELL] + entry["under_way"][:1]:
        trial = trials[trial_id]
        note = "" if trial["status"] == "completed" else trial["status"].replace("_", " ")
        if trial["status"] == "unfinished":
            note += f", after {counted(trial['iterations'], 'iteration')}"
        scores = {**trial["scores"], "cpu_s": trial["cpu_s"]}
        rows.append([trial_id, *kind.row(cell, kind.set_name(cell, trial["config"]), scores), note])
    controls = [["", *kind.row(cell, name, scores), "control"] for name, scores in entry["controls"].items()]
    return ["trial", *kind.columns(cell), ""], rows, controls


def covered_words(pareto: Mapping[str, Any]) -> str:
    """What a cell's front covers, in a sentence."""
    ends = [f"{_bound(axis, 'reference')} to {_bound(axis, 'ideal')}" for axis in pareto["axes"]]
    members = counted(len(pareto["front"]), "trial")
    return (
        f"front of {members}, hypervolume {pareto['hypervolume']:.4f} (share of {' x '.join(ends)}), "
        f"reached after {pareto['reached_after']} of {counted(pareto['trials'], 'trial')}"
    )


def _bound(axis: Mapping[str, Any], end: str) -> str:
    return f"{axis[end]:,.0f} bytes" if axis["score"] == "size_bytes" else f"{100 * axis[end]:g}%"


def _print_spent(kind: Kind[Any], trials: Sequence[Mapping[str, Any]], stream: TextIO) -> None:
    """What each method had of the machine: a slow one may look bad for having been stopped too soon."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for trial in trials:
        by_name.setdefault(kind.trial_name(trial["config"]), []).append(trial)
    if len(by_name) < 2:
        return
    rows = [[kind.columns(kind.config.cells[0])[0], "trials", "complete", "stopped early", "CPU s"]]
    for name, own in by_name.items():
        ends = [str(sum(trial["status"] == end for trial in own)) for end in SCORED]
        rows.append([name, str(len(own)), *ends, f"{sum(trial['cpu_s'] or 0.0 for trial in own):.1f}"])
    print("\nwhat was spent", file=stream)
    for line in aligned(rows, left=(0,)):
        print(f"  {line}", file=stream)


def wall_s(summary: Mapping[str, Any]) -> float:
    """Seconds that a sweep took, all sessions' parts together."""
    return sum(seconds for name, seconds in summary["timings"].items() if name.endswith("_wall_s"))


def _print_next(outcome: SweepOutcome) -> None:
    folder, storage, kind = outcome.folder, _storage_words(outcome), outcome.kind
    commands: dict[str, str] = {}
    if any(cell["best"] is not None for cell in outcome.summary["cells"]):
        commands |= kind.next_commands(folder, outcome.summary)
        if (folder / FRONTS_FILE).exists():
            commands["the front, drawn"] = quote(str(folder / FRONTS_FILE))
        commands["a page to look at"] = f"tune-dd report {quote(place_of(folder))}"
        commands["the best trial again, alone"] = f"tune-dd reproduce {quote(place_of(folder))}"
    commands["more trials"] = f"{kind.config.COMMAND} --warm-start {folder.name}{storage}"
    if (folder / "tensorboard").is_dir():
        commands["curves"] = f"tensorboard --logdir {quote(str(folder / 'tensorboard'))}"
    print(
        f"\n{kind.scores_are} {clock(wall_s(outcome.summary))} in all."
        f"\nEvery trial is in {folder / 'sweep_summary.json'}"
        + (f", and in {place_of(folder)}" if bucket_of(folder) else "")
        + ".\n\nNext:"
    )
    width = max(map(len, commands))
    for what, command in commands.items():
        print(f"  {what:<{width}}   {command}")


def _storage_words(outcome: SweepOutcome) -> str:
    place = place_of(outcome.folder.parent)
    return "" if place == str(Path("results").absolute()) else f" --storage {quote(place)}"
