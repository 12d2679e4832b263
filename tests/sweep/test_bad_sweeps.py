"""What a sweep alone can get wrong; the table of all verbs stands in tests/cli/test_bad_input.py."""

from __future__ import annotations

import json
import math
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainables.latent.shaping.schedules import Schedule, write_schedule
from trainables.whole_files import sha256_of
from tune_dd import search
from tune_dd.sweeps.latent.cell import LatentCell
from tune_dd.sweeps.latent.settings import LatentSweep
from tune_dd.sweeps.results import write_sweep
from tune_dd.sweeps.sessions import first_session

FEATURES = "--datasets features --features-train features.npz"


@dataclass(frozen=True)
class Case:
    """A command line and what its complaint must contain (a regular expression)."""

    words: str
    says: str


CASES = [
    Case("--methods implicit implicit", "--methods is implicit implicit.*each value once"),
    Case("--env CartPole-v1", "--env is not a flag.*did you mean tune-dd search environment --env\\?$"),
    Case("--batch-sizes=2", "did you mean --batch-size, or tune-dd search environment --batch-sizes\\?$"),
    Case("--space latnt", "--space is 'latnt'.*did you mean 'latent'"),
    Case("--zebras 0.1", "--zebras is not a flag of this command: see tune-dd search --help"),
    Case("--proto-rl-lrs 0.1 --proto-rl-lr 0.2", "--proto-rl-lr is 0.2 with --proto-rl-lrs"),
    Case("--proto-rl-lrs 0.1 -1", "--proto-rl-lrs"),
    Case("--budgets 1 --sel-budget-per-class 2", "--sel-budget-per-class is 2 with --budgets.*leave one"),
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
    Case("--resume --name old --dry-run", "--dry-run is given with --resume.*leave one of them out"),
    Case("--resume --name newer", "schema version 99"),
    Case("--resume --name old --prototypes 3", "--prototypes is 3 with --resume.*started with 1 10"),
    Case("--resume --name old --lr 0.5", "--lr is 0.5 with --resume.*started with"),
]
ENVIRONMENT_CASES = [
    Case("environment --env CartPol-v1", "--env is 'CartPol-v1'.*did you mean 'CartPole-v1'"),
    Case("environment --env FrozenLake-v1", "--env is FrozenLake-v1.*shows a vector"),
    Case("environment --env CartPole-v1 CartPole1D-v1", "--env is .*each task once"),
    Case("enviroment --env Pong", "'enviroment' is one word too many: did you mean 'environment'\\?$"),
    Case("environment --batch-sizes 2 0", "--batch-sizes is 0.*at least 1"),
    Case("environment --batch-sizes 2 2", "--batch-sizes is 2 2.*each value once"),
    Case("environment --batch-size 2", "--batch-size is not a flag.*did you mean --batch-sizes"),
    Case("environment --gpus-per-trial 1", "--gpus-per-trial is not a flag"),
    Case("environment --datasets digits", "--datasets is not .*did you mean tune-dd search --datasets\\?$"),
    Case("environment --pareto accuracy-bytes", "did you mean tune-dd search --pareto\\?$"),
    Case("environment --prototypes 2", "--prototypes is not a flag"),
    Case("environment --target-return 501", "--target-return is 501 with --env CartPole-v1.*500 at most"),
    Case(
        "environment --env Hopper-v5 CartPole2D-v1 --space smallest_batch --target-return 500.5",
        "--target-return is 500.5 with --env CartPole2D-v1.*give 500 or less",
    ),
    Case("environment --seeds -1", "--seeds is -1.*at least 0"),
    Case("environment --space latent", "--space is 'latent'.*not known"),
    Case("environment --space smallest_batch", "without --target-return.*name it"),
    Case(
        "environment --space smallest_batch --target-return 9 --batch-sizes 8 2",
        "--batch-sizes is 8 2.*the smaller one first",
    ),
    Case(
        "environment --space smallest_batch --target-return 9 --batch-sizes 8",
        "--batch-sizes is 8 .*two numbers",
    ),
    Case("environment --target-return nan", "--target-return is nan.*finite"),
    Case(
        "environment --space smallest_batch --target-return 9 --objective probe_return",
        "--objective is probe_return with --space smallest_batch.*leave --objective out",
    ),
    Case("environment --objective compactness", "equally many states.*--space smallest_batch"),
    Case("environment --objective probe_accuracy", "--objective is 'probe_accuracy'.*not known"),
    Case("environment --learners 7 --num-envs 50", "give --num-envs 56"),
    Case("environment --minibatch-size 30", "an outer step needs steps of 50 learners: give 50 or more"),
    Case("environment --learners 1 --families same+xe", "--families names 2.*give --learners 2 or more"),
    Case("environment --families same+alien", "--families names 'alien'"),
    Case("environment --env Hopper-v5 --targets hard", "its actions are vectors"),
    Case("environment --encoder-level l2", "shows no pictures"),
    Case("environment --env Pong --families random_hidden", "cannot be of family 'random_hidden'"),
    Case("environment --searcher grid --num-trials 3", "--num-trials is 3 with --searcher grid"),
    Case("environment --name old", "--name is old, and .* exists already"),
    Case("environment --warm-start old", "a sweep of kind latent.*use tune-dd search --warm-start old"),
    Case("environment --resume --name old --batch-sizes 3", "--batch-sizes is 3 with --resume"),
    Case("environment --resume --name strange", "sweep of kind 'audio'"),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an earlier sweep, one of a later version, and features of two small classes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    np.savez("features.npz", features=x, labels=np.arange(60) % 2)
    Path("file").write_text("no folder")
    for name in ("old", "newer", "strange"):
        folder = Path("results") / name
        folder.mkdir(parents=True)
        config = LatentSweep(name=name, storage=str(folder.parent.absolute()))
        write_sweep(folder, config, {}, first_session())
    content = json.loads(Path("results/newer/sweep.json").read_text())
    Path("results/newer/sweep.json").write_text(json.dumps({**content, "schema_version": 99}))
    content = json.loads(Path("results/strange/sweep.json").read_text())
    Path("results/strange/sweep.json").write_text(json.dumps({**content, "kind": "audio"}))
    return tmp_path


def files(place: Path) -> set[Path]:
    return {path for path in place.rglob("*") if "cache" not in path.relative_to(place).parts}


def contents(place: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in files(place) if path.is_file()}


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


@pytest.mark.parametrize("case", CASES + ENVIRONMENT_CASES, ids=lambda case: case.words.replace("/", "_"))
def test_bad_sweep_is_told_in_one_line(case: Case, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(place)
    line = complaint(case.words.split(), capsys)
    assert re.match("tune-dd search( environment)?: ", line)
    assert re.search(case.says, line), line
    assert files(place) == before


DAMAGED_SETTINGS = {
    '{"config": {"foo": 1}}': "holds settings that cannot be used \\(the setting 'foo': is not known\\)",
    '{"config": {"num_trials": "six"}}': "--num-trials is 'six': must be of type int",
    '{"config": {"datasets": 5}}': "--datasets is 5: must be a list",
    '{"config": {"name": 5}}': "--name is 5: must be of type str",
    '{"config": {"settings": [1]}}': "the settings are .1",
    '{"config": {"settings": {"lr": "much"}}}': "--lr is 'much': must be of type float",
    '{"config": []}': "damaged .*'config'",
    '{"versions": null}': "damaged .*'versions'",
    '{"sessions": [{"versions": 3}]}': "damaged .*'sessions'.*'started'",
    '{"data": {"digits/conv/seed0": {}}}': "damaged .*'digits/conv/seed0'.*'key'",
}


@pytest.mark.parametrize("change", DAMAGED_SETTINGS)
@pytest.mark.parametrize("how", ["--resume --name old", "--warm-start old --name next"])
def test_damaged_settings_are_told_in_one_line(
    change: str, how: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("results/old/sweep.json")
    content = json.loads(path.read_text())
    for part, value in json.loads(change).items():
        content[part] = content[part] | value if part == "config" and isinstance(value, dict) else value
    path.write_text(json.dumps(content))
    before = contents(place)
    line = complaint(how.split(), capsys)
    assert re.search(
        f"results/old/sweep.json .*{DAMAGED_SETTINGS[change]}.*: restore it from a copy", line
    ), line
    assert contents(place) == before


CELL = ["digits", "conv", 0, 1]
SETTINGS = LatentSweep(name="old").trial_settings(LatentCell("digits", "conv", 0, 1), {})
OTHER_SETTINGS = {**SETTINGS, "m_per_class": 9}
PROPOSED = {"event": "proposed", "trial": "00000", "cell": CELL, "params": {}, "settings": SETTINGS}
REPORTED = {"event": "reported", "trial": "00000", "iteration": 1, "scores": {}, "busy_s": 1.0}
SAVED = {"event": "saved", "trial": "00000", "checkpoint": "tune/a"}
ENDED = {"event": "ended", "trial": "00000", "status": "completed", "reason": None}
DAMAGED_JOURNALS: list[tuple[str, list[Any]]] = [
    ("damaged in line 1 .*no trial", [{"a": 1}]),
    ("damaged in line 1 .*no trial", [[1]]),
    ("damaged in line 2 .*no event", [PROPOSED, {"event": "paused", "trial": "00000"}]),
    ("damaged in line 2 .*no event", [PROPOSED, {"event": ["ended"], "trial": "00000"}]),
    ("damaged in line 1 .*trial 00000 was never proposed", [ENDED]),
    ("damaged in line 2 .*trial 00000 was proposed before", [PROPOSED, PROPOSED]),
    ("damaged in line 1 .*its cell is", [{**PROPOSED, "cell": ["digits"]}]),
    ("damaged in line 1 .*its settings is None", [{**PROPOSED, "settings": None}]),
    ("damaged in line 2 .*its iteration is 'x'", [PROPOSED, {**REPORTED, "iteration": "x"}]),
    ("damaged in line 2 .*its scores is .*nan", [PROPOSED, {**REPORTED, "scores": {"gap": math.nan}}]),
    ("damaged in line 2 .*its busy_s is None", [PROPOSED, {**REPORTED, "busy_s": None}]),
    ("damaged in line 2 .*its checkpoint is 3", [PROPOSED, SAVED | {"checkpoint": 3}]),
    ("damaged in line 2 .*its status is 'won'", [PROPOSED, {**ENDED, "status": "won"}]),
    ("trial 00007 in .*in the place of trial 00000", [{**PROPOSED, "trial": "00007"}]),
    ("trial 00000 in .*of the cell digits/conv/seed3/m1", [{**PROPOSED, "cell": ["digits", "conv", 3, 1]}]),
    ("trial 00000 in .*settings of digits/conv/seed0/m9", [{**PROPOSED, "settings": OTHER_SETTINGS}]),
    ("trial 00000 in .*lacks settings", [{**PROPOSED, "settings": {}}]),
    ("trial 00000 in .*lacks scores", [PROPOSED, REPORTED]),
]


@pytest.mark.parametrize(("says", "events"), DAMAGED_JOURNALS, ids=[says for says, _ in DAMAGED_JOURNALS])
def test_a_damaged_or_foreign_journal_is_told_in_one_line(
    says: str, events: list[Any], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Path("results/old/journal.jsonl")
    journal.write_text("".join(json.dumps(event) + "\n" for event in events))
    before = contents(place)
    line = complaint(["--resume", "--name", "old"], capsys)
    assert re.search(f"{says}.*: restore", line), line
    assert contents(place) == before


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


def test_a_warm_start_leaves_the_former_data_s_settings_behind(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    former = LatentSweep(
        name="former",
        storage=str(place / "results"),
        datasets=("features",),
        prototypes=(2,),
        settings={"features_train": str(place / "features.npz"), "lr": 0.07},
    )
    (place / "results" / "former").mkdir()
    write_sweep(place / "results" / "former", former, {}, first_session())
    assert search.main("--warm-start former --datasets digits --dry-run".split()) == 0
    said = capsys.readouterr().out
    assert "digits/conv/seed0/m2" in said
    assert "fixed: lr=0.07" in said
    assert "features" not in said


def test_a_schedule_that_has_changed_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = place / "schedule.json"
    write_schedule(path, Schedule(("probe", "matching"), [[1.0, 0.1]] * 8, 25))
    words = "--datasets features --features-train features.npz --methods rl_shaping --num-trials 2"
    assert search.main([*words.split(), "--shape-schedule", "schedule.json", "--dry-run"]) == 0
    digest = sha256_of(path)
    assert f"shape_schedule_sha256={digest}" in capsys.readouterr().out
    former = LatentSweep(
        name="former",
        storage=str(place / "results"),
        datasets=("features",),
        methods=("rl_shaping",),
        settings={
            "features_train": str(place / "features.npz"),
            "shape_schedule": str(path),
            "shape_schedule_sha256": digest,
        },
    )
    (place / "results" / "former").mkdir()
    write_sweep(place / "results" / "former", former, {}, first_session())
    write_schedule(path, Schedule(("probe", "matching"), [[1.0, 0.2]] * 8, 25))
    warm = ["--warm-start", "former", "--shape-schedule", str(path), "--dry-run"]
    assert search.main(warm) == 0, "it is the former sweep that is bound to the former content"
    assert f"shape_schedule_sha256={sha256_of(path)}" in capsys.readouterr().out
    line = complaint(["--resume", "--name", "former"], capsys)
    assert f"with the SHA-256 {sha256_of(path)[:12]}, but it must be" in line and digest[:12] in line
