"""Stratified, seeded splits: test held out, then train, reward and selection.

The reward half of the validation data chooses lambda, stops early and rewards; the selection half is
what a sweep compares, and serves nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainables.errors import InputError
from trainables.latent.config import DataConfig
from trainables.seeds import derive_seed

Indices = NDArray[np.int64]

SMALL_DATA = 10_000
"""Below this many items validation takes the larger share."""
SMALL_VAL_FRACTION, VAL_FRACTION = 0.25, 0.1
_MIN_PER_CLASS = {"train": 2, "reward": 1, "selection": 1}
_LEAST_ITEMS = sum(_MIN_PER_CLASS.values())


@dataclass(frozen=True)
class Split:
    """Indices into a pool, each part sorted; the parts are disjoint and cover the pool.

    Attributes:
        train, reward, selection: (n_part,) int64.
        digest: 64 hexadecimal digits over the three parts.
    """

    train: Indices
    reward: Indices
    selection: Indices
    digest: str


def make_split(labels: NDArray[np.int64], config: DataConfig, class_names: Sequence[str]) -> Split:
    """Split a pool by class, seeded by ``config.split_seed``.

    Args:
        labels: (n,) class indices of the pool.
        config: gives ``split_seed`` and ``val_fraction``.
        class_names: one a class; each must have items.

    Raises:
        InputError: a class is too small to be in every part.
    """
    sizes = np.bincount(labels, minlength=len(class_names))
    rarest = int(sizes.argmin())
    size = sizes[rarest]
    if size < _LEAST_ITEMS:
        raise InputError(
            f"class {class_names[rarest]} has {size} {'item' if size == 1 else 'items'} beside test",
            f"each class needs {_LEAST_ITEMS}: 2 to train on and 1 in each half of validation",
            "add data of that class, or remove the class",
        )
    fraction = val_fraction(config, len(labels))
    rng = np.random.default_rng(derive_seed(config.split_seed, "split"))
    parts: dict[str, list[Indices]] = {"train": [], "reward": [], "selection": []}
    classes, n_vals = _stratified_counts(labels, round(fraction * len(labels)))
    odd_classes = 0
    for label, n_val in zip(classes, n_vals, strict=True):
        members = rng.permutation(np.flatnonzero(labels == label))
        # Where a class's share is odd, the halves take turns at the extra item.
        n_reward = (n_val + odd_classes % 2) // 2
        odd_classes += n_val % 2
        cuts = {"reward": members[:n_reward], "selection": members[n_reward:n_val], "train": members[n_val:]}
        for name, least in _MIN_PER_CLASS.items():
            if len(cuts[name]) < least:
                raise InputError(
                    f"class {class_names[label]} has {len(members)} items, "
                    f"{len(cuts[name])} of them in the {name} part",
                    f"that part needs {least} of each class",
                    "add data of that class, or change --val-fraction",
                )
            parts[name].append(cuts[name])
    merged = {name: np.sort(np.concatenate(chunks)) for name, chunks in parts.items()}
    digest = hashlib.sha256()
    for name, indices in merged.items():
        digest.update(name.encode() + indices.astype("<i8").tobytes())
    return Split(merged["train"], merged["reward"], merged["selection"], digest.hexdigest())


def val_fraction(config: DataConfig, n_items: int) -> float:
    """The share of ``n_items`` that validation gets."""
    if config.val_fraction is not None:
        return config.val_fraction
    return VAL_FRACTION if n_items >= SMALL_DATA else SMALL_VAL_FRACTION


def held_out(labels: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Which items are test data where none was given: stratified, and the same for every seed.

    One fixed draw, whatever the split's seed: a test item of one run is never a training item of another.

    Args:
        labels: (n,) class indices.
        count: items to hold out; classes share them by their size, with the largest remainders rounded up.

    Returns:
        (n,) mask with ``count`` items set.
    """
    rng = np.random.default_rng(derive_seed(0, "test"))
    mask = np.zeros(len(labels), dtype=bool)
    for label, take in zip(*_stratified_counts(labels, count), strict=True):
        mask[rng.permutation(np.flatnonzero(labels == label))[:take]] = True
    return mask


def _stratified_counts(labels: NDArray[np.int64], count: int) -> tuple[Indices, Indices]:
    """The classes, and how many items of each make up ``count``; the largest remainders are rounded up."""
    classes, sizes = np.unique(labels, return_counts=True)
    quotas = sizes * (count / len(labels))
    takes = np.floor(quotas).astype(np.int64)
    takes[np.argsort(takes - quotas, kind="stable")[: count - takes.sum()]] += 1
    return classes, takes
