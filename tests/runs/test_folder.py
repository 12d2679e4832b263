"""Run folders appear whole or not at all, under names that stay where they belong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trainables.errors import InputError
from tune_dd.runs.folder import (
    check_name,
    check_shape,
    check_writable,
    new_run_folder,
    read_json,
    run_path,
    versions,
    write_json,
)


@pytest.mark.parametrize("name", ["a", "implicit-m10-s0", "2026.01.02_a", "x" * 120])
def test_plain_names_are_taken(name: str) -> None:
    assert check_name("--name", name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/a", ".hidden", "-x", "a b", "a\nb", "é", "x" * 121]
)
def test_names_that_are_no_folder_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="--name"):
        check_name("--name", name)


def test_a_run_lies_under_storage_name_dataset_backbone(tmp_path: Path) -> None:
    assert run_path(tmp_path, "n", "digits", "conv", "r") == tmp_path / "n" / "digits" / "conv" / "r"


def test_a_folder_gets_its_name_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a" / "run"
    with new_run_folder(target) as folder:
        (folder / "file").write_text("x")
        assert not target.exists()
    assert (target / "file").read_text() == "x"
    assert list(target.parent.iterdir()) == [target]


def test_a_failed_run_leaves_no_folder(tmp_path: Path) -> None:
    target = tmp_path / "a" / "run"
    with pytest.raises(ZeroDivisionError), new_run_folder(target) as folder:
        (folder / "file").write_text(str(1 / 0))
    assert list(target.parent.iterdir()) == []


def test_an_earlier_run_is_kept(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(InputError, match="exists already"), new_run_folder(tmp_path / "run"):
        pass


def test_writability_is_tried_and_nothing_stays(tmp_path: Path) -> None:
    check_writable("--storage", tmp_path / "not" / "yet" / "there")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["/proc/1/x", "/dev/null/x"])
def test_storage_that_cannot_be_written_is_refused(place: str) -> None:
    with pytest.raises(InputError, match="--storage"):
        check_writable("--storage", Path(place))


def test_a_full_disk_is_noticed_before_any_work(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("256k")
    with pytest.raises(InputError, match="No space left"):
        check_writable("--storage", disk / "results")
    assert list(disk.iterdir()) == []


def test_a_disk_that_fills_leaves_no_half_run(small_disk: Callable[[str], Path]) -> None:
    run = small_disk("2m") / "run"
    with pytest.raises(InputError, match="No space left"), new_run_folder(run) as folder:
        (folder / "large").write_bytes(bytes(4 << 20))
    assert list(run.parent.iterdir()) == []


def test_json_is_whole_and_has_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1.5})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"b": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"b": 1.5}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_json_comes_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "é", "value": [0.1, None]})
    assert read_json(tmp_path / "a.json", "a test") == {"name": "é", "value": [0.1, None]}


@pytest.mark.parametrize("content", [None, "{", "\x00"])
def test_json_that_is_none_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match="a sweep's settings"):
        read_json(tmp_path / "a.json", "a sweep's settings")


SHAPE = {"runs": [{"score": int | float}], "name": str | None}


@pytest.mark.parametrize(
    "content", [{"runs": [], "name": None}, {"runs": [{"score": 1}], "name": "a", "more": 2}]
)
def test_json_as_it_was_written_is_taken(tmp_path: Path, content: object) -> None:
    check_shape(tmp_path / "a.json", "a test", content, SHAPE)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ([], "it is of type list"),
        ({"name": "a"}, "it holds no 'runs'"),
        ({"runs": None, "name": "a"}, "'runs' in it is of type NoneType"),
        ({"runs": [{"score": 1}, {}], "name": "a"}, "item 1 of 'runs' in it holds no 'score'"),
        ({"runs": [{"score": "1"}], "name": "a"}, "'score' in item 0 of 'runs' in it is of type str"),
    ],
)
def test_json_that_lacks_something_is_refused(tmp_path: Path, content: object, found: str) -> None:
    with pytest.raises(InputError, match=rf"a.json is damaged \({found}\).*a test must be.*again"):
        check_shape(tmp_path / "a.json", "a test", content, SHAPE, "write it again")


def test_versions_name_what_scores_depend_on() -> None:
    found = versions()
    assert found["torch"]
    assert found["python"]
    assert found["tune-dd"]
