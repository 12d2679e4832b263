"""Own images in folders, DIR/<class>/<image>, decoded once into the cache.

Which files are test images is decided from their names alone, and a training pool opens none of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.errors import InputError
from trainables.latent.array_files import write_array
from trainables.latent.cache import Report, content_key, get_or_build
from trainables.latent.config import DataConfig
from trainables.latent.pool import Pool
from trainables.latent.splits import held_out

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
TEST_SHARE = 0.2
_FORMAT = "custom images 1"


@dataclass(frozen=True)
class _Listing:
    """The image files under a folder, sorted by class and name."""

    root: Path
    class_names: tuple[str, ...]
    names: list[str]  # "class/file"
    labels: NDArray[np.int64]
    stamps: list[tuple[int, int]]  # size, modification time in ns

    def choose(self, mask: NDArray[np.bool_]) -> _Listing:
        kept = np.flatnonzero(mask)
        names, stamps = [self.names[i] for i in kept], [self.stamps[i] for i in kept]
        return _Listing(self.root, self.class_names, names, self.labels[kept], stamps)

    def digest(self) -> str:
        """Over names, sizes and times: tells whether files changed without opening one."""
        return hashlib.sha256(repr((str(self.root), self.names, self.stamps)).encode()).hexdigest()


def load_custom_images(config: DataConfig, cache: Path, report: Report, *, test: bool) -> Pool:
    """Images as ``--custom-train-dir`` and ``--custom-test-dir`` name them.

    Args:
        config: which folders, and the size to resize to.
        cache: keeps the decoded images, under the listing (names, sizes, times) of the files.
        report: told of the decoding.
        test: the test part instead of the training part.

    Returns:
        A pool whose items are a memory map, (n, H, W, C) uint8; C is 1 where every training image is
        grey, otherwise 3.

    Raises:
        InputError: a folder is missing or empty, classes differ, an image is corrupt or too small.
    """
    assert config.custom_train_dir is not None  # DataConfig sees to it
    listing = _list_images(Path(config.custom_train_dir), "--custom-train-dir")
    if config.custom_test_dir is not None:
        test_classes = _class_folders(Path(config.custom_test_dir), "--custom-test-dir")
        _check_same_classes(listing.class_names, test_classes)
        if test:
            listing = _list_images(Path(config.custom_test_dir), "--custom-test-dir")
    shape = None
    if test:
        train = load_custom_images(config, cache, report, test=False)
        shape = train.items.shape[1:]
    size = config.override_image_size
    held = "" if config.custom_test_dir is not None else ("held out" if test else "kept")
    key = content_key(
        {"format": _FORMAT, "files": listing.digest(), "held": held, "size": size, "shape": shape}
    )

    def build(folder: Path) -> dict[str, Any]:
        from trainables.latent.image_decoding import decode_images  # Pillow, needed only the first time

        chosen = listing
        if held:
            mask = held_out(listing.labels, round(TEST_SHARE * len(listing.labels)))
            chosen = listing.choose(mask == test)
        write_array(folder / "labels.npy", chosen.labels)
        for hidden in _hidden_classes(listing.root):
            report(f"leaving out the images in {hidden}: its name begins with a dot")
        report(f"decoding {len(chosen.names)} images of {listing.root}")
        digest = decode_images(
            listing.root, chosen.names, folder / "items.npy", size=size, shape=shape, report=report
        )
        return {"fingerprint": digest}

    entry = get_or_build(cache, "images", key, build, report, f"the decoded images of {listing.root}")
    return Pool(
        np.load(entry.path / "items.npy", mmap_mode="r"),
        np.load(entry.path / "labels.npy"),
        listing.class_names,
        entry.meta["fingerprint"],
    )


def _class_folders(root: Path, flag: str) -> tuple[str, ...]:
    try:
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name[0] != ".")
    except OSError as error:
        raise InputError(
            f"{flag} {root} cannot be read ({error.strerror})",
            "it must be a folder with one folder of images for each class",
            "check the path",
        ) from error
    if len(names) < 2:
        raise InputError(
            f"{flag} {root} has {'one class folder' if names else 'no class folders'}",
            "it must have at least two, DIR/<class>/<image>",
            "give the folder that holds the class folders",
        )
    return tuple(names)


def _hidden_classes(root: Path) -> list[Path]:
    """Folders that would be classes but for the dot before their names."""
    hidden = sorted(path for path in root.iterdir() if path.name[0] == "." and path.is_dir())
    return [path for path in hidden if any(_is_image(entry) for entry in os.scandir(path))]


def _is_image(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(IMAGE_SUFFIXES) and entry.name[0] != "."


def _check_same_classes(train: Sequence[str], test: Sequence[str]) -> None:
    differing = sorted(set(train) ^ set(test))
    if differing:
        raise InputError(
            f"the class '{differing[0]}' is in one of --custom-train-dir and --custom-test-dir only",
            "both must have the same class folders",
            f"add or remove that folder (and {len(differing) - 1} more)"
            if differing[1:]
            else "add or remove it",
        )


def _list_images(root: Path, flag: str) -> _Listing:
    root = root.absolute()
    class_names = _class_folders(root, flag)
    names: list[str] = []
    stamps: list[tuple[int, int]] = []
    sizes: list[int] = []
    for class_name in class_names:
        found, statuses = _images_of_class(root / class_name)
        if not found:
            raise InputError(
                f"the folder {root / class_name} has no images",
                f"each class needs some ({', '.join(IMAGE_SUFFIXES)})",
                "add images or remove the folder",
            )
        names += [f"{class_name}/{name}" for name in found]
        stamps += [(status.st_size, status.st_mtime_ns) for status in statuses]
        sizes.append(len(found))
    labels = np.repeat(np.arange(len(class_names), dtype=np.int64), sizes)
    return _Listing(root, class_names, names, labels, stamps)


def _images_of_class(folder: Path) -> tuple[list[str], list[os.stat_result]]:
    """Names, sorted, and their status: a system call each, so only images are asked for it."""
    try:
        entries = {entry.name: entry for entry in os.scandir(folder) if _is_image(entry)}
        names = sorted(entries)
        return names, [entries[name].stat() for name in names]
    except OSError as error:
        raise InputError(
            f"{error.filename or folder} cannot be read ({error.strerror})",
            "every image must be readable",
            "remove it or make it readable",
        ) from error
