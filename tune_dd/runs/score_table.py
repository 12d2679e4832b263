"""Tables of scores for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

Scores = Mapping[str, float]

COLUMNS = {
    "probe_accuracy": "probe",
    "roundtrip_accuracy": "round trip",
    "ridge_accuracy": "ridge",
    "nn_accuracy": "1-NN",
    "balanced_accuracy": "balanced",
    "gap_to_full": "gap to full",
    "optimise_cpu_s": "CPU s",
    "size_bytes": "bytes",
}
"""Score -> heading, in the order shown. Accuracies and the gap are shown in percent and points."""


def score_tables(tables: Mapping[str, Mapping[str, Scores]], columns: Sequence[str] = tuple(COLUMNS)) -> str:
    """Tables under each other, their columns in line; a score that a method lacks shows as a dash.

    Args:
        tables: heading -> method -> its scores.
        columns: keys of :data:`COLUMNS` to show.
    """
    blocks = []
    for heading, rows in tables.items():
        lines = [[heading, *(COLUMNS[column] for column in columns)]]
        lines += [
            [name, *(_cell(column, scores.get(column)) for column in columns)]
            for name, scores in rows.items()
        ]
        blocks.append(lines)
    widths = [max(map(len, column)) for column in zip(*chain.from_iterable(blocks), strict=True)]
    return "\n\n".join("\n".join(_line(cells, widths) for cells in lines) for lines in blocks)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]).rstrip()


def _cell(column: str, value: float | None) -> str:
    if value is None:
        return "-"
    if column == "size_bytes":
        return f"{value:,.0f}"
    if column == "optimise_cpu_s":
        return f"{value:.2f}"
    return f"{100 * value:+.1f}" if column == "gap_to_full" else f"{100 * value:.1f}"
