"""The cache: built once, whole or not at all, whatever happens to the processes and the disk."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainables.errors import InputError
from trainables.latent.cache import MANIFEST, content_key, default_cache, get_or_build, open_entry

ROOT = Path(__file__).parent.parent.parent

# A process that builds an entry slowly, in many pieces, and says when it begins and ends.
BUILDER = """
import sys, time
from pathlib import Path
from trainables.latent.cache import get_or_build
cache, piece_s = Path(sys.argv[1]), float(sys.argv[2])
def build(folder):
    print("building", flush=True)
    for index in range(20):
        (folder / f"{index}.bin").write_bytes(bytes([index]) * 50_000)
        time.sleep(piece_s)
    return {"pieces": 20}
entry = get_or_build(cache, "thing", "k", build, lambda line: print(line, flush=True), "the thing")
print("has", entry.meta["pieces"], flush=True)
"""


def start_builder(cache: Path, piece_s: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(cache), str(piece_s)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def build_text(folder: Path) -> dict[str, Any]:
    (folder / "a.txt").write_text("content")
    return {"n": 1}


def get(cache: Path, build: Callable[[Path], dict[str, Any]] = build_text) -> Any:
    return get_or_build(cache, "thing", "k", build, print, "the thing")


def fail(folder: Path) -> dict[str, Any]:
    raise AssertionError("built although it was there")


def test_an_entry_is_built_once_and_then_opened(tmp_path: Path) -> None:
    assert open_entry(tmp_path, "thing", "k") is None
    built, opened = get(tmp_path), get(tmp_path, fail)
    assert (opened.path / "a.txt").read_text() == "content"
    assert built.meta == opened.meta == {"n": 1}


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def build(folder: Path) -> dict[str, Any]:
        (folder / "half").write_text("x")
        raise InputError("this", "is wrong", "stop")

    with pytest.raises(InputError):
        get(tmp_path, build)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_two_processes_at_once_build_once(tmp_path: Path) -> None:
    processes = [start_builder(tmp_path, 0.05) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert sum("building" in output for output in outputs) == 1
    assert sum("waiting for the thing" in output for output in outputs) == 1
    assert all("has 20" in output for output in outputs)


def test_kill_in_mid_write_leaves_the_cache_whole(tmp_path: Path) -> None:
    moments = random.Random(0)
    for _ in range(5):
        process = start_builder(tmp_path, 0.02)
        assert process.stdout is not None
        assert process.stdout.readline() == "building\n"
        time.sleep(moments.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert open_entry(tmp_path, "thing", "k") is None
    assert len(list(tmp_path.glob(".writing-*"))) >= 1
    assert "has 20" in start_builder(tmp_path, 0).communicate(timeout=60)[0]
    assert list(tmp_path.glob(".writing-*")) == []  # those of the dead are swept up
    entry = open_entry(tmp_path, "thing", "k")
    assert entry is not None
    assert {file.name for file in entry.path.iterdir()} == {MANIFEST, *(f"{i}.bin" for i in range(20))}


def test_leftovers_of_other_keys_are_swept_but_not_those_of_the_living(tmp_path: Path) -> None:
    (tmp_path / ".writing-other-dead-x1").mkdir()
    living = start_builder(tmp_path, 0.3)
    assert living.stdout is not None
    living.stdout.readline()
    get_or_build(tmp_path, "thing", "k2", build_text, print, "another")
    left = [path.name for path in tmp_path.glob(".writing-*")]
    living.kill()
    living.communicate()
    assert len(left) == 1
    assert left[0].startswith(".writing-thing-k-")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: flip(entry / "a.txt"),
        lambda entry: (entry / "a.txt").write_text("conten"),
        lambda entry: (entry / "a.txt").unlink(),
        lambda entry: flip(entry / MANIFEST),
        lambda entry: (entry / MANIFEST).write_text(""),
        lambda entry: (entry / MANIFEST).write_bytes(b"\xff\xfe"),
        lambda entry: (entry / MANIFEST).unlink(),
    ],
    ids=["flipped", "cut", "missing", "manifest flipped", "manifest empty", "manifest binary", "no manifest"],
)
def test_a_damaged_entry_is_rebuilt_with_one_warning(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(get(tmp_path).path)
    with pytest.warns(UserWarning, match="damaged") as caught:
        entry = get(tmp_path)
    assert len(caught) == 1
    assert (entry.path / "a.txt").read_text() == "content"
    assert get(tmp_path, fail).meta == {"n": 1}


def test_looking_at_damage_warns_of_nothing(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    flip(get(tmp_path).path / "a.txt")
    assert open_entry(tmp_path, "thing", "k") is None  # a sweep looks first, then builds it again
    assert len(recwarn) == 0


def test_damage_in_a_large_file_is_noticed_where_it_is_cut_or_zeroed(tmp_path: Path) -> None:
    def build(folder: Path) -> dict[str, Any]:
        (folder / "large").write_bytes(random.Random(0).randbytes(40 << 20))
        return {}

    large = get(tmp_path, build).path / "large"
    content = large.read_bytes()
    assert get(tmp_path, fail) is not None
    large.write_bytes(content[: 20 << 20] + bytes(20 << 20))
    with pytest.warns(UserWarning, match="large was changed"):
        get(tmp_path, build)


def test_a_cache_that_cannot_be_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written.*--cache"):
        get(tmp_path / "file")
    with pytest.raises(InputError, match=r"cannot be written.*--cache"):
        get(Path("/proc/nowhere"))


def test_a_full_disk_is_one_line_and_leaves_nothing(small_disk: Callable[[str], Path]) -> None:
    cache = small_disk("1m")

    def build(folder: Path) -> dict[str, Any]:
        with (folder / "big").open("wb") as stream:
            for _ in range(100):
                stream.write(bytes(100_000))
        return {}

    with pytest.raises(InputError, match=r"is full.*--cache"):
        get(cache, build)
    assert list(cache.glob(".writing-*")) == []
    assert open_entry(cache, "thing", "k") is None


def test_keys_tell_contents_apart_and_not_orders() -> None:
    assert content_key({"a": 1, "b": [2]}) == content_key(json.loads('{"b": [2], "a": 1}'))
    assert content_key({"a": 1}) != content_key({"a": 2})


def test_the_default_place_is_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache() == Path("/somewhere/tune-dd")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache" / "tune-dd"
