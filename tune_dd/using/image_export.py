"""Latents as images in one folder a class, as torchvision's ImageFolder and many others read them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from trainables.errors import InputError
from trainables.latent.cache import Report, default_cache
from trainables.latent.config import DataConfig
from trainables.latent.cross_encoder import decoded_images
from trainables.latent.datasets import pool_facts
from trainables.latent.real_images import load_real_images
from trainables.schema import from_flat
from trainables.whole_files import whole_folder
from tune_dd.runs.folder import write_json
from tune_dd.using.exports import about
from tune_dd.using.latent_points import LatentPoints

LABELS_FILE, ABOUT_FILE = "labels.csv", "about.json"
"""Beside the classes' folders: what each image's soft label is, and what the set was made of."""
_KIND = "tune-dd images of a distilled set"
_NUMBER = re.compile(r"\d{3,}\.png")


def images_of(points: LatentPoints, cache: Path | None, report: Report) -> tuple[NDArray[np.uint8], str]:
    """What the points look like.

    Args:
        cache: the folder of encoders (default: see :meth:`LatentPoints.open_latents`).
        report: told of the progress.

    Returns:
        (n, H, W, C) uint8 images, and what they are in words: real images of real points, otherwise decoded
        points.

    Raises:
        InputError: the points are features; or what is needed, decoder or real images, is not there.
    """
    if points.config.get("backbone") == "identity":
        raise InputError(
            f"the set '{points.name}' of {points.file} has no images",
            "features have no decoder",
            "leave --images out; --pt and --npz have the features",
        )
    _check_names(points)
    if points.distilled.indices is None:
        decoded = decoded_images(points.distilled, points.open_latents(cache))  # (n, C, H, W) in [0, 1]
        return (255 * decoded).round().to(torch.uint8).permute(0, 2, 3, 1).numpy(), "decoded points"
    config, place = from_flat(DataConfig, points.config), cache or default_cache()
    real = load_real_images(config, place, report)
    fingerprint = points.provenance.get("data_fingerprint")
    if pool_facts(config, place, report).fingerprint != fingerprint:
        raise InputError(
            f"the set '{points.name}' of {points.file} consists of images that are others now",
            f"its data had the fingerprint {fingerprint}",
            "restore the data",
        )
    return np.asarray(real.at(points.distilled.indices.numpy()), np.uint8), "real images"


def _check_names(points: LatentPoints) -> None:
    """Class names become folders, and a file that somebody sent may name any place.

    Raises:
        InputError: they are no names of folders, or not all different.
    """
    names = points.class_names
    bad = [
        name for name in names if name in ("", ".", "..", LABELS_FILE, ABOUT_FILE) or set(name) & set("/\0")
    ]
    bad += [name for name in names if names.count(name) > 1]
    if bad:
        raise InputError(
            f"{points.file} has a class named '{bad[0]}'", "classes become folders", "leave --images out"
        )


def save_images(
    path: Path, points: LatentPoints, images: NDArray[np.uint8], *, replace_it: bool = False
) -> None:
    """Write ``path/<class>/<NNN>.png``, ``path/about.json``, and for soft labels ``path/labels.csv``.

    Args:
        path: of the folder.
        images: (n, H, W, C) uint8; C is 1 or 3.
        replace_it: whether an earlier export is removed.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    counts = [0] * len(points.class_names)
    files = []
    with whole_folder(path, replace=replace_it) as place:
        for label, pixels in zip(points.distilled.y.tolist(), images, strict=True):
            file = Path(points.class_names[label], f"{counts[label]:03d}.png")
            (place / file).parent.mkdir(exist_ok=True)
            Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(place / file)
            counts[label] += 1
            files.append(file.as_posix())
        write_json(place / ABOUT_FILE, {"kind": _KIND, **about(points)})
        if points.distilled.soft_labels is not None:
            with (place / LABELS_FILE).open("w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                writer.writerow(["file", *points.class_names])
                # As many digits as give the same float32 again.
                soft = points.distilled.soft_labels.numpy()
                writer.writerows([file, *map(str, row)] for file, row in zip(files, soft, strict=True))


def is_image_export(folder: Path) -> bool:
    """Whether a folder is one that :func:`save_images` wrote, and nothing else is in it."""
    try:
        ours = json.loads((folder / ABOUT_FILE).read_text())["kind"] == _KIND
    except (OSError, ValueError, TypeError, KeyError):
        return False
    files = (path.relative_to(folder).parts for path in folder.rglob("*") if not path.is_dir())
    known = (
        _NUMBER.fullmatch(parts[-1]) if len(parts) == 2 else parts in ((LABELS_FILE,), (ABOUT_FILE,))
        for parts in files
    )
    return ours and not folder.is_symlink() and all(known)
