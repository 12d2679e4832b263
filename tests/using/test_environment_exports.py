"""Distilled environments for other programs: what validate makes of them stays the same."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import ROOT
from tests.environment.authors_sets import authors_file
from tests.environment.test_distilled_set import LAYOUTS, LEVELS_WITH_ENCODER, same
from tests.using.said import used
from trainables.environment.distilled_set import DistilledSet, load_distilled_set
from trainables.tensor_files import load_tensors
from tune_dd import cli

EXAMPLES = ROOT / "examples" / "distilled"
AUTHORS = {"1D": "ND_cartpole/distiller_sd_1dcp_b2.pt", "Hopper": "MuJoCo/hopper_b64_state.ckpt"}


def exported(source: Path, place: Path, *words: str | Path) -> DistilledSet:
    """A set as it is after an export to the authors' layout."""
    assert used(source, *words, "--pt", place / "out.pt") == 0
    encoder = place / "out_encoder.pt"
    return load_distilled_set(place / "out.pt", encoder if encoder.exists() else None)


def equal(one: DistilledSet, other: DistilledSet) -> bool:
    return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(DistilledSet))


def returns(*words: str | Path) -> list[float]:
    """What validate says of a few learners."""
    table = Path(words[0]).parent / "rows.json"
    tiny = ("--learners", "4", "--episodes", "1", "--json", table)
    assert cli.main(["validate", *map(str, (*words, *tiny))]) == 0
    rows = json.loads(table.read_text())["rows"]
    table.unlink()
    return [row["mean"] for row in rows]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_authors_layout_keeps_all_of_a_set(layout: str, tmp_path: Path) -> None:
    LAYOUTS[layout].save(tmp_path / "set.pt")
    assert equal(exported(tmp_path / "set.pt", tmp_path), LAYOUTS[layout])
    level = LAYOUTS[layout].level
    assert (tmp_path / "out_encoder.pt").exists() == (level != "none")


@pytest.mark.parametrize(
    ("name", "env"), [("cartpole_1d_b2", "CartPole-v1"), ("cartpole_2d_b512_families", "CartPole2D-v1")]
)
def test_validate_finds_the_same_returns_after_an_export(name: str, env: str, tmp_path: Path) -> None:
    assert used(EXAMPLES / f"{name}.pt", "--pt", tmp_path / "out.pt") == 0
    (tmp_path / "set.pt").write_bytes((EXAMPLES / f"{name}.pt").read_bytes())
    before = returns(tmp_path / "set.pt", "--env", env)
    assert returns(tmp_path / "out.pt", "--env", env) == before
    assert before[1] > 5 * before[0]  # the set teaches, so that equal returns say something


@pytest.mark.parametrize("name", AUTHORS)
def test_the_authors_sets_come_out_with_their_keys(name: str, tmp_path: Path) -> None:
    source = authors_file(AUTHORS[name])
    assert equal(exported(source, tmp_path), load_distilled_set(source))
    theirs, ours = (load_tensors(path) for path in (source, tmp_path / "out.pt"))
    if "distiller" in theirs:
        assert ours.keys() == theirs.keys()
        theirs, ours = theirs["distiller"], ours["distiller"]
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("game", ["Centipede/l1", "SpaceInvaders/l3"])
def test_the_authors_encoders_come_out_as_they_were(game: str, tmp_path: Path) -> None:
    source = authors_file(f"Atari/{game}/distiller_sd.pt")
    encoder = authors_file(f"Atari/{game}/encoder_sd.pt")
    exported(source, tmp_path, "--encoder", encoder)
    theirs, ours = (load_tensors(path) for path in (encoder, tmp_path / "out_encoder.pt"))
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert set(load_tensors(tmp_path / "out.pt")) == {"x", "y", "inner_lr"}


@pytest.mark.parametrize("level", LEVELS_WITH_ENCODER)
def test_an_encoders_file_is_not_written_over(
    level: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    LAYOUTS[level].save(tmp_path / "set.pt")
    (tmp_path / "out_encoder.pt").write_text("mine")
    assert used(tmp_path / "set.pt", "--pt", tmp_path / "out.pt") == 2
    assert "out_encoder.pt exists already" in capsys.readouterr().err
    assert (tmp_path / "out_encoder.pt").read_text() == "mine" and not (tmp_path / "out.pt").exists()
    assert used(tmp_path / "set.pt", "--pt", tmp_path / "out.pt", "--overwrite") == 0
    words = (tmp_path / "out.pt", "--encoder", tmp_path / "out_encoder.pt", "--pt", tmp_path / "out.pt")
    assert used(*words, "--overwrite") == 2
    assert "that is where the set is read" in capsys.readouterr().err


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_are_the_stored_ones(layout: str, tmp_path: Path) -> None:
    made = LAYOUTS[layout]
    made.save(tmp_path / "set.pt")
    assert used(tmp_path / "set.pt", "--npz", tmp_path / "set.npz") == 0
    with np.load(tmp_path / "set.npz", allow_pickle=False) as read:
        arrays = dict(read)
    encoder = {f"encoder_{name}": tensor for name, tensor in (made.encoder or {}).items()}
    for name in ("x", "y", "inner_lr", "y_log_std", "mean", "variance"):
        if getattr(made, name) is not None:
            encoder[name] = getattr(made, name)
    assert arrays.keys() == {*encoder, "loss", "inner_steps"}
    for name, tensor in encoder.items():
        np.testing.assert_array_equal(arrays[name], tensor.numpy(), strict=True)
    assert (str(arrays["loss"]), int(arrays["inner_steps"])) == (made.loss, made.inner_steps)


def test_what_the_authors_do_not_know_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for layout, told in {"all of it": "mean and variance and loss and inner_steps", "l1": ""}.items():
        LAYOUTS[layout].save(tmp_path / f"{layout}.pt")
        assert used(tmp_path / f"{layout}.pt", "--pt", tmp_path / f"{layout} out.pt") == 0
        said = capsys.readouterr().out
        assert f"{layout} out_encoder.pt, for --encoder" in said
        assert ("the authors' code does not read" in said) == bool(told) and told in said
