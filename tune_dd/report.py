"""``tune-dd report``: a finished sweep as one page that opens anywhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tune_dd.flags import FlagParser, add_sweep, main_guard, parser


def build_parser() -> FlagParser:
    """The flags of ``tune-dd report``."""
    made = parser(
        "tune-dd report",
        "Write results/NAME/report.html: what the sweep found beside its controls, how trials went, what "
        "mattered, and every trial with the command that runs it again. One file, which opens offline.",
    )
    add_sweep(made)
    made.add_flag("--out", str, "the page (default: report.html in the sweep's folder)", metavar="FILE")
    made.add_flag(
        "--export",
        str,
        "also write tables (CSV, Parquet, LaTeX) and figures (SVG, PNG) into this new folder",
        metavar="DIR",
    )
    return made


@main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; returns the exit code."""
    flags = build_parser().parse(argv)

    from tune_dd.reports.making import make_report
    from tune_dd.reports.sweep_data import read_sweep_data
    from tune_dd.sweeps.ray_session import quiet_ray

    quiet_ray()
    sweep = read_sweep_data(flags["results"], flags["cache"])
    for path in make_report(sweep, flags["out"], flags["export"], lambda line: print(line, file=sys.stderr)):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
