"""A search opens no test file: every Python process of a real one is watched, the driver and the workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.broken_data import image_folder
from tests.conftest import ROOT

# Python runs sitecustomize.py, where it finds one, at the start of every process.
WATCH = """
import os, sys

place, log = os.environ["WATCHED_PLACE"], os.environ["WATCHED_LOG"]
workers = {"default_worker.py", "setup_worker.py"}

def note(event, args):
    if event != "open" or not isinstance(args[0], (str, bytes, os.PathLike)):
        return
    path = os.path.abspath(os.fsdecode(args[0]))
    if path.startswith(place + os.sep):
        who = "worker" if workers & {os.path.basename(word) for word in sys.orig_argv} else "driver"
        with open(log, "a") as stream:
            stream.write(who + " " + os.path.relpath(path, place) + chr(10))

sys.addaudithook(note)
"""
SEARCH = (
    "search --name watched --storage {out} --cache {place}/cache --datasets custom "
    "--custom-train-dir {place}/train --custom-test-dir {place}/test --searcher grid "
    "--methods implicit kernel_ridge --prototypes 1 --ae-epochs 1 --proto-steps-base 4"
)
EVALUATE = "evaluate {out}/watched --cache {place}/cache --fresh-seeds 2 --top-k 1"


def watched(words: str, tmp_path: Path) -> tuple[int, str, set[str]]:
    """Run ``tune-dd``: its exit code, what it said, and "driver FILE" or "worker FILE" for each open."""
    (tmp_path / "watch").mkdir(exist_ok=True)
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH)
    log = tmp_path / "opened"
    log.write_text("")
    place = tmp_path / "place"
    done = subprocess.run(
        [sys.executable, "-m", "tune_dd.cli", *words.format(place=place, out=tmp_path / "results").split()],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": f"{tmp_path / 'watch'}{os.pathsep}{ROOT}",
            "WATCHED_PLACE": str(place),
            "WATCHED_LOG": str(log),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )
    return done.returncode, done.stdout + done.stderr, set(log.read_text().splitlines())


def folders(opened: set[str]) -> set[tuple[str, str]]:
    """Who opened files of which folder: ("driver", "train") and the like."""
    return {(who, file.partition("/")[0]) for who, _, file in (line.partition(" ") for line in opened)}


@pytest.mark.slow
def test_a_search_opens_no_test_file_and_evaluate_does(tmp_path: Path) -> None:
    image_folder(tmp_path / "place" / "train", per_class=24)
    image_folder(tmp_path / "place" / "test", per_class=4)
    for file in (tmp_path / "place" / "test").glob("*/*.png"):
        file.write_bytes(b"no image: whoever reads it, fails")

    code, said, opened = watched(SEARCH, tmp_path)
    assert code == 0, said
    assert {("driver", "train"), ("driver", "cache"), ("worker", "cache")} <= folders(
        opened
    )  # all are watched
    assert not {who for who, folder in folders(opened) if folder == "test"}
    kinds = {path.name for path in (tmp_path / "place" / "cache").iterdir()}
    assert "latents" in kinds and "test" not in kinds
    assert not (tmp_path / "results" / "watched" / "test_access.jsonl").exists()

    code, said, opened = watched(EVALUATE, tmp_path)
    assert (code, "cannot be decoded" in said) == (2, True), said
    assert ("driver", "test") in folders(opened)
