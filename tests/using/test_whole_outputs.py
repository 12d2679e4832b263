"""A full disk leaves what was there, and nothing half-written beside it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.using.said import files_below
from trainables.environment.distilled_set import DistilledSet
from trainables.seeds import generator
from trainables.whole_files import whole_folder
from tune_dd import load_distilled
from tune_dd.using.exports import save_authors_layout, save_environment_npz, save_points, save_points_npz
from tune_dd.using.image_export import save_images
from tune_dd.using.latent_points import LatentPoints

Save = Callable[[Path, LatentPoints], object]


def as_environment(points: LatentPoints) -> DistilledSet:
    return DistilledSet(points.x, points.x[:, :2], torch.tensor(0.1))


def as_images(points: LatentPoints) -> np.ndarray:
    side = 64 if len(points.x) > 20 else 8
    noise = torch.rand(len(points.x), side, side, 1, generator=generator(0, "noise"))
    return (255 * noise).to(torch.uint8).numpy()


SAVES: dict[str, Save] = {
    "pt": save_points,
    "npz": save_points_npz,
    "an environment's pt": lambda path, points: save_authors_layout(path, as_environment(points), None),
    "an environment's npz": lambda path, points: save_environment_npz(path, as_environment(points)),
    "images": lambda path, points: save_images(path, points, as_images(points), replace_it=True),
}


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_a_full_disk_leaves_the_former_output(
    save: Save, latent_run: Path, small_disk: Callable[[str], Path]
) -> None:
    points = load_distilled(latent_run)
    assert isinstance(points, LatentPoints)
    many = replace(points.distilled, x=points.x.repeat(800, 1), y=points.distilled.y.repeat(800))
    disk = small_disk("200k")
    save(disk / "output", points)
    before = files_below(disk)
    with pytest.raises(OSError) as caught:  # noqa: PT011 (its number is what tells)
        save(disk / "output", replace(points, distilled=many))
    assert caught.value.errno == errno.ENOSPC
    assert files_below(disk) == before
    assert [path.name for path in disk.iterdir()] == ["output"]


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_is_not_finished_changes_nothing(there: bool, tmp_path: Path) -> None:
    target = tmp_path / "target"
    if there:
        target.mkdir()
        (target / "file").write_text("former")
    with pytest.raises(ZeroDivisionError), whole_folder(target, replace=True) as folder:
        (folder / "file").write_text(str(1 / 0))
    assert [path.name for path in tmp_path.iterdir()] == ["target"] * there
    assert files_below(tmp_path) == ({target / "file": b"former"} if there else {})


def test_a_folder_is_replaced_only_where_that_was_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "file").write_text("former")
    with pytest.raises(OSError, match="not empty"), whole_folder(target) as folder:
        (folder / "file").write_text("new")
    assert files_below(tmp_path) == {target / "file": b"former"}
    with whole_folder(target, replace=True) as folder:
        (folder / "other").write_text("new")
    assert files_below(tmp_path) == {target / "other": b"new"}
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
