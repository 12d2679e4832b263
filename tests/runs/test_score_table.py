"""Tables of scores: aligned, in percent, with dashes for what a method lacks."""

from __future__ import annotations

from tune_dd.runs.score_table import score_tables


def test_tables_share_their_columns() -> None:
    text = score_tables(
        {
            "hard": {"full data": {"probe_accuracy": 0.9876, "gap_to_full": 0.0, "size_bytes": 123456.0}},
            "soft": {
                "a method": {"probe_accuracy": 1.0, "gap_to_full": -0.0124, "size_bytes": 80.0},
                "b": {"probe_accuracy": 0.5, "roundtrip_accuracy": 0.25, "optimise_cpu_s": 1.5},
            },
        },
        ("probe_accuracy", "roundtrip_accuracy", "gap_to_full", "optimise_cpu_s", "size_bytes"),
    )
    assert text.splitlines() == [
        "hard       probe  round trip  gap to full  CPU s    bytes",
        "full data   98.8           -         +0.0      -  123,456",
        "",
        "soft       probe  round trip  gap to full  CPU s    bytes",
        "a method   100.0           -         -1.2      -       80",
        "b           50.0        25.0            -   1.50        -",
    ]
