"""The end of a sweep on the screen: the best trials beside the controls, and what to do next."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, TextIO

from tune_dd.runs.score_table import aligned
from tune_dd.sweeps.live_display import clock, percent
from tune_dd.sweeps.runner import SweepOutcome

SHOWN_PER_CELL = 3
EXIT_CODES = {"finished": 0, "time budget spent": 0, "disk full": 1, "Ray died": 1, "interrupted": 130}
_ACCURACIES = {
    "probe_accuracy": "probe",
    "roundtrip_accuracy": "round trip",
    "ridge_accuracy": "ridge",
    "nn_accuracy": "1-NN",
}


def print_outcome(outcome: SweepOutcome) -> int:
    """Print tables and next commands, or one line on stderr where the sweep has to be resumed.

    Returns:
        The exit code.
    """
    folder, summary = outcome.folder, outcome.summary
    resume = f"tune-dd search --resume --name {folder.name}" + _storage_words(outcome)
    done = sum(trial["status"] != "unfinished" for trial in summary["trials"])
    if outcome.state == "disk full":
        line = f"the disk of {folder} is full after {done} trials: make room, then go on with {resume}"
        print(f"tune-dd search: {line}", file=sys.stderr)
    elif outcome.state == "interrupted":
        print(f"tune-dd search: interrupted after {done} trials: go on with {resume}", file=sys.stderr)
    elif outcome.state == "Ray died":
        print(f"tune-dd search: Ray's node died after {done} trials: go on with {resume}", file=sys.stderr)
    else:
        print_summary(summary, sys.stdout)
        if outcome.state != "finished":
            print(f"\nThe time budget is spent; the rest: {resume}")
        _print_next(outcome)
    return EXIT_CODES[outcome.state]


def print_summary(summary: Mapping[str, Any], stream: TextIO) -> None:
    """One table per cell: the best trials, then what is not ranked: the unfinished trial that is best so far,
    and the controls."""
    trials = {trial["trial_id"]: trial for trial in summary["trials"]}
    for cell in summary["cells"]:
        shown = [
            name for name in _ACCURACIES if name != "roundtrip_accuracy" or cell["backbone"] != "identity"
        ]
        rows = [["trial", "method", *(_ACCURACIES[name] for name in shown), "gap", "CPU s", "bytes", ""]]
        for trial_id in cell["ranking"][:SHOWN_PER_CELL] + cell["under_way"][:1]:
            trial = trials[trial_id]
            note = "" if trial["status"] == "completed" else trial["status"].replace("_", " ")
            if trial["status"] == "unfinished":
                note += f", after {trial['iterations']} iterations"
            rows.append(
                _row(trial_id, trial["config"]["method"], trial["scores"], shown, trial["cpu_s"], note)
            )
        controls = [
            _row("", name, scores, shown, scores.get("optimise_cpu_s"), "control")
            for name, scores in cell["controls"].items()
        ]
        points = f"{cell['m_per_class']} {'point' if cell['m_per_class'] == 1 else 'points'} per class"
        print(f"\n{cell['dataset']}, {cell['backbone']} encoder, seed {cell['seed']}, {points}", file=stream)
        for line in aligned(rows + controls, left=(0, 1, len(rows[0]) - 1)):
            print(f"  {line}", file=stream)
        if not cell["ranking"]:
            print("  no trial has ended with a score", file=stream)
    failed = [trial for trial in summary["trials"] if trial["status"] == "failed"]
    for trial in failed[:SHOWN_PER_CELL]:
        print(f"\ntrial {trial['trial_id']} failed: {trial['reason']}", file=stream)
    if len(failed) > SHOWN_PER_CELL:
        print(f"... and {len(failed) - SHOWN_PER_CELL} more failed; see the summary", file=stream)


def _row(
    trial: str, method: str, scores: Mapping[str, float], shown: Sequence[str], cpu_s: float | None, note: str
) -> list[str]:
    accuracies = [percent(scores[name]) if name in scores else "" for name in shown]
    gap = f"{100 * scores['gap_to_full']:+.1f}"
    return [
        trial,
        method,
        *accuracies,
        gap,
        "" if cpu_s is None else f"{cpu_s:.1f}",
        f"{scores['size_bytes']:,.0f}",
        note,
    ]


def _print_next(outcome: SweepOutcome) -> None:
    folder, storage = outcome.folder, _storage_words(outcome)
    wall = sum(seconds for name, seconds in outcome.summary["timings"].items() if name.endswith("_wall_s"))
    commands = {}
    if any(cell["best"] is not None for cell in outcome.summary["cells"]):
        commands["the best again on fresh seeds, then on test"] = f"tune-dd evaluate {quote(str(folder))}"
        commands["the best trial again, alone"] = f"tune-dd reproduce {quote(str(folder))}"
    commands["more trials"] = f"tune-dd search --warm-start {folder.name}{storage}"
    if (folder / "tensorboard").is_dir():
        commands["curves"] = f"tensorboard --logdir {quote(str(folder / 'tensorboard'))}"
    print(
        f"\nAll scores are on the selection half of the validation data. {clock(wall)} in all."
        f"\nEvery trial is in {folder / 'sweep_summary.json'}.\n\nNext:"
    )
    width = max(map(len, commands))
    for what, command in commands.items():
        print(f"  {what:<{width}}   {command}")


def _storage_words(outcome: SweepOutcome) -> str:
    place = str(outcome.folder.parent)
    return "" if place == str(Path("results").absolute()) else f" --storage {quote(place)}"
