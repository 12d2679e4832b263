"""Datasets by name: the training pool, and (for one caller) the test pool.

Loading a training pool never opens a test file; where train and test share one file (digits, a feature
file), the test rows are dropped as it is read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.errors import InputError
from trainables.latent.cache import Report
from trainables.latent.config import DataConfig
from trainables.latent.custom_images import load_custom_images
from trainables.latent.feature_files import load_features
from trainables.latent.pool import Pool, PoolFacts
from trainables.latent.splits import held_out

DIGITS_TEST_ITEMS = 597
DIGITS_SHA256 = "65e5b4619795efb40c1082f4c350c049e4ad552200d369b6ae99e21eef5e72c5"


@dataclass(frozen=True)
class _Known:
    """A dataset whose content is fixed: told without opening it, verified whenever it is loaded."""

    n_train: int
    item_shape: tuple[int, int, int]
    content: str  # what the fingerprint is made of

    @property
    def facts(self) -> PoolFacts:
        return PoolFacts(hashlib.sha256(self.content.encode()).hexdigest(), self.n_train, self.item_shape)


_KNOWN = {
    "digits": _Known(1200, (8, 8, 1), f"digits {DIGITS_SHA256}"),
    # torchvision holds every file of these two against its own MD5 digests before reading it.
    "cifar10": _Known(50_000, (32, 32, 3), "cifar10 of torchvision, its files as by torchvision's digests"),
    "cifar100": _Known(50_000, (32, 32, 3), "cifar100 of torchvision, its files as by torchvision's digests"),
}


def pool_facts(config: DataConfig, cache: Path, report: Report) -> PoolFacts:
    """Fingerprint and shape of the training pool; reads no data that was read before.

    Custom images and features are read (and images decoded into the cache) the first time.

    Raises:
        InputError: as :func:`load_train_pool`, for custom images and features.
    """
    if config.dataset in _KNOWN:
        return _KNOWN[config.dataset].facts
    pool = load_train_pool(config, cache, report)
    return PoolFacts(pool.fingerprint, len(pool.items), pool.items.shape[1:])


def load_train_pool(config: DataConfig, cache: Path, report: Report) -> Pool:
    """Everything that may be trained on or split. Opens no test file.

    Args:
        config: which data.
        cache: folder that keeps decoded custom images.
        report: told of downloads and decoding.

    Raises:
        InputError: the data are missing, broken or unusable; the message says what to do.
    """
    return _load(config, cache, report, test=False)


def load_test_pool(config: DataConfig, cache: Path, report: Report) -> Pool:
    """The test items, for :mod:`trainables.latent.test_access` alone; see :func:`load_train_pool`."""
    return _load(config, cache, report, test=True)


def _load(config: DataConfig, cache: Path, report: Report, *, test: bool) -> Pool:
    match config.dataset:
        case "digits":
            return _load_digits(test)
        case "cifar10" | "cifar100":
            return _load_cifar(config, report, test)
        case "custom":
            return load_custom_images(config, cache, report, test=test)
        case _:
            return load_features(config, cache, report, test=test)


def _load_digits(test: bool) -> Pool:
    from sklearn.datasets import load_digits  # a second of imports, needed only where digits are not cached

    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    levels = bunch.images.astype(np.uint8)  # 0 to 16
    content = hashlib.sha256(levels.tobytes() + labels.tobytes()).hexdigest()
    if content != DIGITS_SHA256:
        raise InputError(
            "scikit-learn's digits on this machine differ from those this version knows",
            "results are kept under the data's digest",
            "install the scikit-learn version of constraints.txt",
        )
    images = np.round(levels[..., None] * (255 / 16)).astype(np.uint8)  # (1797, 8, 8, 1)
    chosen = held_out(labels, DIGITS_TEST_ITEMS) == test
    names = tuple(str(name) for name in bunch.target_names)
    return Pool(images[chosen], labels[chosen], names, _KNOWN["digits"].facts.fingerprint)


def _load_cifar(config: DataConfig, report: Report, test: bool) -> Pool:
    from torchvision import datasets as vision

    base = {"cifar10": vision.CIFAR10, "cifar100": vision.CIFAR100}[config.dataset]
    # Emptying the other part's list keeps torchvision from opening its files for their digests.
    other: dict[str, Any] = {"train_list" if test else "test_list": []}
    part = type(base.__name__ + ("Test" if test else "Train"), (base,), other)
    root = Path(config.data_root)
    remedy = (
        f"put {base.filename} (from {base.url}) into {root}, unpack it there, "
        "or give its place with --data-root DIR"
    )
    report(
        f"reading {config.dataset} from {root}"
        + (", downloading it where missing" if config.download else "")
    )
    try:
        data = part(root, train=not test, download=config.download)
    except (
        OSError,
        RuntimeError,
    ) as error:  # URLError is an OSError; torchvision's own findings are RuntimeErrors
        raise InputError(
            f"{config.dataset} cannot be had in {root} ({error})",
            "its files must be there, whole, or downloadable",
            remedy,
        ) from error
    labels = np.asarray(data.targets, dtype=np.int64)
    images: NDArray[np.uint8] = np.asarray(data.data)
    return Pool(images, labels, tuple(data.classes), _KNOWN[config.dataset].facts.fingerprint)
