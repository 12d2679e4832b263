"""Results in a bucket: what is brought here, and what is copied there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from trainables.buckets import Bucket
from trainables.errors import InputError
from tune_dd.runs.places import absolute, bring, bucket_of, check_storage, folder_of, place_of, publish

HOUR = 3600
EVERYTHING = ("[!.]*", "digits/conv/[!.]*/*", "as/*")


def test_objects_are_made_read_listed_and_removed(bucket: Bucket, tmp_path: Path) -> None:
    assert bucket.read("a") is None and bucket.made("a") is None
    assert bucket.files() == {} and bucket.children() == []
    bucket.write("a", b"one")
    bucket.write("deep/er/b", b"")
    (tmp_path / "file").write_bytes(b"\x00" * 10_000_000)
    bucket.upload(tmp_path / "file", "large")
    bucket.download("large", tmp_path / "new" / "file")
    assert (tmp_path / "new" / "file").read_bytes() == (tmp_path / "file").read_bytes()
    assert bucket.read("a") == b"one"
    assert {name: size for name, (size, _) in bucket.files().items()} == {
        "a": 3,
        "deep/er/b": 0,
        "large": 10_000_000,
    }
    assert bucket.children() == ["a", "deep", "large"]
    bucket.remove("a")
    bucket.remove("a")
    (bucket / "deep").clear()
    assert bucket.files().keys() == {"large"}
    with pytest.raises(FileNotFoundError):
        bucket.download("a", tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "uri", ["s3://", "gs://bucket/a", "s3://UPPER/a", "s3://bucket//a", "s3://bucket/a?b", "s3://bucket/../a"]
)
def test_what_is_no_bucket_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="names no bucket, but must be s3://BUCKET/PREFIX"):
        absolute(uri)


def test_a_bucket_that_is_not_there_is_told_in_a_line(bucket: Bucket) -> None:
    check_storage(bucket.uri)
    assert bucket.files() == {}
    with pytest.raises(InputError, match=r"cannot be used \(NO_SUCH_BUCKET .*does not exist\)"):
        check_storage("s3://no-such-bucket/results")


def test_every_place_has_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert absolute("s3://bucket/results/") == "s3://bucket/results"
    copy = folder_of("s3://bucket/results") / "first"
    assert copy == tmp_path / "tune-dd" / "buckets" / "bucket" / "results" / "first"
    assert place_of(copy) == "s3://bucket/results/first"
    found = bucket_of(copy)
    assert found is not None and found.uri == "s3://bucket/results/first"
    own = folder_of(str(tmp_path / "results"))
    assert (place_of(own), bucket_of(own)) == (str(tmp_path / "results"), None)


@pytest.fixture
def copy(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The copy of ``bucket``, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return folder_of(bucket.uri)


def written(file: Path, content: str, age_s: float = 0.0) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    os.utime(file, (time.time() - age_s,) * 2)


def test_what_is_finished_goes_there_and_comes_back(bucket: Bucket, copy: Path, tmp_path: Path) -> None:
    for name in ("sweep.json", "digits/conv/one/summary.json", ".half", "digits/conv/.two.x/summary.json"):
        written(copy / name, name)
    publish(copy, EVERYTHING)
    assert bucket.files().keys() == {"sweep.json", "digits/conv/one/summary.json"}
    bucket.write("tune/session-01/00000/checkpoint", b"large")
    bucket.write(".running.json", b"{}")
    copy.rename(tmp_path / "former")
    bring(copy)
    assert {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()} == {
        "sweep.json",
        "digits/conv/one/summary.json",
    }
    assert (copy / "sweep.json").read_text() == "sweep.json"


def test_the_newer_version_stays(bucket: Bucket, copy: Path) -> None:
    for name in ("ahead", "behind", "as/long"):
        bucket.write(name, b"there")
    written(copy / "ahead", "longer", age_s=-HOUR)
    written(copy / "behind", "short", age_s=HOUR)  # of one size
    written(copy / "as/long", "along", age_s=HOUR)  # a trial's file is written once
    bring(copy)
    assert [(copy / name).read_text() for name in ("ahead", "behind", "as/long")] == [
        "longer",
        "there",
        "along",
    ]
    written(copy / "late", "of an hour ago", age_s=HOUR)
    bucket.write("late", b"of now")
    publish(copy, EVERYTHING)
    assert bucket.read("ahead") == b"longer"
    assert [bucket.read(name) for name in ("as/long", "late")] == [b"there", b"of now"]


def test_nothing_is_copied_twice(bucket: Bucket, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(copy / "sweep.json", "first")
    publish(copy, EVERYTHING)
    (copy / "sweep.json").unlink()
    bring(copy)
    with monkeypatch.context() as patch:
        for name in ("upload", "download"):
            patch.setattr(Bucket, name, lambda *arguments: pytest.fail("it is as new as the other"))
        bring(copy)
        publish(copy, EVERYTHING)
    time.sleep(1.1)  # an object's time is told in seconds
    written(copy / "sweep.json", "other")
    publish(copy, EVERYTHING)
    assert bucket.read("sweep.json") == b"other"


def test_folders_are_no_copies(tmp_path: Path) -> None:
    written(tmp_path / "results" / "first" / "sweep.json", "{}")
    bring(tmp_path / "results" / "first")  # nothing to reach, and nothing to do
    publish(tmp_path / "results" / "first", EVERYTHING)
