"""The images behind the latents: what selection pictures show, what networks learn from, class sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.errors import InputError
from trainables.latent.cache import Report
from trainables.latent.config import DataConfig
from trainables.latent.datasets import load_train_pool
from trainables.latent.splits import make_split


@dataclass(frozen=True)
class RealImages:
    """Training items, in the order of the training latents, and those of the selection half.

    Attributes:
        items: of the whole pool: (n, H, W, C) uint8 images, or (n, d) features.
        labels: (n_train,) class indices of the training part.
        rows: (n_train,) rows of the pool that form the training part.
        selection_rows: (n_selection,) those that form the selection half, in the order of its latents.
        class_names: names by class index.
    """

    items: NDArray[Any]
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    selection_rows: NDArray[np.int64]
    class_names: tuple[str, ...]

    @property
    def are_images(self) -> bool:
        return self.items.ndim == 4

    def at(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Items by row of the training latents; (k, H, W, C)."""
        return np.asarray(self.items[self.rows[indices]])

    def of_selection_half(self) -> NDArray[Any]:
        """Items of the selection half; (n_selection, H, W, C)."""
        return np.asarray(self.items[self.selection_rows])

    def refuse_more(self, flag: str, per_class: int) -> None:
        """Hold a number of points per class against the smallest class, before any work.

        Raises:
            InputError: if the class has fewer training items.
        """
        sizes = np.bincount(self.labels, minlength=len(self.class_names))
        smallest = int(np.argmin(sizes))
        if per_class > sizes[smallest]:
            raise InputError(
                f"{flag} is {per_class}",
                f"the smallest class, '{self.class_names[smallest]}', has {sizes[smallest]} training items",
                f"give at most {sizes[smallest]}",
            )


def load_real_images(config: DataConfig, cache: Path, report: Report) -> RealImages:
    """Load the items of a dataset's split; opens no test data.

    Raises:
        InputError: as :func:`~trainables.latent.datasets.load_train_pool`.
    """
    pool = load_train_pool(config, cache, report)
    split = make_split(pool.labels, config, pool.class_names)
    return RealImages(pool.items, pool.labels[split.train], split.train, split.selection, pool.class_names)
