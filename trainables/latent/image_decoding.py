"""Image files to one array file of equal images, many at a time."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from trainables.errors import InputError
from trainables.latent.array_files import ArrayFile
from trainables.latent.cache import Report
from trainables.latent.progress import Progress

MIN_SIDE, MAX_SIDE = 8, 1024
_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
_CHUNK_FILES = 64


class _ColourFound(Exception):
    """A colour image among images that were taken for grey."""


def decode_images(
    root: Path,
    names: Sequence[str],
    target: Path,
    *,
    size: int | None,
    shape: tuple[int, ...] | None,
    report: Report,
) -> str:
    """Decode image files into one .npy file of shape (n, H, W, C), uint8.

    An image is turned as its EXIF tag says, scaled and centre-cropped to the common size. Transparency
    lies on white. C is 1 where every image is grey, otherwise 3.

    Args:
        root, names: the files, ``root / name``.
        target: the file to write.
        size: pixels a side; ``None`` takes the first image's size.
        shape: (H, W, C) to convert to, whatever the images are (a test part follows its training part).
        report: told of the progress.

    Returns:
        A digest over names, file contents and the shape.

    Raises:
        InputError: naming a corrupt, too small or oversized image, or a disk without room.
    """
    with _open_image(root / names[0]) as first:
        if shape is None:
            rows, columns = (size, size) if size is not None else (first.height, first.width)
            shapes = [
                (rows, columns, channels) for channels in ((1, 3) if first.mode in _GREY_MODES else (3,))
            ]
        else:
            shapes = [(shape[0], shape[1], shape[2])]
    _check_side(max(shapes[0][:2]), root / names[0])
    for candidate in shapes:
        try:
            return _decode_as(root, names, target, candidate, shape is not None, report)
        except _ColourFound:
            continue  # grey was a guess from the first image; colour takes every image
    raise AssertionError("colour takes every image")


def _decode_as(
    root: Path,
    names: Sequence[str],
    target: Path,
    shape: tuple[int, int, int],
    force: bool,
    report: Report,
) -> str:
    needed, free = len(names) * int(np.prod(shape)), shutil.disk_usage(target.parent).free
    if needed > free:
        raise InputError(
            f"the decoded images of {root} take {needed / 1e9:.1f} GB",
            f"the disk of the cache folder has {free / 1e9:.1f} GB left",
            "make room, choose another folder with --cache DIR or smaller images with --override-image-size",
        )
    digest = hashlib.sha256(repr(shape).encode())
    progress = Progress(len(names))

    def decode(name: str) -> tuple[bytes, NDArray[np.uint8]]:
        return _decode_one(root / name, shape, force)

    with (
        ArrayFile(target, (len(names), *shape), np.uint8) as stream,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
    ):
        for start in range(0, len(names), _CHUNK_FILES):
            chunk = names[start : start + _CHUNK_FILES]
            for name, (content, pixels) in zip(chunk, pool.map(decode, chunk), strict=True):
                digest.update(os.fsencode(name) + b"\0" + content)
                stream.append(pixels)
            if progress.due():
                done = start + len(chunk)
                report(f"decoding images: {done} of {len(names)}, {progress.left(done)}")
    return digest.hexdigest()


def _decode_one(file: Path, shape: tuple[int, int, int], force: bool) -> tuple[bytes, NDArray[np.uint8]]:
    """Digest of the file's content, and its pixels."""
    rows, columns, channels = shape
    with _open_image(file) as image:
        if channels == 1 and not force and image.mode not in _GREY_MODES:
            raise _ColourFound
        converted = ImageOps.fit(
            _eight_bits(image).convert("L" if channels == 1 else "RGB"),
            (columns, rows),
            Image.Resampling.BICUBIC,
        )
        content = image.info["content_digest"]
    return content, np.asarray(converted, dtype=np.uint8)


def _open_image(file: Path) -> Image.Image:
    """The decoded, upright image; the digest of the file is in its ``info``."""
    try:
        content = file.read_bytes()
        opened = Image.open(io.BytesIO(content))
        opened.load()
        image: Image.Image = ImageOps.exif_transpose(opened)
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:  # Pillow's
        # Pillow names what it was given, and that was a buffer.
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "its content is that of no image format" if unknown else error
        raise InputError(
            f"the image {file} cannot be decoded ({reason})",
            "every image must be readable",
            "remove it or replace it",
        ) from error
    if min(image.size) < MIN_SIDE:
        raise InputError(
            f"the image {file} is {image.width} x {image.height} pixels",
            f"images must have at least {MIN_SIDE} pixels a side",
            "remove it or replace it",
        )
    image.info["content_digest"] = hashlib.sha256(content).digest()
    return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """An image of 8 bits a channel without transparency."""
    if image.mode.startswith("I"):
        levels: NDArray[Any] = np.asarray(image).astype(np.float64)
        return Image.fromarray((levels.clip(0, 65535) / 257).round().astype(np.uint8))
    if image.mode == "F":
        return Image.fromarray((np.asarray(image).clip(0, 1) * 255).round().astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image


def _check_side(side: int, file: Path) -> None:
    if side > MAX_SIDE:
        raise InputError(
            f"the first image {file} is {side} pixels wide or high, and sets the size of all",
            f"images are distilled at {MAX_SIDE} pixels a side at most",
            "let all be resized, with --override-image-size 64 for example",
        )
