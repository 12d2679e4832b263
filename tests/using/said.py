"""Runs ``tune-dd use`` in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tune_dd import cli


def used(*words: str | Path) -> int | str | None:
    """The exit code of a call, which may leave as it reads its flags."""
    with pytest.raises(SystemExit) as left:
        raise SystemExit(cli.main(["use", *map(str, words)]))
    return left.value.code


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one line that a call gets which cannot be done."""
    code = used(*words)
    said = capsys.readouterr()
    assert (code, said.out) == (2, ""), said
    assert said.err.startswith("tune-dd use: ") and said.err.count("\n") == 1, said.err
    return said.err


def files_below(folder: Path) -> dict[Path, bytes]:
    """Every file and its content, hidden ones, too."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
