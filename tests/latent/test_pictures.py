"""Pictures: right size and content, every class named, nothing of pyplot touched."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.latent.pictures import _short, draw_classes, draw_map

ROOT = Path(__file__).parents[2]
NAMES = ("cat", "dog", "frog")


def grid(path: Path, images: np.ndarray, labels: np.ndarray, names: tuple[str, ...] = NAMES) -> np.ndarray:
    draw_classes(path, images, labels, names, "A title", "a subtitle")
    return np.asarray(Image.open(path).convert("RGB"))


def share_of(picture: np.ndarray, colour: tuple[int, int, int]) -> float:
    return float((np.abs(picture.astype(int) - colour).max(2) <= 2).mean())


def test_colour_images_stand_in_the_row_of_their_class(tmp_path: Path) -> None:
    labels = np.repeat([0, 1, 2], 4)
    colours = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)
    images = np.broadcast_to(colours[labels][:, None, None, :], (12, 16, 16, 3))
    picture = grid(tmp_path / "a.png", images, labels)
    heights = []
    for colour in colours:
        rows, _ = np.nonzero((picture == colour).all(2))
        assert len(rows) > 1000
        heights.append((rows.min(), rows.max()))
    assert heights == sorted(heights)
    assert heights[0][1] < heights[1][0]
    assert heights[1][1] < heights[2][0]


def test_long_names_keep_what_tells_them_apart() -> None:
    names = [f"class number one hundred and {end}" for end in ("one", "two")]
    assert [_short(name) for name in names] == ["class number …ndred and one", "class number …ndred and two"]
    assert _short("black-throated diver") == "black-throated diver"


def test_grey_floats_and_bytes_give_the_same_picture(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), dtype=np.uint8)
    labels = np.repeat([0, 1, 2], 2)
    one = grid(tmp_path / "a.png", images, labels)
    two = grid(tmp_path / "b.png", images.astype(np.float32) / 255, labels)
    np.testing.assert_array_equal(one, two)


def test_unequal_classes_leave_their_places_empty(tmp_path: Path) -> None:
    black = np.zeros((4, 8, 8, 1), np.uint8)
    few = share_of(grid(tmp_path / "a.png", black, np.array([0, 0, 0, 1])), (0, 0, 0))
    all_three = share_of(grid(tmp_path / "b.png", black[:3].repeat(3, 0), np.repeat([0, 1, 2], 3)), (0, 0, 0))
    assert few == pytest.approx(all_three * 4 / 9, rel=0.1)


def test_a_hundred_classes_fit_a_screen(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(100), 30)
    images = np.zeros((3000, 32, 32, 3), np.uint8)
    names = tuple(f"a rather long class name {i}" for i in range(100))
    picture = grid(tmp_path / "a.png", images, labels, names)
    height, width, _ = picture.shape
    # Blocks stand side by side, and no more than twenty images a class are shown.
    assert height < 2200
    assert width < 8000


def test_other_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shape"):
        draw_classes(tmp_path / "a.png", np.zeros((3, 1, 8, 8)), np.arange(3), NAMES, "t")


@pytest.mark.parametrize(("classes", "width"), [(3, 1140), (15, 1140), (40, 1140), (70, 1320)])
def test_a_map_shows_every_class(tmp_path: Path, classes: int, width: int) -> None:
    rng = np.random.default_rng(0)
    centres = 10 * rng.normal(size=(classes, 8))
    labels = np.arange(120) % classes
    draw_map(
        tmp_path / "map.png",
        centres[labels] + rng.normal(size=(120, 8)),
        labels,
        centres,
        np.arange(classes),
        [f"class {i}" for i in range(classes)],
        "A map",
    )
    picture = np.asarray(Image.open(tmp_path / "map.png").convert("RGB"))
    assert picture.shape == (840, width, 3)
    inside = picture[50:780, 20:940].reshape(-1, 3)
    coloured = inside[inside.max(1).astype(int) - inside.min(1) > 60]
    hues = np.unique(coloured // 32, axis=0)
    assert len(coloured) > 500
    assert len(hues) >= 3


def test_names_that_the_font_lacks_are_drawn_without_a_warning(tmp_path: Path) -> None:
    names = ("猫", "犬", "$\\frac$")
    labels = np.array([0, 1, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cats = grid(tmp_path / "a.png", np.zeros((3, 8, 8, 1), np.uint8), labels, names)
        draw_map(tmp_path / "b.png", np.eye(9, 4)[:9], np.arange(9) % 3, np.eye(3, 4), labels, names, "A map")
    dogs = grid(tmp_path / "c.png", np.zeros((3, 8, 8, 1), np.uint8), labels, ("犬", "犬", names[2]))
    assert (cats != dogs).any()  # another name looks different


def test_pyplot_stays_out() -> None:
    code = (
        "import sys, numpy as np; from trainables.latent import pictures;"
        "pictures.draw_classes('/dev/null', np.zeros((2, 8, 8, 1)), np.arange(2), 'ab', 't');"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_points_that_are_all_the_same_are_drawn(tmp_path: Path) -> None:
    """Constant features: scikit-learn's t-SNE crashes the process on them."""
    same = np.ones((60, 5), dtype=np.float32)
    labels = np.arange(60) % 2
    path = tmp_path / "map.png"
    draw_map(path, same, labels, same[:2], labels[:2], ("a", "b"), "nothing to see", seed=0)
    assert path.stat().st_size > 0
