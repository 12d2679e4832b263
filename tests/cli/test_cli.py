"""The command itself: its verbs, their help, and the same verbs as scripts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, run_python
from tune_dd import __version__, cli
from tune_dd.cli import VERBS


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"tune-dd {__version__}\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["serch"], "tune-dd: serch is not a command: did you mean search?\n"),
        (
            ["zzz"],
            "tune-dd: zzz is not a command: "
            "choose one of search, distill, evaluate, reproduce, report, verdict, check, validate, use.\n",
        ),
    ],
)
def test_an_unknown_verb_gets_a_suggestion(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("verb", ["", *VERBS, "search environment", "distill environment"])
def test_help_needs_neither_torch_nor_ray(verb: str) -> None:
    code = (
        "import sys\nfrom tune_dd import cli\n"
        "try: cli.main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "sys.exit(bool({'torch', 'ray', 'optuna', 'numpy', 'gymnasium'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *verb.split(), "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "tune-dd" in done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_scripts_run_from_anywhere(tmp_path: Path, verb: str) -> None:
    script = ROOT / "tune_dd" / f"{verb}.py"
    done = run_python(str(script), "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: tune-dd {verb} ")
