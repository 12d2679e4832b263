"""``tune-dd verdict`` on features of a few classes: the real command, then the same again."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.conftest import run_python
from tests.toy_features import write_toy_features
from tune_dd import verdict
from tune_dd.verdicts import session

WORDS = (
    "--dataset features --features-train train.npz --features-test test.npz --name toy --seeds 2 --budgets 1 "
    "--evaluations 8 --cache cache"
).split()
CELLS = 6 * 2 + 1  # herding knows no seed


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished verdict that has not been on test; returns the folder it was started from."""
    place = tmp_path_factory.mktemp("verdict")
    write_toy_features(place, train=60, test=30, d=6, separation=1.5)
    done = run_python("-m", "tune_dd.cli", "verdict", *WORDS, "--no-test", "--workers", "1", cwd=place)
    assert done.returncode == 0, done.stderr
    (place / "out.txt").write_text(done.stdout)
    return place


@pytest.fixture
def place(reached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it that a test may change, and stands in."""
    copy = tmp_path / "copy"
    shutil.copytree(reached, copy)
    monkeypatch.chdir(copy)
    return copy


def content(place: Path, *, test: bool = False) -> dict[str, Any]:
    name = "verdict" if test else "verdict_without_test"
    found: dict[str, Any] = json.loads((place / f"results/verdicts/toy/{name}.json").read_text())
    return found


def stamps(place: Path) -> dict[str, int]:
    folder = place / "results/verdicts/toy/cells"
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_without_test_it_compares_on_the_selection_half(reached: Path) -> None:
    found, out = content(reached), (reached / "out.txt").read_text()
    assert found["settings"]["encoder_seeds"] == [0]  # features have one encoder
    [panel] = found["panels"]
    assert set(panel["items"]) == {"selection", "reward"}
    assert len(stamps(reached)) == found["cells"] == CELLS
    assert not (reached / "results/verdicts/toy/test_access.jsonl").exists()
    assert "test was not read" in out and f"{CELLS} of {CELLS} cells" in out
    for told in (*found["sentences"], found["reward_hacking"], found["answer"]):
        assert told in out
    assert len(found["sentences"]) == 6
    assert found["claims"]["kept"]
    evaluations = {row["contender"]: row["evaluations"] for row in panel["rows"]}
    assert {evaluations.pop(name) for name in ("herding", "kmeans_medoids")} == {0}
    assert set(evaluations.values()) == {8}
    assert found["versions"]["torch"] and found["data"]["data_fingerprint"]


def test_the_same_again_makes_nothing_anew_and_reads_test_once(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stamps(place)
    for _ in range(2):
        assert verdict.main(WORDS) == 0
        assert f"{CELLS} of {CELLS} cells are there from before" in capsys.readouterr().out
        assert stamps(place) == before
        assert len((place / "results/verdicts/toy/test_access.jsonl").read_text().splitlines()) == 1
        assert content(place, test=True)["panels"][0]["items"]["test"] == 90
        assert "test" not in content(place)["panels"][0]["items"]  # what was found before stays


def test_what_was_refused_binds_nobody(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict.main([*WORDS, "--name", "other", "--budgets", "100"]) == 2
    assert not (place / "results/verdicts/other").exists()
    (place / "results/verdicts/toy/settings.json").write_text('{"settings": []}')
    assert verdict.main(WORDS) == 2
    assert "settings.json is damaged ('settings' in it is of type list)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ("--seeds 3", "--seeds is 3 and was 2 for"),
        ("--evaluations 13 --budgets 2", "--budgets is 2 and was 1, --evaluations is 13 and was 8 for"),
        ("--split-seed 1", "--split-seed is 1 and was 0 for"),
        ("--encoder-seeds 3 --name other", "--encoder-seeds is 3 with --dataset features, but features were"),
        ("--budgets 100 --name other", "--budgets is 100, but the smallest class, '0', has 45"),
        ("--cache train.npz/cache", "--cache is"),
        ("--questions shaking", "--questions"),
        ("--budgets 1 1", "--budgets is 1 1, but must name each value once"),
        ("--episodes 9 --name other", "--episodes is 9 with --questions selection, but the question shaping"),
        ("--cross-encoder-seed 5", "--cross-encoder-seed is 5 with --questions selection, but no question"),
        ("--questions shaping --name other", "--questions is shaping with --dataset features"),
        ("--name ../other", "--name is '../other', but must be one folder's name"),
        ("--encoder-seed 1", "--encoder-seed is not a flag of this command: did you mean --encoder-seeds?"),
        ("--budgets 0", "--budgets is 0, but must be at least 1"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(
    place: Path, capsys: pytest.CaptureFixture[str], changed: str, told: str
) -> None:
    try:
        code = verdict.main([*WORDS, *changed.split()])
    except SystemExit as left:  # as the parser leaves
        code = int(str(left.code))
    err = capsys.readouterr().err
    assert code == 2
    assert told in err and len(err.splitlines()) == 1


def test_the_folder_is_free_after_a_run_that_an_error_still_remembers(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered: list[FrameType] = []  # as a traceback does, and with it all that its callers hold

    def stop(_: session.Session) -> int:
        remembered.append(sys._getframe())
        return 1

    monkeypatch.setattr(session, "_reach", stop)
    assert [verdict.main([*WORDS, "--no-test"]) for _ in range(2)] == [1, 1]
