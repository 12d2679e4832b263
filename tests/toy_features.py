"""Features of three overlapping classes as files, for commands that are to take seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

DATA = "--features-train train.npz --features-test test.npz"
"""The flags that name the files, from the folder where they lie."""


def write_toy_features(place: Path, *, train: int, test: int, d: int, separation: float) -> None:
    """Write ``train.npz`` and ``test.npz``.

    Args:
        train, test: items per class.
        d: dimensions; the classes' means lie at ``separation`` along the first three.
    """
    rng = np.random.default_rng(0)
    for part, per_class in (("train", train), ("test", test)):
        labels = np.repeat(np.arange(3), per_class)
        features = separation * np.eye(3, d)[labels] + rng.normal(size=(len(labels), d))
        np.savez(place / f"{part}.npz", features=features.astype(np.float32), labels=labels)
