"""The one door to test data. Whoever opens it is written down first."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.errors import InputError
from trainables.latent.array_files import ArrayFile, write_array
from trainables.latent.cache import Report, content_key, get_or_build
from trainables.latent.codec import read_standardisation
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.datasets import load_test_pool, load_train_pool
from trainables.latent.encoding import standardised
from trainables.latent.feature_files import check_same_features
from trainables.latent.latents import LatentData, prepare_latents
from trainables.latent.minibatches import in_order, read_items, to_images
from trainables.latent.pool import Pool
from trainables.whole_files import NO_ROOM

_BATCH = 256


@dataclass(frozen=True)
class TestLatents:
    """Test data, encoded as the training data were.

    Attributes:
        x: (n, d) float32, standardised with the training part's statistics.
        y: (n,) int64.
        items: (n, H, W, C) uint8 images or (n, d) float32 features.
    """

    __test__ = False  # not a class of tests

    x: Tensor
    y: Tensor
    items: NDArray[Any]


def open_test_latents(
    data: DataConfig, encoder: EncoderConfig, cache: Path, report: Report, *, log: Path, reason: str
) -> TestLatents:
    """Encode the test items (once; then the cache has them), after writing the access down.

    Args:
        data, encoder, cache, report: as :func:`~trainables.latent.latents.prepare_latents`.
        log: a file that gets one JSON line an access, before anything is read; made where it is missing.
        reason: what the test data are read for.

    Raises:
        InputError: the log cannot be written, or the test data are missing or unusable.
        OSError: the log's disk is full.
    """
    latents = prepare_latents(data, encoder, cache, report)
    _write_down(log, data, latents, reason)
    cache = cache.absolute()
    pool = load_test_pool(data, cache, report)
    if data.dataset == "features":
        check_same_features(load_train_pool(data, cache, report), pool, data)

    def build(folder: Path) -> dict[str, Any]:
        write_array(folder / "y.npy", pool.labels)
        with ArrayFile(folder / "x.npy", (len(pool.items), latents.train_x.shape[1]), np.float32) as sink:
            for rows in in_order(np.arange(len(pool.items)), _BATCH):
                sink.append(_encoded(latents, pool, rows))
        return {}

    key = content_key({"latents": latents.key, "test": pool.fingerprint})
    entry = get_or_build(cache, "test", key, build, report, f"the test latents of {data.dataset}")
    x = torch.from_numpy(np.load(entry.path / "x.npy", mmap_mode="c"))
    return TestLatents(x, torch.from_numpy(np.load(entry.path / "y.npy")), pool.items)


def _encoded(latents: LatentData, pool: Pool, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    if latents.codec is None:
        assert latents.folder is not None  # prepare_latents gives one
        return standardised(pool.items[rows], *read_standardisation(latents.folder))
    with torch.inference_mode():
        images = to_images(read_items(pool, rows, torch.device("cpu")))
        return latents.codec.encode(images).numpy()


def _write_down(log: Path, data: DataConfig, latents: LatentData, reason: str) -> None:
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "reason": reason,
        "dataset": data.dataset,
        "data_fingerprint": latents.provenance["data_fingerprint"],
        "key": latents.key,
    }
    before = None
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as stream:
            before = stream.tell()
            stream.write(json.dumps(line) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        if before is not None:  # no half line stays
            os.truncate(log, before)
        if error.errno in NO_ROOM:
            error.filename = error.filename or str(log)
            raise
        raise InputError(
            f"the log of test accesses {log} cannot be written ({error.strerror})",
            "test data are read only after the access is written down",
            "make it writable",
        ) from error
