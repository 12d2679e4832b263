"""Own image folders: what is decoded, what is refused, and what is never opened."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.latent.conftest import MakeImages
from trainables.errors import InputError
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.datasets import load_test_pool, load_train_pool
from trainables.latent.latents import prepare_latents
from trainables.latent.pool import Pool

ROOT = Path(__file__).parent.parent.parent


def load(root: Path, cache: Path, *, test: bool = False, **settings: object) -> Pool:
    config = DataConfig(dataset="custom", custom_train_dir=str(root), **settings)  # type: ignore[arg-type]
    return (load_test_pool if test else load_train_pool)(config, cache, print)


def one_image_each(root: Path, *images: Image.Image, suffix: str = ".png") -> None:
    """Two classes; the given images are all the second has, so none is held out but by their share."""
    for label in ("a", "b"):
        (root / label).mkdir(parents=True)
    for index, image in enumerate(images):
        for label in ("a", "b"):
            image.save(root / label / f"{index}{suffix}")


def test_colour_images_keep_their_pixels(make_images: MakeImages, tmp_path: Path) -> None:
    root = make_images(per_class=(10, 20), size=(12, 9))
    pool, held = load(root, tmp_path / "cache"), load(root, tmp_path / "cache", test=True)
    assert pool.items.shape == (24, 9, 12, 3)
    assert pool.items.dtype == np.uint8
    assert isinstance(pool.items, np.memmap)
    assert pool.class_names == ("class0", "class1")
    np.testing.assert_array_equal(np.bincount(pool.labels), [8, 16])
    np.testing.assert_array_equal(np.bincount(held.labels), [2, 4])
    files = [np.asarray(Image.open(file)) for file in sorted(root.glob("*/*.png"))]
    found = {item.tobytes() for item in [*pool.items, *held.items]}
    assert found == {file.tobytes() for file in files}


def test_grey_images_stay_grey_unless_one_has_colour(make_images: MakeImages, tmp_path: Path) -> None:
    root = make_images(mode="L")
    assert load(root, tmp_path / "cache").items.shape[3] == 1
    Image.new("RGB", (12, 12), "red").save(root / "class1" / "999.png")
    separate = make_images("test", mode="L")
    config = {"custom_test_dir": str(separate)}
    pool, test = load(root, tmp_path / "cache", **config), load(root, tmp_path / "cache", test=True, **config)
    assert pool.items.shape[3] == 3
    assert test.items.shape[3] == 3  # a test part follows its training part
    np.testing.assert_array_equal(pool.items[-1], np.broadcast_to([255, 0, 0], (12, 12, 3)))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("P", (8, 8), 1), None),
        (Image.new("RGBA", (8, 8), (255, 0, 0, 255)), (255, 0, 0)),
        (Image.new("RGBA", (8, 8), (255, 0, 0, 0)), (255, 255, 255)),
        (Image.new("LA", (8, 8), (100, 255)), (100,)),
        (Image.fromarray(np.full((8, 8), 257 * 40, np.uint16)), (40,)),
        (Image.new("1", (8, 8), 1), (255,)),
    ],
    ids=["palette", "opaque", "transparent", "grey alpha", "16 bit", "bilevel"],
)
def test_odd_modes(tmp_path: Path, image: Image.Image, expected: tuple[int, ...] | None) -> None:
    one_image_each(tmp_path / "images", *[image] * 3)
    pool = load(tmp_path / "images", tmp_path / "cache")
    if expected is None:
        expected = image.convert("RGB").getpixel((0, 0))  # type: ignore[assignment]
    np.testing.assert_array_equal(pool.items[0], np.broadcast_to(expected, (8, 8, len(expected))))  # type: ignore[arg-type]


def test_cmyk_jpeg(tmp_path: Path) -> None:
    one_image_each(tmp_path / "images", *[Image.new("CMYK", (16, 16), (0, 255, 255, 0))] * 3, suffix=".jpg")
    pixel = load(tmp_path / "images", tmp_path / "cache").items[0, 8, 8].astype(int)
    assert pixel[0] > 200
    assert pixel[1:].max() < 60


def test_images_are_turned_as_their_tag_says(tmp_path: Path) -> None:
    pixels = np.zeros((8, 12), np.uint8)
    pixels[0, 0] = 255
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
    for label in ("a", "b"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for index in range(3):
            image.save(tmp_path / "images" / label / f"{index}.png", exif=exif)
    items = load(tmp_path / "images", tmp_path / "cache").items
    assert items.shape[1:] == (12, 8, 1)
    assert items[0, 0, 7, 0] == 255


def test_images_of_other_sizes_are_scaled_and_cropped(make_images: MakeImages, tmp_path: Path) -> None:
    root = make_images(size=(20, 30))
    assert load(root, tmp_path / "cache", override_image_size=10).items.shape[1:] == (10, 10, 3)
    assert load(root, tmp_path / "cache").items.shape[1:] == (30, 20, 3)


def test_what_is_no_image_is_left_alone(make_images: MakeImages, tmp_path: Path) -> None:
    root = make_images()
    before = load(root, tmp_path / "cache").fingerprint
    (root / "class0" / "notes.txt").write_text("x")
    (root / "class0" / ".hidden.png").write_text("x")
    (root / ".git").mkdir()
    (root / "README").write_text("x")
    assert load(root, tmp_path / "cache2").fingerprint == before


def test_a_class_hidden_by_a_dot_is_spoken_of_once(
    make_images: MakeImages, tmp_path: Path, lines: list[str]
) -> None:
    root = make_images()
    hidden = root / ".class2"
    shutil.copytree(root / "class1", hidden)
    config = DataConfig(dataset="custom", custom_train_dir=str(root))
    for _ in range(2):
        assert load_train_pool(config, tmp_path / "cache", lines.append).class_names == ("class0", "class1")
    assert [line for line in lines if "leaving out" in line] == [
        f"leaving out the images in {hidden}: its name begins with a dot"
    ]


def test_a_class_of_one_image_is_named(make_images: MakeImages, tmp_path: Path) -> None:
    for name, rest, says in (("a", 1, "class1 has 1 item beside test"), ("b", 3, "class1 has 3 items")):
        data = DataConfig(
            dataset="custom",
            custom_train_dir=str(make_images(name, per_class=(20, rest))),
            custom_test_dir=str(make_images(f"{name}-test")),
        )
        with pytest.raises(InputError, match=rf"{says}.*each class needs 4.*add data of that class"):
            prepare_latents(data, EncoderConfig(), tmp_path / "cache", print)


def test_the_fingerprint_is_that_of_the_content(make_images: MakeImages, tmp_path: Path) -> None:
    root = make_images()
    separate = {"custom_test_dir": str(make_images("test"))}
    before = load(root, tmp_path / "cache", **separate).fingerprint
    file = next(iter(sorted(root.glob("*/*.png"))))
    os.utime(file, (1, 1))  # another time, the same content
    assert load(root, tmp_path / "cache", **separate).fingerprint == before
    Image.new("RGB", (12, 12), "red").save(file)
    assert load(root, tmp_path / "cache", **separate).fingerprint != before


def refusal(root: Path, tmp_path: Path, **settings: object) -> str:
    with pytest.raises(InputError) as caught:
        load(root, tmp_path / "cache", **settings)
    assert not list((tmp_path / "cache").glob("images/*"))
    return str(caught.value)


def test_folders_that_cannot_be_used(make_images: MakeImages, tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nowhere", tmp_path)
    (tmp_path / "empty").mkdir()
    assert "has no class folders" in refusal(tmp_path / "empty", tmp_path)
    assert "has one class folder" in refusal(make_images("one", per_class=(5,)), tmp_path)
    root = make_images("bare")
    (root / "class2").mkdir()
    (root / "class2" / "notes.txt").write_text("x")
    assert "class2 has no images" in refusal(root, tmp_path)
    other = make_images("other", per_class=(2, 2, 2))
    assert "'class2' is in one of" in refusal(make_images("two"), tmp_path, custom_test_dir=str(other))


def test_a_link_to_nothing_is_named(make_images: MakeImages, tmp_path: Path) -> None:
    root = make_images()
    (root / "class0" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert "gone.png cannot be read" in refusal(root, tmp_path)


def test_names_in_any_encoding(make_images: MakeImages, tmp_path: Path) -> None:
    root = make_images()
    file = root / "class0" / "000.png"
    os.rename(file, os.fsencode(root / "class0") + b"/\xe4\xff.png")
    assert len(load(root, tmp_path / "cache").items) == 32


def test_images_that_cannot_be_used_are_named(make_images: MakeImages, tmp_path: Path) -> None:
    files = {
        "text": b"not an image",
        "empty": b"",
        "cut": (make_images("whole") / "class0" / "000.png").read_bytes()[:200],
    }
    separate = {"custom_test_dir": str(make_images("test"))}
    for name, content in files.items():
        root = make_images(name)
        (root / "class1" / "bad.png").write_bytes(content)
        message = refusal(root, tmp_path, **separate)
        assert "class1/bad.png cannot be decoded" in message
        assert "remove it or replace it" in message
        assert "0x" not in message  # no address of a buffer
    root = make_images("tiny")
    Image.new("RGB", (7, 9)).save(root / "class1" / "small.png")
    assert "small.png is 7 x 9 pixels" in refusal(root, tmp_path, **separate)
    message = refusal(make_images("huge", per_class=(2, 2), size=(2000, 8)), tmp_path, **separate)
    assert "000.png is 2000 pixels wide or high" in message
    assert "resized, with --override-image-size 64" in message


OPENED = """
import json, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from pathlib import Path
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.latents import prepare_latents
data = DataConfig(dataset="custom", custom_train_dir=sys.argv[1], custom_test_dir=sys.argv[2] or None)
encoder = EncoderConfig(ae_epochs=1)
prepare_latents(data, encoder, Path(sys.argv[3]), lambda line: None)
trained = [name for name in opened if name.endswith(".png")]
opened.clear()
prepare_latents(data, encoder, Path(sys.argv[3]), lambda line: None)
print(json.dumps([trained, [name for name in opened if name.endswith(".png")]]))
"""


def opened_images(root: Path, test_root: Path | None, cache: Path) -> list[list[str]]:
    """The images opened by a preparation that trains, and by one that finds everything in the cache."""
    done = subprocess.run(
        [sys.executable, "-c", OPENED, str(root), str(test_root or ""), str(cache)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize("separate", [False, True])
def test_no_test_image_is_opened_and_none_at_all_once_cached(
    make_images: MakeImages, tmp_path: Path, separate: bool
) -> None:
    root = make_images()
    test_root = make_images("test") if separate else None
    trained, cached = opened_images(root, test_root, tmp_path / "cache")
    assert len(set(trained)) == (40 if separate else 32)
    assert not any(str(tmp_path / "test") in name for name in trained)
    assert cached == []
    if not separate:
        pool = load(root, tmp_path / "cache", test=True)
        seen = {np.asarray(Image.open(name)).tobytes() for name in set(trained)}
        assert not seen & {item.tobytes() for item in pool.items}
