"""Precomputed features with labels, from .npz or .npy files."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.errors import InputError
from trainables.latent.array_files import ArrayFile, write_array
from trainables.latent.cache import Report, content_key, get_or_build
from trainables.latent.config import DataConfig
from trainables.latent.pool import Pool
from trainables.latent.splits import held_out

TEST_SHARE = 0.2
_CHUNK_ROWS = 1 << 14
_FORMAT = "features 1"


def load_features(config: DataConfig, cache: Path, report: Report, *, test: bool) -> Pool:
    """Features as ``--features-train`` and ``--features-test`` name them.

    The rows of one part are copied into the cache as they are checked; later calls only compare the
    files' sizes and times and map the copy. Without a test file a stratified fifth of the training file
    is the test part, drawn from the labels alone.

    Returns:
        A pool with (n, d) float32 items.

    Raises:
        InputError: a file is missing, broken, or not features with labels.
    """
    assert config.features_train is not None  # DataConfig sees to it
    source = Path(config.features_test if test and config.features_test else config.features_train)
    part = "whole" if config.features_test else ("held out" if test else "kept")
    key = content_key({"format": _FORMAT, "part": part, "files": _listing(source)})

    def build(folder: Path) -> dict[str, Any]:
        report(f"reading features from {source}")
        features, labels, names = _open(source)
        if part != "whole":
            mask = held_out(labels, round(TEST_SHARE * len(labels)))
            rows = np.flatnonzero(mask == test)
        else:
            rows = np.arange(len(labels))
        digest = hashlib.sha256(repr((names, features.shape[1])).encode())
        digest.update(labels[rows].astype("<i8").tobytes())
        with ArrayFile(folder / "items.npy", (len(rows), features.shape[1]), np.float32) as stream:
            for start in range(0, len(rows), _CHUNK_ROWS):
                chunk = _in_float32(source, features[rows[start : start + _CHUNK_ROWS]])
                digest.update(chunk.tobytes())
                stream.append(chunk)
        write_array(folder / "labels.npy", labels[rows])
        return {"class_names": names, "fingerprint": digest.hexdigest()}

    entry = get_or_build(cache, "features", key, build, report, f"the features of {source}")
    return Pool(
        np.load(entry.path / "items.npy", mmap_mode="r"),
        np.load(entry.path / "labels.npy"),
        tuple(entry.meta["class_names"]),
        entry.meta["fingerprint"],
    )


def _in_float32(source: Path, rows: NDArray[Any]) -> NDArray[np.float32]:
    if not np.isfinite(rows).all():
        raise InputError(
            f"{source} holds values that are not finite numbers",
            "features must be finite",
            "remove those rows or compute the features again",
        )
    greatest, limit = float(np.abs(rows.astype(np.float64)).max()), float(np.finfo(np.float32).max)
    if greatest > limit:
        raise InputError(
            f"{source} holds {greatest:.1e}",
            f"features are kept in float32, up to {limit:.1e}",
            "divide them by a number that suits all",
        )
    return rows.astype("<f4")


def check_same_features(train: Pool, test: Pool, config: DataConfig) -> None:
    """Refuse a test file whose classes or feature size differ from the training file's.

    Raises:
        InputError: naming both.
    """
    if train.items.shape[1:] != test.items.shape[1:]:
        raise InputError(
            f"{config.features_test} has features of size {test.items.shape[1]}",
            f"those of {config.features_train} have {train.items.shape[1]}",
            "compute both with the same model",
        )
    if train.class_names != test.class_names:
        raise InputError(
            f"{config.features_test} has {len(test.class_names)} classes, not all those of the training file",
            "train and test must have the same classes",
            "give files of the same classes",
        )


def _labels_file(source: Path) -> Path:
    return source.with_suffix(".labels.npy")


def _listing(source: Path) -> list[tuple[str, int, int]]:
    if source.suffix not in (".npz", ".npy"):
        raise InputError(
            f"{source} ends in '{source.suffix}'", "features are read from .npz or .npy", "convert it"
        )
    files = [source] if source.suffix == ".npz" else [source, _labels_file(source)]
    listing = []
    for file in files:
        try:
            found = file.stat()
        except OSError as error:
            raise InputError(
                f"{file} cannot be read ({error.strerror})",
                "it must be a file of features (.npz, or .npy with labels beside it)",
                "check the path",
            ) from error
        listing.append((str(file.resolve()), found.st_size, found.st_mtime_ns))
    return listing


def _open(source: Path) -> tuple[NDArray[Any], NDArray[np.int64], list[str]]:
    """Features (n, d), labels as class indices (n,), class names."""
    try:
        if source.suffix == ".npz":
            with np.load(source) as archive:
                for name in ("features", "labels"):
                    if name not in archive:
                        raise InputError(
                            f"{source} has no array '{name}' (it has {', '.join(archive.files)})",
                            "it must hold 'features' (n, d) and 'labels' (n,)",
                            "save it with numpy.savez(FILE, features=..., labels=...)",
                        )
                features, labels = archive["features"], archive["labels"]
        else:
            features = np.load(source, mmap_mode="r")
            labels = np.load(_labels_file(source))
    except InputError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if "Object arrays" in str(error):
            raise InputError(
                f"{source} holds an array of Python objects (dtype object)",
                "features must be numbers, labels integers or names",
                "convert it before saving, for example with labels.astype(str)",
            ) from error
        # Of a file that is not its own, numpy tells of pickles only.
        why = "it is no file of numpy's" if "allow_pickle" in str(error) else str(error)
        raise InputError(
            f"{source} cannot be read ({why})", "it must be a file that numpy wrote", "write it again"
        ) from error
    if features.ndim != 2 or features.dtype.kind not in "fiu" or 0 in features.shape:
        kind = features.dtype.kind not in "fiu"
        remedy = "flatten them to one row an item" if features.size else "give one row or more"
        raise InputError(
            f"the features of {source} are of shape {features.shape} and type {features.dtype}",
            "they must be real numbers of shape (n, d), with n and d above 0",
            "convert them to float32" if kind else remedy,
        )
    if labels.shape != (len(features),) or labels.dtype.kind not in "iuSU":
        raise InputError(
            f"the labels of {source} are of shape {labels.shape} and type {labels.dtype}",
            f"they must be integers or names of shape ({len(features)},)",
            "give one label for each row of the features",
        )
    classes, indices = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise InputError(
            f"{source} has one class only", "there must be at least two", "add items of another class"
        )
    names = [value.decode() if isinstance(value, bytes) else str(value) for value in classes.tolist()]
    return features, indices.astype(np.int64), names
