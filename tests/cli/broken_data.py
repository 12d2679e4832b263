"""Data that cannot be used, made small: what the bad-input test points the commands at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

Make = Callable[[Path], None]


def image_folder(
    folder: Path, classes: tuple[str, ...] = ("cat", "dog"), per_class: int = 12, side: int = 8
) -> None:
    """Grey noise as ``folder/<class>/<i>.png``."""
    rng = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(per_class):
            noise = rng.integers(0, 256, (side, side), dtype=np.uint8)
            Image.fromarray(noise).save(folder / name / f"{i:02d}.png")


def images(here: Path) -> None:
    image_folder(here / "images")


def empty_folder(here: Path) -> None:
    (here / "images").mkdir()


def empty_class(here: Path) -> None:
    images(here)
    (here / "images" / "emu").mkdir()


def one_class(here: Path) -> None:
    image_folder(here / "images", classes=("cat",))


def corrupt_image(here: Path) -> None:
    images(here)
    (here / "images" / "dog" / "03.png").write_bytes(b"\x89PNG\r\n\x1a\n not an image after all")


def other_test_classes(here: Path) -> None:
    images(here)
    image_folder(here / "test", classes=("cat", "fox"))


def tiny_images(here: Path) -> None:
    image_folder(here / "images", side=4)


def few_images(here: Path) -> None:
    image_folder(here / "images", per_class=3)


def features(here: Path, spoil: Callable[[dict[str, np.ndarray]], None] = lambda arrays: None) -> None:
    """``features.npz`` of two classes; ``spoil`` may change the arrays before they are written."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    arrays = {"features": rng.normal(size=(60, 4)).astype(np.float32), "labels": labels}
    spoil(arrays)
    np.savez(here / "features.npz", **arrays)  # type: ignore[arg-type]


def features_without_labels(here: Path) -> None:
    features(here, lambda arrays: arrays.pop("labels"))  # type: ignore[arg-type, return-value]


def features_not_finite(here: Path) -> None:
    features(here, lambda arrays: arrays["features"].__setitem__((3, 1), np.nan))


def features_of_one_class(here: Path) -> None:
    features(here, lambda arrays: arrays["labels"].fill(0))


def features_of_one_column(here: Path) -> None:
    features(here, lambda arrays: arrays.update(features=arrays["features"][:, :1]))


def features_that_are_text(here: Path) -> None:
    (here / "features.npz").write_text("no arrays in here")


def a_file_as_storage(here: Path) -> None:
    (here / "taken").write_text("")


def an_earlier_run(here: Path) -> None:
    (here / "results" / "runs" / "digits" / "conv" / "implicit-m10-s0").mkdir(parents=True)


def foreign_weights(here: Path) -> None:
    (here / "weights.pt").write_text("no state dict in here")


def an_old_folder(here: Path) -> None:
    (here / "results" / "old").mkdir(parents=True)


def a_damaged_sweep(here: Path) -> None:
    an_old_folder(here)
    for name in ("sweep.json", "sweep_summary.json"):
        (here / "results" / "old" / name).write_text('{"schema_version": 1, "config": {"na')


def a_sweep_of_the_future(here: Path) -> None:
    an_old_folder(here)
    for name in ("sweep.json", "sweep_summary.json"):
        (here / "results" / "old" / name).write_text('{"schema_version": 999}')


def a_summary_of_nothing(here: Path) -> None:
    an_old_folder(here)
    (here / "results" / "old" / "sweep_summary.json").write_text('{"schema_version": 1}')
