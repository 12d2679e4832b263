"""An evaluated cell as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainables.latent.controls import FULL_DATA
from tune_dd.evaluation.intervals import Difference, Estimate
from tune_dd.runs.score_table import aligned

IMAGE_HEADINGS = {
    "pixel_accuracy": "pixel",
    "pixel_accuracy_mlp": "pixel, MLP",
    "cross_encoder_accuracy": "other encoder",
}
"""Columns of scores of images, where any row has them."""
_WORDS = {"probe_accuracy": "probe", **IMAGE_HEADINGS}


def evaluation_table(cell: Mapping[str, Any]) -> str:
    """Learned rows above, controls below a line; the chosen row is marked with an asterisk.

    Accuracies are percentages of the probe (and of the round trip), with the half-width of the 95%
    interval over seeds; differences are points with the interval of the paired comparison, of the probe or of
    the score of images that the sweep maximised. Scores of images stand in the last columns where they were
    taken: those on test where it was read.

    Args:
        cell: what :func:`tune_dd.evaluation.cells.evaluate_cell` returns.
    """
    headings, learned, controls = evaluation_rows(cell)
    text = aligned([headings, *learned, *controls])
    rule = "-" * max(map(len, text))
    lines = [text[0], rule, *text[1 : 1 + len(learned)], rule, *text[1 + len(learned) :]]
    return "\n".join([evaluation_heading(cell), *lines])


def evaluation_heading(cell: Mapping[str, Any]) -> str:
    """What stands above the table."""
    seeds, encoders = len(cell["seeds"]), len(cell["encoder_seeds"])
    items = f"test: {cell['test_items']} items" if cell["test_items"] else "test: not read"
    return f"{cell['cell']}: {seeds} fresh seeds, {encoders} encoder{'s' * (encoders > 1)}, {items}"


def evaluation_rows(cell: Mapping[str, Any]) -> tuple[list[str], list[list[str]], list[list[str]]]:
    """Headings, the learned rows' cells, and the controls'."""
    part = "test" if cell["test_items"] else "validation"
    images = [name for name in IMAGE_HEADINGS if any(name in row["validation"] for row in cell["rows"])]
    lines = {
        kind: [
            _line(row, cell["chosen"]) + [_percent(row[part], name) for name in images]
            for row in cell["rows"]
            if row["kind"] == kind
        ]
        for kind in ("learned", "control")
    }
    compared = f"chosen minus this, {_WORDS[cell['compared_by']]} (test)"
    own = ["", "validation", "test", "round trip (test)", compared, "CPU s", "kB"]
    headings = [*own, *(f"{IMAGE_HEADINGS[name]} ({part})" for name in images)]
    return headings, lines["learned"], lines["control"]


def chosen_sentence(cell: Mapping[str, Any]) -> str:
    """The cell's result in one sentence, for someone who reads no table."""
    rows = {row["name"]: row for row in cell["rows"]}
    chosen, full = rows[cell["chosen"]], rows[FULL_DATA]
    if not chosen["test"]:
        reached = _reached(cell, chosen["validation"])
        return f"{cell['cell']}: {cell['chosen']} reaches {reached} on validation."
    beaten = [
        name
        for name, row in rows.items()
        if row["kind"] == "control"
        and name != FULL_DATA
        and (row["chosen_minus_this_on_test"] or {}).get("verdict") == "better"
    ]
    others = sum(row["kind"] == "control" for row in rows.values()) - 1
    by = f", by {_WORDS[cell['compared_by']]}" if cell["compared_by"] in IMAGE_HEADINGS else ""
    return (
        f"{cell['cell']}: {cell['chosen']} reaches {_reached(cell, chosen['test'])} on test"
        f"{_against(full['chosen_minus_this_on_test'])}; better than {len(beaten)} of {others} controls "
        f"beyond the interval{by}."
    )


def _against(full: Mapping[str, Any] | None) -> str:
    """What there is between the chosen row and the full data, where both were measured."""
    if full is None:
        return ""
    difference = Difference(full["mean"], full["low"], full["high"])
    return f", {difference} points against the full-data probe ({full['verdict']})"


def _reached(cell: Mapping[str, Any], estimates: Mapping[str, Any]) -> str:
    """The probe's accuracy, and that of what the sweep maximised where it is a score of images."""
    probe, objective = _percent(estimates, "probe_accuracy"), cell["objective"]
    if objective not in IMAGE_HEADINGS:
        return probe
    return f"{probe} ({IMAGE_HEADINGS[objective]}: {_percent(estimates, objective)})"


def _line(row: Mapping[str, Any], chosen: str) -> list[str]:
    versus = row["chosen_minus_this_on_test"]
    cpu_s = row["optimise_cpu_s"]
    return [
        ("* " if row["name"] == chosen else "  ") + row["name"],
        _percent(row["validation"], "probe_accuracy"),
        _percent(row["test"], "probe_accuracy"),
        _percent(row["test"], "roundtrip_accuracy"),
        str(Difference(versus["mean"], versus["low"], versus["high"])) if versus else "",
        "" if cpu_s is None else f"{cpu_s:.2f}",
        f"{row['size_bytes'] / 1000:.1f}",
    ]


def _percent(estimates: Mapping[str, Any] | None, metric: str) -> str:
    """``97.1 +- 0.3``, or a dash for what was not measured."""
    if not estimates or metric not in estimates:
        return "-"
    found = estimates[metric]
    if found["high"] is None:
        return f"{100 * found['mean']:.1f}"
    return str(Estimate(**found)).partition(" (")[0]
