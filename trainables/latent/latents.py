"""Standardised latents of a dataset: made once for a content key, shared by everybody.

The key covers the data's fingerprint, the recipe of the split, the encoder's settings and seed, and the
source code that turns them into latents. It leaves out the device, the arithmetic that "auto" chose
and the number of threads: they change the last digits only, and another machine should find what this
one trained. They are recorded in the provenance instead.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.errors import InputError
from trainables.latent.array_files import write_array
from trainables.latent.backbones import image_shape, resolve
from trainables.latent.cache import Entry, Report, content_key, get_or_build, open_entry
from trainables.latent.codec import Codec
from trainables.latent.compute import choose_compute
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.datasets import load_train_pool, pool_facts
from trainables.latent.encoding import encode_parts
from trainables.latent.splits import make_split
from trainables.whole_files import whole_file

KIND = "latents"
_SPLIT_FILE = "split.npz"
_CODE = [
    "array_files",
    "backbones",
    "compute",
    "conv_encoder",
    "custom_images",
    "datasets",
    "encoder_training",
    "encoders",
    "encoding",
    "feature_files",
    "image_decoding",
    "latents",
    "minibatches",
    "splits",
    "torchvision_encoders",
]


@dataclass(frozen=True)
class LatentData:
    """Everything a search may see. No test data in here.

    Attributes:
        key: the content key of the encoder and its latents.
        train_x, reward_x, selection_x: (n, d) float32, standardised with the training part's statistics,
            memory-mapped (writing to them changes a private copy).
        train_y, reward_y, selection_y: (n,) int64.
        class_names: one a class.
        codec: between latents and images; ``None`` for features.
        provenance: where all this comes from; JSON-serialisable.
        folder: the cache entry; it holds the split's indices too (see :func:`save_split`). ``None`` for
            latents that were made in memory.
    """

    key: str
    train_x: Tensor
    train_y: Tensor
    reward_x: Tensor
    reward_y: Tensor
    selection_x: Tensor
    selection_y: Tensor
    class_names: tuple[str, ...]
    codec: Codec | None
    provenance: dict[str, object]
    folder: Path | None


def prepare_latents(
    data: DataConfig,
    encoder: EncoderConfig,
    cache: Path,
    report: Report,
    codec_device: str | None = None,
) -> LatentData:
    """Open the latents of a dataset, training the encoder if nobody has.

    However many processes ask at the same time, one trains and the others wait. Opening what is there
    reads no images and imports neither torchvision nor scikit-learn nor Pillow.

    Args:
        data: which data, and their split.
        encoder: which encoder.
        cache: a local folder, made where it is missing.
        report: told of the progress.
        codec_device: where decoding and encoding compute, as ``EncoderConfig.device`` names it (default:
            where the encoder is trained).

    Raises:
        InputError: the data, the settings or the cache folder cannot be used; the message says why.
    """
    cache = cache.absolute()
    key, resolved = _key(data, encoder, cache, report)

    def build(folder: Path) -> dict[str, Any]:
        return _build(data, resolved, cache, folder, report)

    entry = get_or_build(
        cache, KIND, key, build, report, f"the {resolved.backbone} encoder of {data.dataset}"
    )
    latents = _opened(entry, key)
    if latents.codec is not None:  # on the device that was asked for now, not where it was trained
        height, width = latents.codec.image_shape[1:]
        wanted = dataclasses.replace(encoder, device=codec_device or encoder.device)
        latents.codec.to(choose_compute(wanted, height * width).device)
    return latents


def open_latents(key: str, cache: Path) -> LatentData | None:
    """What the cache holds under a key of :func:`cached_key` or an earlier run; ``None`` if nothing."""
    entry = open_entry(cache.absolute(), KIND, key)
    return None if entry is None else _opened(entry, key)


def cached_key(data: DataConfig, encoder: EncoderConfig, cache: Path, report: Report) -> str:
    """The content key, without training. Custom images and features are read if they never were.

    Raises:
        InputError: as :func:`prepare_latents`.
    """
    return _key(data, encoder, cache.absolute(), report)[0]


def save_split(data: LatentData, path: Path) -> None:
    """Write the split as an .npz file: ``train``, ``reward``, ``selection``, (n,) int64, and ``digest``.

    The indices count the items that may be trained on, in the order of the data set (images in folders
    sorted by class and name), test items left out. ``digest`` is the hash that stands in the summaries.

    Args:
        data: latents with a cache folder.
        path: where the file appears, whole or not at all.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    assert data.folder is not None  # latents made in memory were never split
    with np.load(data.folder / _SPLIT_FILE) as split, whole_file(path) as stream:
        np.savez(stream, **split, digest=np.array(data.provenance["split_digest"]))


def _key(data: DataConfig, encoder: EncoderConfig, cache: Path, report: Report) -> tuple[str, EncoderConfig]:
    facts = pool_facts(data, cache, report)
    resolved = resolve(encoder, data, facts)
    settings = dataclasses.asdict(resolved)
    for machine in ("device", "encoder_threads"):
        del settings[machine]
    if resolved.weights not in ("none", "default"):
        settings["weights"] = _file_digest(Path(resolved.weights), cache, report)
    parts = {
        "data": facts.fingerprint,
        "split": [data.split_seed, data.val_fraction],
        "encoder": settings,
        "code": code_version(),
    }
    return content_key(parts), resolved


@functools.cache
def code_version() -> str:
    """A digest of the source files that decide what the latents are."""
    folder = Path(__file__).parent
    digest = hashlib.sha256((folder.parent / "seeds.py").read_bytes())
    for name in _CODE:
        digest.update((folder / f"{name}.py").read_bytes())
    return digest.hexdigest()


def _file_digest(path: Path, cache: Path, report: Report) -> str:
    """The digest of a weights file, kept in the cache by size and time: the file may be large."""
    if not path.is_file():
        raise InputError(
            f"--weights is '{path}'", "is neither 'none', 'default' nor a file", "check the path"
        )
    status = path.stat()
    key = content_key({"path": str(path.absolute()), "stamp": [status.st_size, status.st_mtime_ns]})

    def build(folder: Path) -> dict[str, Any]:
        with path.open("rb") as stream:
            return {"sha256": hashlib.file_digest(stream, "sha256").hexdigest()}

    return str(get_or_build(cache, "weights", key, build, report, str(path)).meta["sha256"])


def _build(
    data: DataConfig, encoder: EncoderConfig, cache: Path, folder: Path, report: Report
) -> dict[str, Any]:
    start = time.monotonic()
    pool = load_train_pool(data, cache, report)
    split = make_split(pool.labels, data, pool.class_names)
    parts = {"train": split.train, "reward": split.reward, "selection": split.selection}
    for name, rows in parts.items():
        write_array(folder / f"{name}_y.npy", pool.labels[rows])
    np.savez(folder / _SPLIT_FILE, train=split.train, reward=split.reward, selection=split.selection)
    metrics = encode_parts(pool, parts, encoder, folder, report)
    return {
        "class_names": list(pool.class_names),
        "item_shape": list(pool.items.shape[1:]),
        "encoder": dataclasses.asdict(encoder),
        "data": dataclasses.asdict(data),
        "data_fingerprint": pool.fingerprint,
        "split_digest": split.digest,
        "split_sizes": {name: len(rows) for name, rows in parts.items()},
        "code_version": code_version(),
        "training": metrics,
        "prepared_in_s": time.monotonic() - start,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }


def _opened(entry: Entry, key: str) -> LatentData:
    meta, folder = entry.meta, entry.path
    encoder = EncoderConfig(**meta["encoder"])
    class_names = tuple(meta["class_names"])
    codec = None
    if encoder.backbone != "identity":
        codec = Codec(folder, encoder, image_shape(tuple(meta["item_shape"])), len(class_names))
    return LatentData(
        key=key,
        train_x=_mapped(folder / "train_x.npy"),
        train_y=_mapped(folder / "train_y.npy"),
        reward_x=_mapped(folder / "reward_x.npy"),
        reward_y=_mapped(folder / "reward_y.npy"),
        selection_x=_mapped(folder / "selection_x.npy"),
        selection_y=_mapped(folder / "selection_y.npy"),
        class_names=class_names,
        codec=codec,
        provenance={**meta, "split_file": str(folder / _SPLIT_FILE)},
        folder=folder,
    )


def _mapped(path: Path) -> Tensor:
    # Copy-on-write: torch has no read-only tensors, and the file must stay as it is.
    return torch.from_numpy(np.load(path, mmap_mode="c"))
