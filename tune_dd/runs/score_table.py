"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

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

WORDS = {
    "probe_accuracy": "probe accuracy",
    "roundtrip_accuracy": "round trip accuracy",
    "cross_encoder_accuracy": "accuracy, other encoder",
    "pixel_accuracy": "pixel accuracy",
    "balanced_accuracy": "balanced accuracy",
    "probe_return": "return of fresh learners",
    "greedy_return": "return, greedy actions",
    "normalised_score": "share of the way to the target return",
    "size_bytes": "bytes of the set",
    "inner_lr": "inner learning rate",
}
"""Score -> its name along an axis."""


def score_tables(tables: Mapping[str, Mapping[str, Scores]], columns: Sequence[str] = tuple(COLUMNS)) -> str:
    """Tables under each other, their columns in line; a score that a method lacks shows as a dash.

    Args:
        tables: heading -> method -> its scores.
        columns: keys of :data:`COLUMNS` to show.
    """
    lines: list[list[str]] = []
    for heading, rows in tables.items():
        if lines:
            lines.append([""] * (1 + len(columns)))
        lines.append([heading, *(COLUMNS[column] for column in columns)])
        lines += [
            [name, *(_cell(column, scores.get(column)) for column in columns)]
            for name, scores in rows.items()
        ]
    return "\n".join(aligned(lines))


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """Rows of equally many cells as lines whose columns stand under each other.

    Args:
        left: columns that are flush left, such as names; the others, mostly numbers, are flush right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def percent(share: float) -> str:
    """``96.7%``."""
    return f"{100 * share:.1f}%"


def _cell(column: str, value: float | None) -> str:
    if value is None:
        return "-"
    if column == "size_bytes":
        return f"{value:,.0f}"
    if column == "optimise_cpu_s":
        return f"{value:.2f}"
    return f"{100 * value:+.1f}" if column == "gap_to_full" else f"{100 * value:.1f}"
