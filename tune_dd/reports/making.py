"""A report from a sweep's data to its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trainables.errors import InputError
from trainables.whole_files import whole_file
from tune_dd.reports.exports import export
from tune_dd.reports.page import cell_parts, overall_figures, page
from tune_dd.reports.sweep_data import SweepData
from tune_dd.runs.folder import check_writable, refuse_existing

REPORT_FILE = "report.html"


def make_report(
    sweep: SweepData, out: str | None, exports: str | None, report: Callable[[str], None]
) -> list[Path]:
    """Write a sweep's page, and what else is asked for.

    Args:
        out: the page; ``None``: in the sweep's folder.
        exports: a new folder for tables and figures; ``None``: none.
        report: told of pictures that cannot be made.

    Returns:
        What was written.

    Raises:
        InputError: a file cannot be written, or the folder exists.
    """
    path = _page_path(out, sweep)
    if exports:
        refuse_existing(Path(exports))
    parts, overall = cell_parts(sweep, report), overall_figures(sweep)
    with whole_file(path) as stream:
        stream.write(page(sweep, parts, overall).encode())
    written = [path]
    if exports:
        written.append(export(Path(exports), sweep, parts, overall))
    return written


def _page_path(out: str | None, sweep: SweepData) -> Path:
    """Where the page goes; a former one is replaced."""
    path = Path(out).expanduser() if out else sweep.folder / REPORT_FILE
    if path.is_dir():
        raise InputError(
            f"--out is {out}", "it must be a file, and this is a folder", f"give {out}/{REPORT_FILE}"
        )
    if not path.parent.is_dir():
        raise InputError(f"--out is {out}", f"there is no folder {path.parent}", "make it, or choose another")
    check_writable("--out" if out else "RESULTS", path.parent)
    return path
