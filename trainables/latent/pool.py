"""What a dataset gives: labelled items in memory or memory-mapped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pool:
    """Labelled items of one kind: images or feature vectors.

    Attributes:
        items: (n, H, W, C) uint8 images, or (n, d) float32 features; memory-mapped where large.
        labels: (n,) int64, indices into ``class_names``.
        class_names: one a class, in the order of the labels.
        fingerprint: 64 hexadecimal digits over the content.
    """

    items: NDArray[Any]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class PoolFacts:
    """What can be said of a training pool without loading it.

    Attributes:
        fingerprint: see :attr:`Pool.fingerprint`.
        n_items: number of items.
        item_shape: (H, W, C) or (d,).
    """

    fingerprint: str
    n_items: int
    item_shape: tuple[int, ...]
