"""``tune-dd validate``: the real command on small sets, tiny budgets."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from ctypes.util import find_library
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import ROOT, Command
from trainables.environment.choices import FAMILIES
from trainables.environment.distilled_set import DistilledSet
from trainables.environment.learners import Parameters
from trainables.environment.perception import draw_encoder
from trainables.environment.rollouts import episode_returns
from trainables.environment.tasks import open_task
from trainables.environment.validation import Returns, validate
from trainables.seeds import generator
from tune_dd import cli
from tune_dd.environments.boxes import draw_boxes
from tune_dd.environments.film import learner_at
from tune_dd.environments.validation_rows import Row, content
from tune_dd.validate import build_parser

OWN_NETWORK = Path(__file__).parents[2] / "examples" / "own_network.py"
SMALL = ["--learners", "6", "--episodes", "2"]
HEADINGS = ["learners", "actions", "steps", "mean", "SD", "SEM", "least", "n"]


def push_back(axes: int = 1) -> DistilledSet:
    """For each axis two states that say: push to where the pole leans."""
    lean = torch.tensor([0.1, 0.3, 1.0, 1.0])
    x, y = torch.zeros(2 * axes, 4 * axes), torch.zeros(2 * axes, 2 * axes)
    for axis in range(axes):
        for side, sign in enumerate((-1, 1)):
            x[2 * axis + side, 4 * axis : 4 * axis + 4] = sign * lean
            y[2 * axis + side, 2 * axis : 2 * axis + 2] = sign * torch.tensor([-9.0, 9.0])
    return DistilledSet(x, y, torch.tensor(0.5))


def continuous(seen: int, acted: int) -> DistilledSet:
    draws = generator(0, "continuous")
    x, y = torch.randn(3, seen, generator=draws), torch.randn(3, acted, generator=draws)
    return DistilledSet(x, y, torch.tensor(0.1), torch.full((1, acted), -1.0))


def game(encoder: Parameters | None = None) -> DistilledSet:
    pictures = torch.rand(2, 4, 84, 84, generator=generator(0, "pictures"))
    return DistilledSet(pictures, torch.eye(18)[:2], torch.tensor(0.1), encoder=encoder)


def exit_code(words: list[str]) -> int | str | None:
    """That of a command which may leave as it reads its flags."""
    with pytest.raises(SystemExit) as left:
        raise SystemExit(cli.main(words))
    return left.value.code


def table_of(out: str) -> list[list[str]]:
    """The cells below the headings."""
    lines = [line.split() for line in out.splitlines()]
    start = lines.index(HEADINGS) + 2
    return lines[start : lines.index([], start)]


def test_a_set_is_judged_as_the_library_judges_it(command: Command, tmp_path: Path) -> None:
    made = push_back()
    made.save(tmp_path / "set.pt")
    words = (
        "--env CartPole-v1 --seed 3 --families same xe --inner-steps 1 2 --json rows.json --plot boxes.png"
    )
    done = command("validate", "set.pt", *words.split(), *SMALL)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads((tmp_path / "rows.json").read_text())
    assert found["schema_version"] == 1
    assert found["sha256"] == hashlib.sha256((tmp_path / "set.pt").read_bytes()).hexdigest()
    assert found["versions"]["gymnasium"] and found["versions"]["mujoco"] and found["versions"]["ale-py"]
    asked = [("untrained", "sampled", 0)] + [
        (family, mode, steps)
        for family in ("same", "xe")
        for steps in (1, 2)
        for mode in ("sampled", "greedy")
    ]
    rows = found["rows"]
    assert [(row["learner"], row["mode"], row["inner_steps"]) for row in rows] == asked
    task = open_task("CartPole-v1")
    for row, (_, mode, steps) in zip(rows, asked, strict=True):
        returns = validate(
            made, task, 6, 2, family=row["family"], greedy=mode == "greedy", inner_steps=steps, seed=3
        )
        assert (row["mean"], row["sd"], row["sem"], row["n"]) == (returns.mean, returns.sd, returns.sem, 6)
        assert row["least"] == returns.by_learner.min()
        assert (row["env"], row["file"]) == ("CartPole-v1", "set.pt")
    assert rows[0]["mean"] < 40 < 200 < rows[2]["mean"]  # the set teaches
    cells = table_of(done.stdout)
    assert [line[:3] for line in cells] == [[name, mode, str(steps)] for name, mode, steps in asked]
    assert [line[3] for line in cells] == [f"{row['mean']:.1f}" for row in rows]
    with Image.open(tmp_path / "boxes.png") as picture:
        shades = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(shades, axis=0)) > 50
    assert {path.name for path in tmp_path.iterdir()} == {"set.pt", "rows.json", "boxes.png"}


def test_a_network_of_ones_own_judges_a_set(command: Command, tmp_path: Path) -> None:
    push_back().save(tmp_path / "set.pt")
    shutil.copy(OWN_NETWORK, tmp_path / "net.py")
    words = "--env CartPole-v1 --families net.py:Residual all --modes greedy --json rows.json"
    done = command("validate", "set.pt", *words.split(), *SMALL)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found = json.loads((tmp_path / "rows.json").read_text())
    assert [row["family"] for row in found["rows"]] == ["same", *FAMILIES, "net.py:Residual"]
    assert found["modules"] == {"net.py:Residual": hashlib.sha256(OWN_NETWORK.read_bytes()).hexdigest()}
    taught = validate(
        push_back(), open_task("CartPole-v1"), 6, 2, family=f"{OWN_NETWORK}:Residual", greedy=True
    )
    assert found["rows"][-1]["mean"] == taught.mean


@pytest.mark.parametrize("axes", [1, 7])
def test_a_film_shows_carts_that_move(
    axes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    push_back(axes).save(Path("set.pt"))
    words = ["--modes", "greedy", "--gif", "film.gif", *SMALL]
    assert cli.main(["validate", "set.pt", "--env", f"CartPole{axes}D-v1", *words]) == 0
    with Image.open("film.gif") as film:
        assert film.n_frames > 3
        film.seek(0)
        first = np.asarray(film.convert("RGB"))
        film.seek(film.n_frames - 1)
        last = np.asarray(film.convert("RGB"))
    half = first.shape[1] // 2
    for side in (np.s_[60:-40, :half], np.s_[60:-40, half:]):  # between the captions
        assert (first[side] != last[side]).any()
    assert "written: film.gif" in capsys.readouterr().out


def test_the_filmed_learners_are_those_that_were_ranked() -> None:
    # At a rate of 0 they stay as they were drawn, which some are luckier with than others.
    task, weak = open_task("CartPole-v1"), replace(push_back(), inner_lr=torch.tensor(0.0))
    row = Row("random_size", "greedy", 1, validate(weak, task, 12, 40, family="random_size", greedy=True))
    again = [
        episode_returns(task, *learner_at(weak, task, row, 0, i), weak.perception(task), 40, 1, True).mean()
        for i in range(12)
    ]
    assert np.corrcoef(row.returns.by_learner, again)[0, 1] > 0.9 and np.ptp(again) > 20


def test_a_game_with_an_encoder_of_its_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    encoder = draw_encoder("l4", generator(0, "encoder"))
    game(encoder).save(Path("whole.pt"))
    game().save(Path("set.pt"))
    torch.save(encoder, "encoder.pt")
    words = "--env RoadRunner --learners 2 --episodes 1 --modes greedy".split()
    assert cli.main(["validate", "whole.pt", *words]) == 0
    whole = capsys.readouterr().out
    both = ["set.pt", "--encoder", "encoder.pt", *words, "--families", "all", "--gif", "film.gif"]
    assert cli.main(["validate", *both]) == 0
    apart = capsys.readouterr().out
    assert "encoder l4" in whole and "encoder l4" in apart
    assert table_of(whole) == table_of(apart)[:2]
    assert [line[0] for line in table_of(apart)] == ["untrained", "same", "ortho1", "xe", "random_size"]
    assert "left out: " in apart and "'random_hidden'" in apart  # a linear learner has no hidden layers
    with Image.open("film.gif") as film:
        assert film.n_frames > 50


def test_a_robot_and_its_older_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    continuous(11, 1).save(Path("set.ckpt"))
    words = ["validate", "set.ckpt", "--learners", "2", "--episodes", "1", "--env"]
    assert cli.main([*words, "InvertedDoublePendulum-v4"]) == 0
    assert [line[0] for line in table_of(capsys.readouterr().out)] == ["untrained", "same", "same"]
    assert cli.main([*words, "InvertedDoublePendulum-v5"]) == 2
    assert "(9,)" in capsys.readouterr().err


def test_one_learner_has_no_spread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    push_back().save(Path("set.pt"))
    words = "set.pt --env CartPole-v1 --learners 1 --modes greedy --json rows.json --plot boxes.png"
    assert cli.main(["validate", *words.split()]) == 0
    said = capsys.readouterr()
    rows = json.loads(Path("rows.json").read_text())["rows"]
    assert said.err == ""
    assert table_of(said.out) == [
        [row["learner"], "greedy", str(row["inner_steps"]), *[f"{row['mean']:.1f}"] * 2, "1"] for row in rows
    ]
    assert [(row["sd"], row["sem"], row["n"]) for row in rows] == [(None, None, 1)] * 2


def test_returns_that_are_not_finite_are_null_and_not_drawn(tmp_path: Path) -> None:
    push_back().save(tmp_path / "set.pt")
    rows = [Row("same", "sampled", 1, Returns(np.array(drawn))) for drawn in ([1.0, 3.0], [np.nan, 3.0])]
    flags = build_parser().parse(["set.pt"])
    written = json.dumps(
        content(rows, push_back(), "CartPole-v1", tmp_path / "set.pt", None, flags), allow_nan=False
    )
    assert [row["mean"] for row in json.loads(written)["rows"]] == [2.0, None]
    draw_boxes(tmp_path / "boxes.png", rows, "a title")
    assert (tmp_path / "boxes.png").stat().st_size > 5000


def run_without_display(*words: str, renderer: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    displays = ("DISPLAY", "WAYLAND_DISPLAY")
    env = {name: value for name, value in os.environ.items() if name not in displays}
    return subprocess.run(
        [sys.executable, str(ROOT / "tune_dd" / "validate.py"), *words],
        cwd=cwd,
        env={**env, "MUJOCO_GL": renderer, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("renderer", "told"),
    [
        ("glfw", "--gif is given, and Hopper-v4 cannot be drawn here ("),
        ("off", "--gif is given, and Hopper-v4 cannot be drawn here ("),
        pytest.param(
            "osmesa",
            "MUJOCO_GL is 'osmesa', but MuJoCo cannot be loaded with it (",
            marks=pytest.mark.skipif(find_library("OSMesa") is not None, reason="OSMesa is there"),
        ),
        ("nonsense", "MUJOCO_GL is 'nonsense', but MuJoCo cannot be loaded with it (invalid value"),
    ],
)
def test_a_film_that_cannot_be_made_is_refused_before_the_work(
    renderer: str, told: str, tmp_path: Path
) -> None:
    continuous(11, 3).save(tmp_path / "set.pt")
    words = ["set.pt", "--env", "Hopper-v4", "--json", "rows.json", "--gif", "film.gif"]
    done = run_without_display(*words, renderer=renderer, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"tune-dd validate: {told}")
    assert done.stderr.count("\n") == 1 and "unset MUJOCO_GL" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["set.pt"]


def test_a_wrong_renderer_does_not_concern_other_tasks(tmp_path: Path) -> None:
    made = DistilledSet(torch.zeros(2, 6), torch.eye(3)[:2], torch.tensor(0.1))
    made.save(tmp_path / "set.pt")
    words = ["set.pt", "--env", "Acrobot-v1", "--learners", "1", "--episodes", "1", "--modes", "greedy"]
    done = run_without_display(*words, renderer="nonsense", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("set.pt", "--env is not given"),
        ("--env CartPole-v1", "FILE is missing"),
        ("gone.pt --env CartPole-v1", "gone.pt does not exist"),
        (". --env CartPole-v1", "cannot be opened"),
        ("text.pt --env CartPole-v1", "text.pt cannot be opened"),
        ("pickled.pt --env CartPole-v1", "pickled.pt cannot be opened"),
        ("half.pt --env CartPole-v1", "half.pt cannot be opened"),
        ("foreign.pt --env CartPole-v1", "foreign.pt is no distilled set.*lacks y, inner_lr"),
        ("set.pt --env CartPol-v1", "did you mean 'CartPole-v1'"),
        ("set.pt --env CartPole2D-v1", r"set.pt holds observations of shape \(4,\).*shows \(8,\)"),
        ("set.pt --env MountainCarContinuous-v0", "set.pt holds observations"),
        ("set.pt --env CartPole-v1 --encoder gone.pt", "gone.pt does not exist"),
        ("set.pt --env CartPole-v1 --encoder set.pt", "an encoder sees"),
        ("game.pt --env RoadRunner --encoder set.pt", "set.pt is no encoder"),
        ("game.pt --env RoadRunner --families random_hidden", "cannot be of family 'random_hidden'"),
        ("game.pt --env Pong", "game.pt is for 18 numbered actions, but ALE/Pong-v5 has 6"),
        ("set.pt --env CartPole-v1 --families sam", "did you mean 'same'"),
        ("set.pt --env CartPole-v1 --families gone.py:Net", "there is no file gone.py: correct the path"),
        ("set.pt --env CartPole-v1 --modes greedily", "did you mean 'greedy'"),
        ("set.pt --env CartPole-v1 --learners 0", "--learners is 0.*at least 1"),
        ("set.pt --env CartPole-v1 --inner-steps 1 0", "--inner-steps is 0.*at least 1"),
        ("set.pt --env CartPole-v1 --json rows.txt", r"must end in \.json"),
        ("set.pt --env CartPole-v1 --json gone/rows.json", "there is no folder gone"),
        ("set.pt --env CartPole-v1 --plot there.png", "there.png exists already"),
        ("set.pt --env CartPole-v1 --gif /proc/film.gif", "files must be writable there"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    words: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    push_back().save(Path("set.pt"))
    game().save(Path("game.pt"))
    Path("text.pt").write_text("x, y, inner_lr")
    Path("pickled.pt").write_bytes(pickle.dumps({"x": Path()}))
    Path("half.pt").write_bytes(Path("set.pt").read_bytes()[:700])
    torch.save({"x": torch.zeros(1, 4)}, "foreign.pt")
    Path("there.png").write_bytes(b"mine")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert exit_code(["validate", *words.split()]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("tune-dd validate: ") and said.err.count("\n") == 1
    assert re.search(told, said.err), said.err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_each_flag_has_its_default() -> None:
    flags = build_parser().parse(["set.pt", "--env", "CartPole-v1"])
    assert (flags["learners"], flags["episodes"], flags["families"]) == (100, 5, ("same",))
    assert flags["modes"] == ("sampled", "greedy")
