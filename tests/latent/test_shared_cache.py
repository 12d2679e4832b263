"""Caches of several machines that share a place: what one has built, the others copy."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from trainables.buckets import Bucket
from trainables.errors import InputError
from trainables.latent import cache as cache_module
from trainables.latent.cache import MANIFEST, get_or_build, share_entries
from trainables.latent.shared_cache import SharedCache, open_shared
from trainables.latent.shared_folder import SharedFolder

KIND, KEY = "things", "0" * 32


@pytest.fixture(params=["folder", "bucket"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> SharedCache:
    """What machines share."""
    if request.param == "folder":
        return open_shared(str(tmp_path / "shared"))
    place: Bucket = request.getfixturevalue("bucket")
    return open_shared(place.uri)


@pytest.fixture
def machines(tmp_path: Path, shared: SharedCache, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The caches of two machines."""
    monkeypatch.setattr(cache_module, "_shared", {})
    caches = [tmp_path / "one", tmp_path / "other"]
    for cache in caches:
        share_entries(cache, shared, offer=True)
    return caches


def put(shared: SharedCache, name: str, content: bytes) -> None:
    """A file of an entry, as it lies there."""
    if isinstance(shared, SharedFolder):
        file = Path(shared.place) / KIND / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    else:
        (Bucket(shared.place) / KIND).write(name, content)


def lying(shared: SharedCache) -> list[str]:
    """Names that :func:`put` takes."""
    if isinstance(shared, SharedFolder):
        place = Path(shared.place) / KIND
        return [str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()]
    return list((Bucket(shared.place) / KIND).files())


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


def test_what_one_machine_built_the_other_copies(machines: list[Path], shared: SharedCache) -> None:
    build = Builder()
    one, other = (have(cache, build) for cache in machines)
    assert one == other == (b"\x01" * 1000, {"made": 1})
    assert build.calls == 1
    assert shared.has(KIND, KEY)
    share_entries(machines[1], open_shared(f"{shared.place}/elsewhere"), offer=False)
    assert have(machines[1], build) == one and build.calls == 1
    assert not [left for cache in machines for left in cache.glob(".writing-*")]


def test_what_a_machine_had_before_is_offered_to_all(machines: list[Path], shared: SharedCache) -> None:
    build = Builder()
    cache_module._shared.pop(machines[0])
    have(machines[0], build)
    assert not shared.has(KIND, KEY)
    share_entries(machines[0], shared, offer=False)
    have(machines[0], build)
    assert not shared.has(KIND, KEY)
    share_entries(machines[0], shared, offer=True)
    have(machines[0], build)
    assert have(machines[1], build)[1] == {"made": 1}


def test_all_machines_have_the_same_bits_whoever_made_them(machines: list[Path]) -> None:
    """A key does not say on what processor an entry was made."""
    build, kept = Builder(), cache_module._shared.pop(machines[1])
    assert have(machines[1], build)[1] == {"made": 1}  # alone, before there was a cluster
    cache_module._shared[machines[1]] = kept
    assert have(machines[0], build)[1] == {"made": 2}
    assert have(machines[1], build)[1] == {"made": 2}
    assert build.calls == 2


def test_what_a_killed_writer_left_is_not_there(machines: list[Path], shared: SharedCache) -> None:
    build = Builder()
    writing = f".{KEY}.1a2b3c4d" if isinstance(shared, SharedFolder) else f"{KEY}/0123456789abcdef"
    put(shared, f"{writing}/data.bin", b"half")
    assert have(machines[1], build)[1] == {"made": 1}
    assert have(machines[0], build)[1] == {"made": 1}


@pytest.mark.parametrize("offer", [True, False])
def test_a_damaged_entry_is_built_anew_and_mended(
    machines: list[Path], shared: SharedCache, tmp_path: Path, offer: bool
) -> None:
    build = Builder()
    have(machines[0], build)
    [data] = [name for name in lying(shared) if name.endswith("data.bin")]
    put(shared, data, b"\x07" * 1000)
    share_entries(machines[1], shared, offer=offer)
    damaged = r"is damaged \(data\.bin was changed or cut short\), and is not used"
    with pytest.warns(UserWarning, match=damaged):
        assert have(machines[1], build)[1] == {"made": 2}
    if offer:
        mended = tmp_path / "mended"
        mended.mkdir()
        assert shared.fetch(KIND, KEY, mended)
        assert (mended / "data.bin").read_bytes() == b"\x02" * 1000
        assert json.loads((mended / MANIFEST).read_text().splitlines()[1])["meta"] == {"made": 2}
    else:  # it stays as it is, and what was built is not built again
        with pytest.warns(UserWarning, match=damaged):
            assert have(machines[1], build)[1] == {"made": 2}
    assert build.calls == 2


def test_two_that_publish_at_once_leave_one_whole(shared: SharedCache, tmp_path: Path) -> None:
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "data.bin").write_text(name * 100_000)
        (folder / MANIFEST).write_text(name)

    def publish(name: str) -> None:
        for _ in range(50 if isinstance(shared, SharedFolder) else 10):
            shared.publish(KIND, KEY, tmp_path / name)

    threads = [threading.Thread(target=publish, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = shared.manifest(KIND, KEY)
    assert found in ("a", "b")
    whole = tmp_path / "whole"
    whole.mkdir()
    assert shared.fetch(KIND, KEY, whole)
    assert (whole / "data.bin").read_text() == found * 100_000
    if isinstance(shared, SharedFolder):
        assert os.listdir(tmp_path / "shared" / KIND) == [KEY]


def test_a_place_that_cannot_be_used_is_told_in_a_line(
    machines: list[Path], shared: SharedCache, tmp_path: Path
) -> None:
    if isinstance(shared, SharedFolder):
        (tmp_path / "shared").write_text("a file")
        told = r"the cluster's cache .*/shared cannot be used"
    else:
        share_entries(machines[0], open_shared("s3://no-such-bucket"), offer=True)
        told = r"s3://no-such-bucket/things/0*/\w+ cannot be used \(NO_SUCH_BUCKET"
    with pytest.raises(InputError, match=told):
        have(machines[0], Builder())
    assert os.listdir(tmp_path / "one" / KIND) == [KEY]  # its own copy is whole
