"""Small image folders, and a place for progress lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeImages = Callable[..., Path]


@pytest.fixture
def lines() -> list[str]:
    """Progress lines: ``lines.append`` is a Report."""
    return []


@pytest.fixture
def make_images(tmp_path: Path) -> MakeImages:
    """Write ``DIR/<class>/<n>.png``: classes differ in brightness, so that an encoder can tell them apart."""

    def make(
        name: str = "images",
        *,
        per_class: tuple[int, ...] = (20, 20),
        size: tuple[int, int] = (12, 12),
        mode: str = "RGB",
        suffix: str = ".png",
    ) -> Path:
        rng = np.random.default_rng(0)
        root = tmp_path / name
        for label, count in enumerate(per_class):
            folder = root / f"class{label}"
            folder.mkdir(parents=True)
            for index in range(count):
                level = 255 * (label + 0.5) / len(per_class)
                pixels = rng.normal(level, 20, (size[1], size[0], 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).convert(mode).save(folder / f"{index:03d}{suffix}")
        return root

    return make
