"""Caches of several machines that share a place: what one has built, the others copy."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from trainables.errors import InputError
from trainables.latent import cache as cache_module
from trainables.latent.cache import MANIFEST, get_or_build, share_entries
from trainables.latent.shared_cache import SharedCache

KIND, KEY = "things", "0" * 32


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The caches of two machines."""
    monkeypatch.setattr(cache_module, "_shared", {})
    caches = [tmp_path / "one", tmp_path / "other"]
    for cache in caches:
        share_entries(cache, SharedCache(str(tmp_path / "shared")), offer=True)
    return caches


class Builder:
    """Writes a file that tells how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> dict[str, Any]:
        self.calls += 1
        (folder / "data.bin").write_bytes(bytes([self.calls]) * 1000)
        return {"made": self.calls}


def have(cache: Path, build: Builder) -> tuple[bytes, dict[str, Any]]:
    entry = get_or_build(cache, KIND, KEY, build, print, "a thing")
    assert entry.path == cache / KIND / KEY
    return (entry.path / "data.bin").read_bytes(), entry.meta


def test_what_one_machine_built_the_other_copies(machines: list[Path], tmp_path: Path) -> None:
    build = Builder()
    one, other = (have(cache, build) for cache in machines)
    assert one == other == (b"\x01" * 1000, {"made": 1})
    assert build.calls == 1
    assert SharedCache(str(tmp_path / "shared")).has(KIND, KEY)
    (tmp_path / "shared").rename(tmp_path / "gone")
    assert have(machines[1], build) == one and build.calls == 1
    assert not [left for cache in machines for left in cache.glob(".writing-*")]


def test_what_a_machine_had_before_is_offered_to_all(machines: list[Path], tmp_path: Path) -> None:
    build, (shared, _) = Builder(), cache_module._shared.pop(machines[0])
    have(machines[0], build)
    assert not shared.has(KIND, KEY)
    share_entries(machines[0], shared, offer=False)
    have(machines[0], build)
    assert not shared.has(KIND, KEY)
    share_entries(machines[0], shared, offer=True)
    have(machines[0], build)
    assert have(machines[1], build)[1] == {"made": 1}


def test_all_machines_have_the_same_bits_whoever_made_them(machines: list[Path], tmp_path: Path) -> None:
    """A key does not say on what processor an entry was made."""
    build, kept = Builder(), cache_module._shared.pop(machines[1])
    assert have(machines[1], build)[1] == {"made": 1}  # alone, before there was a cluster
    cache_module._shared[machines[1]] = kept
    assert have(machines[0], build)[1] == {"made": 2}
    assert have(machines[1], build)[1] == {"made": 2}
    assert build.calls == 2


def test_what_a_killed_writer_left_is_not_there(machines: list[Path], tmp_path: Path) -> None:
    build = Builder()
    half = tmp_path / "shared" / KIND / f".{KEY}.1a2b3c4d"  # as it is written
    half.mkdir(parents=True)
    (half / "data.bin").write_bytes(b"half")
    assert have(machines[1], build)[1] == {"made": 1}
    assert have(machines[0], build)[1] == {"made": 1}


@pytest.mark.parametrize("offer", [True, False])
def test_a_damaged_entry_is_built_anew_and_mended(machines: list[Path], tmp_path: Path, offer: bool) -> None:
    build = Builder()
    have(machines[0], build)
    place = tmp_path / "shared" / KIND / KEY
    (place / "data.bin").write_bytes(b"\x07" * 1000)
    share_entries(machines[1], SharedCache(str(tmp_path / "shared")), offer=offer)
    damaged = r"is damaged \(data\.bin was changed or cut short\), and is not used"
    with pytest.warns(UserWarning, match=damaged):
        assert have(machines[1], build)[1] == {"made": 2}
    if offer:
        assert (place / "data.bin").read_bytes() == b"\x02" * 1000
        assert json.loads((place / MANIFEST).read_text().splitlines()[1])["meta"] == {"made": 2}
    else:  # it stays as it is, and what was built is not built again
        with pytest.warns(UserWarning, match=damaged):
            assert have(machines[1], build)[1] == {"made": 2}
    assert build.calls == 2


def test_two_that_publish_at_once_leave_one_whole(tmp_path: Path) -> None:
    shared = SharedCache(str(tmp_path / "shared"))
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "data.bin").write_text(name * 100_000)
        (folder / MANIFEST).write_text(name)

    def publish(name: str) -> None:
        for _ in range(50):
            shared.publish(KIND, KEY, tmp_path / name)

    threads = [threading.Thread(target=publish, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = shared.manifest(KIND, KEY)
    assert found in ("a", "b")
    assert (tmp_path / "shared" / KIND / KEY / "data.bin").read_text() == found * 100_000
    assert os.listdir(tmp_path / "shared" / KIND) == [KEY]


def test_a_place_that_cannot_be_written_is_told_in_a_line(machines: list[Path], tmp_path: Path) -> None:
    (tmp_path / "shared").write_text("a file")
    with pytest.raises(InputError, match=r"the cluster's cache .*/shared cannot be used"):
        have(machines[0], Builder())
    assert os.listdir(tmp_path / "one" / KIND) == [KEY]  # its own copy is whole
