"""What a sweep alone can get wrong; the table of all verbs stands in tests/cli/test_bad_input.py."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tune_dd import search
from tune_dd.sweeps.results import write_sweep
from tune_dd.sweeps.settings import SweepConfig

FEATURES = "--datasets features --features-train features.npz"


@dataclass(frozen=True)
class Case:
    """A command line and what its complaint must contain (a regular expression)."""

    words: str
    says: str


CASES = [
    Case("--methods implicit implicit", "--methods is implicit implicit.*each value once"),
    Case("--space latnt", "--space is 'latnt'.*did you mean 'latent'"),
    Case("--proto-rl-lrs 0.1", "--proto-rl-lrs is not a flag of this command: see tune-dd search --help"),
    Case("--searcher grid --warm-start old", "--warm-start is old with --searcher grid"),
    Case("--objective roundtrip_accuracy " + FEATURES, "--objective is roundtrip_accuracy.*no decoder"),
    Case("--backbones conv " + FEATURES, "--backbone is conv.*identity"),
    Case("--prototypes 50 " + FEATURES, "--prototypes is 50.*smallest class of features has"),
    Case("--features-train features.npz", "--features-train is given without --datasets features"),
    Case("--weights default", "--weights is 'default'.*conv"),
    Case("--name=-x", "--name is '-x'"),
    Case("--name=", "--name is ''"),
    Case("--name old", "--name is old, and .* exists already.*--resume.*--warm-start"),
    Case("--name new --storage results/old", "inside the sweep old.*give --storage .*results\\.$"),
    Case("--resume --name tune --storage results/old", "where no sweep is.*the sweep old lies in --storage"),
    Case("--storage /proc/x", "--storage is /proc/x.*: give another folder\\.$"),
    Case("--resume --name newer", "schema version 99"),
    Case("--resume --name old --prototypes 3", "--prototypes is 3 with --resume.*started with 1 10"),
    Case("--resume --name old --lr 0.5", "--lr is 0.5 with --resume.*started with"),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an earlier sweep, one of a later version, and features of two small classes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    np.savez("features.npz", features=x, labels=np.arange(60) % 2)
    Path("file").write_text("no folder")
    for name in ("old", "newer"):
        folder = Path("results") / name
        folder.mkdir(parents=True)
        config = SweepConfig(name=name, storage=str(folder.parent.absolute()))
        write_sweep(folder, config, {})
    content = json.loads(Path("results/newer/sweep.json").read_text())
    Path("results/newer/sweep.json").write_text(json.dumps({**content, "schema_version": 99}))
    return tmp_path


def files(place: Path) -> set[Path]:
    return {path for path in place.rglob("*") if "cache" not in path.relative_to(place).parts}


def complaint(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    try:
        code = search.main(words)
    except SystemExit as leaving:
        code = leaving.code
    said = capsys.readouterr()
    assert code == 2, said
    lines = said.err.splitlines()
    assert len(lines) == 1, said.err
    return lines[0]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words.replace("/", "_"))
def test_bad_sweep_is_told_in_one_line(case: Case, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(place)
    line = complaint(case.words.split(), capsys)
    assert line.startswith("tune-dd search: ")
    assert re.search(case.says, line), line
    assert files(place) == before


def test_address_that_answers_as_no_ray_does_is_told_soon(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        started = time.monotonic()
        line = complaint(["--address", f"127.0.0.1:{server.getsockname()[1]}"], capsys)
        assert "does not answer as Ray does" in line
        assert time.monotonic() - started < 20


def test_nearly_full_storage_is_told(
    place: Path, small_disk: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    disk = small_disk("8m")
    line = complaint(["--storage", str(disk / "results")], capsys)
    assert re.search("--storage is .* with 8 MB free.*at least 16 MB", line)
    assert not list(disk.iterdir())
