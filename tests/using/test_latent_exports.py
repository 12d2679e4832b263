"""Sets of latents for other programs: the same points, however they are read."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from tests.conftest import Command
from tests.using.said import files_below, refused, used
from trainables.latent.artifacts import load_artifacts, save_artifacts
from trainables.latent.cache import default_cache
from trainables.latent.config import DataConfig
from trainables.latent.latents import open_latents
from trainables.latent.real_images import load_real_images
from trainables.whole_files import sha256_of
from tune_dd import load_distilled
from tune_dd.using.latent_points import LatentPoints


def opened(place: Path, name: str | None = None) -> LatentPoints:
    points = load_distilled(place, name)
    assert isinstance(points, LatentPoints)
    return points


def pixels_of(folder: Path) -> np.ndarray:
    """(n, H, W), in the order of ImageFolder."""
    return np.stack([np.asarray(Image.open(file)) for file, _ in ImageFolder(folder).samples])


@pytest.mark.parametrize("name", ["implicit", "random_teacher_labels"])
def test_tensors_and_arrays_are_the_stored_ones(name: str, latent_run: Path, tmp_path: Path) -> None:
    stored = load_artifacts(latent_run / "distillation_artifacts.pt").sets[name]
    expected = {"x": stored.x, "y": stored.y, "soft_labels": stored.soft_labels, "indices": stored.indices}
    expected = {key: tensor for key, tensor in expected.items() if tensor is not None}
    assert used(latent_run, "--set", name, "--pt", tmp_path / "p.pt", "--npz", tmp_path / "p.npz") == 0
    tensors = torch.load(tmp_path / "p.pt", weights_only=True)
    with np.load(tmp_path / "p.npz", allow_pickle=False) as read:
        arrays = dict(read)
    assert set(tensors) == set(arrays) == {*expected, "class_names", "about"}
    for key, tensor in expected.items():
        assert torch.equal(tensors[key], tensor) and tensors[key].dtype == tensor.dtype
        np.testing.assert_array_equal(arrays[key], tensor.numpy(), strict=True)
    assert tensors["class_names"] == list(arrays["class_names"]) == list("0123456789")
    about = json.loads(str(arrays["about"]))
    assert about == tensors["about"]
    assert about["sha256"] == sha256_of(latent_run / "distillation_artifacts.pt")
    assert (about["set"], about["config"]["m_per_class"]) == (name, 2)


def test_prototypes_become_the_images_that_the_decoder_shows(latent_run: Path, tmp_path: Path) -> None:
    assert used(latent_run, "--images", tmp_path / "images") == 0
    points = opened(latent_run)
    assert points.encoder_key is not None
    data = open_latents(points.encoder_key, default_cache())
    assert data is not None and data.codec is not None
    shown = data.codec.decode(points.x)[:, 0].detach().numpy()  # (20, 8, 8)
    found = ImageFolder(tmp_path / "images")
    assert found.classes == list("0123456789")
    assert [label for _, label in found.samples] == points.y.tolist()
    assert np.abs(pixels_of(tmp_path / "images") / 255 - shown).max() <= 0.5 / 255 + 1e-6
    names = {file.relative_to(tmp_path / "images").as_posix() for file in files_below(tmp_path)}
    assert names == {f"{label}/00{i}.png" for label in range(10) for i in range(2)} | {"about.json"}


def test_real_points_become_the_images_that_they_are(latent_run: Path, tmp_path: Path) -> None:
    words = ("--set", "random_teacher_labels", "--images", tmp_path / "images", "--cache", tmp_path / "none")
    assert used(latent_run, *words) == 0  # no encoder is needed
    points = opened(latent_run, "random_teacher_labels")
    rows, soft = points.distilled.indices, points.distilled.soft_labels
    assert rows is not None and soft is not None
    real = load_real_images(DataConfig(), tmp_path, print).at(rows.numpy())[..., 0]
    np.testing.assert_array_equal(pixels_of(tmp_path / "images"), real)
    with (tmp_path / "images" / "labels.csv").open(newline="") as stream:
        head, *lines = csv.reader(stream)
    assert head == ["file", *"0123456789"]
    assert [tmp_path / "images" / line[0] for line in lines] == [
        Path(file) for file, _ in ImageFolder(tmp_path / "images").samples
    ]
    np.testing.assert_array_equal(np.array([line[1:] for line in lines], np.float32), soft.numpy())


def test_an_encoder_that_is_not_there_can_be_made_by_the_remedy(
    latent_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: Command
) -> None:
    cache = tmp_path / "empty"
    told = refused(capsys, latent_run, "--images", tmp_path / "images", "--cache", cache)
    assert opened(latent_run).encoder_key in told and str(cache) in told
    words = told.partition("train it again by: tune-dd ")[2].rstrip(".\n").split()
    assert words[:3] == ["distill", "--name", "again"] and "--latent-dim" in words
    done = command(*words, "--cache", str(cache), "--m-per-class", "1", "--proto-steps-base", "1")
    assert done.returncode == 0, done.stderr
    assert used(latent_run, "--images", tmp_path / "images", "--cache", cache) == 0


def write_changed(source: Path, target: Path, **changes: Any) -> None:
    """A run's artefact file with other fields of :class:`Artifacts`; dicts are added to."""
    found = load_artifacts(source / "distillation_artifacts.pt")
    whole = {
        name: getattr(found, name) | new if isinstance(new, dict) else new for name, new in changes.items()
    }
    save_artifacts(target, replace(found, **whole))


def test_features_have_no_images(
    latent_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_changed(latent_run, tmp_path / "a.pt", config={"dataset": "features", "backbone": "identity"})
    told = refused(capsys, tmp_path / "a.pt", "--pt", tmp_path / "p.pt", "--images", tmp_path / "images")
    assert "features have no decoder" in told
    assert used(tmp_path / "a.pt") == 0
    assert "--images" not in capsys.readouterr().out
    assert used(tmp_path / "a.pt", "--npz", tmp_path / "p.npz") == 0


@pytest.mark.parametrize("name", ["../../out", "", "..", "a/b", "about.json", "1"])
def test_a_class_cannot_lead_out_of_the_folder(
    name: str, latent_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_changed(latent_run, tmp_path / "a.pt", class_names=(name, *"123456789"))
    (tmp_path / "b").mkdir()
    before = files_below(tmp_path)
    told = refused(capsys, tmp_path / "a.pt", "--images", tmp_path / "b" / "images")
    assert f"a class named '{name}'" in told
    assert files_below(tmp_path) == before


def test_real_images_that_changed_are_not_taken_for_the_chosen_ones(
    latent_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_changed(latent_run, tmp_path / "a.pt", provenance={"data_fingerprint": "another"})
    told = refused(capsys, tmp_path / "a.pt", "--set", "herding", "--images", tmp_path / "images")
    assert "the fingerprint another" in told


def test_an_encoder_of_other_code_is_told(
    latent_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_changed(latent_run, tmp_path / "a.pt", provenance={"code_version": "another"})
    assert used(tmp_path / "a.pt", "--images", tmp_path / "images") == 0
    assert "is of another version of tune-dd: images may differ" in capsys.readouterr().err
    told = refused(capsys, tmp_path / "a.pt", "--images", tmp_path / "more", "--cache", tmp_path / "empty")
    assert "distil the set again" in told
