"""From a split pool to standardised latents on disk: trains the encoder on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.latent.array_files import ArrayFile
from trainables.latent.backbones import build_network, image_shape, start_from_weights
from trainables.latent.cache import Report
from trainables.latent.codec import write_network, write_standardisation
from trainables.latent.compute import Compute, choose_compute
from trainables.latent.config import EncoderConfig
from trainables.latent.encoder_training import head_accuracy, train_encoder
from trainables.latent.encoders import LatentNetwork
from trainables.latent.minibatches import in_order, read_items, to_images
from trainables.latent.pool import Pool
from trainables.latent.progress import Progress
from trainables.latent.splits import Indices

_BATCH = 256
_RAW, _FEATURES = "raw.npy", "features.npy"
Floats = NDArray[np.float32]
Batches = Callable[[Indices], Iterator[Floats]]
"""Raw latents of some rows, batch by batch: (k, d) each."""


def encode_parts(
    pool: Pool, parts: Mapping[str, Indices], config: EncoderConfig, folder: Path, report: Report
) -> dict[str, Any]:
    """Write ``<part>_x.npy``, (n, d) float32, for each part, and what a :class:`Codec` needs.

    Args:
        pool: images, or features for the identity backbone.
        parts: rows of each part; "train" is trained on and gives the statistics, "reward" measures the head.
        config: resolved.
        folder: where the files go.
        report: told of the progress.

    Returns:
        How the encoder was trained (empty for identity).

    Raises:
        InputError: the device is not there, weights do not fit, or training diverged.
    """
    if config.backbone == "identity":
        _write_standardised(lambda rows: _stored(pool, rows), parts, folder)
        return {}
    height, width = pool.items.shape[1:3]
    compute = choose_compute(config, height * width)
    network = build_network(config, image_shape(pool.items.shape[1:]), len(pool.class_names))
    start_from_weights(network, config)
    network.to(compute.device)
    with compute.with_threads():
        report(
            f"training the {config.backbone} encoder: {len(parts['train'])} images, "
            f"{config.ae_epochs} epochs, "
            f"{compute.device}, {str(compute.dtype).removeprefix('torch.')}, "
            f"{compute.threads} thread{'s' * (compute.threads != 1)}"
        )
        features = None
        if config.training == "frozen":
            features = _write_features(network, pool, parts["train"], compute, folder, report)
        metrics = train_encoder(network, config, pool, parts["train"], compute, report, features)
        (folder / _FEATURES).unlink(missing_ok=True)
        network.eval()
        network.fuse()
        metrics["head_accuracy"] = head_accuracy(network, pool, parts["reward"], compute.device)
        _write_standardised(lambda rows: encoded(network, pool, rows, compute.device), parts, folder)
    write_network(folder, network)
    return {
        **metrics,
        "device": str(compute.device),
        "dtype": str(compute.dtype).removeprefix("torch."),
        "threads": compute.threads,
    }


def encoded(network: LatentNetwork, pool: Pool, rows: Indices, device: torch.device) -> Iterator[Floats]:
    """Latents of images, not standardised, in float32 whatever the training's arithmetic was."""
    for batch in in_order(rows, _BATCH):
        with torch.inference_mode():
            latents = network.encode(to_images(read_items(pool, batch, device)))
        yield latents.float().cpu().numpy()


def _stored(pool: Pool, rows: Indices) -> Iterator[Floats]:
    for batch in in_order(rows, _BATCH):
        yield np.ascontiguousarray(pool.items[batch])


def _write_features(
    network: LatentNetwork, pool: Pool, rows: Indices, compute: Compute, folder: Path, report: Report
) -> Floats:
    """The frozen backbone's features of the training images, computed once: a memory map (n, f)."""
    network.eval()
    progress = Progress(len(rows))
    done, sink = 0, None
    for batch in in_order(rows, _BATCH):
        with torch.inference_mode(), compute.autocast():
            features = (
                network.features(to_images(read_items(pool, batch, compute.device))).float().cpu().numpy()
            )
        if sink is None:
            sink = ArrayFile(folder / _FEATURES, (len(rows), features.shape[1]), np.float32)
        sink.append(features)
        done += len(batch)
        if progress.due():
            report(f"features of the frozen backbone: {done} of {len(rows)}, {progress.left(done)}")
    assert sink is not None
    with sink:
        pass
    return np.load(folder / _FEATURES, mmap_mode="r")  # type: ignore[no-any-return]


def _write_standardised(batches: Batches, parts: Mapping[str, Indices], folder: Path) -> None:
    """Standardise with the training part's mean and deviation; batch by batch, so memory stays small."""
    raw = folder / _RAW
    _write_all(raw, batches(parts["train"]), len(parts["train"]))
    mapped = np.load(raw, mmap_mode="r")  # (n, d)
    slices = [slice(start, start + (1 << 14)) for start in range(0, len(mapped), 1 << 14)]
    mean = sum(mapped[rows].sum(0, dtype=np.float64) for rows in slices) / len(mapped)
    variance = sum(np.square(mapped[rows] - mean).sum(0) for rows in slices) / len(mapped)
    std = np.sqrt(variance)
    # A dimension that does not vary but for rounding says nothing, and must not be blown up.
    std[std <= 1e-6 * np.maximum(np.abs(mean), 1e-3)] = 1.0
    write_standardisation(folder, mean, std)
    _write_all(
        folder / "train_x.npy", (standardised(mapped[rows], mean, std) for rows in slices), len(mapped)
    )
    del mapped
    raw.unlink()
    for name, rows in parts.items():
        if name != "train":
            chunks = (standardised(batch, mean, std) for batch in batches(rows))
            _write_all(folder / f"{name}_x.npy", chunks, len(rows))


def standardised(batch: Floats, mean: NDArray[Any], std: NDArray[Any]) -> Floats:
    """(batch - mean) / std in float32, as :meth:`Codec.encode` does it."""
    return np.divide(batch - mean.astype(np.float32), std.astype(np.float32), dtype=np.float32)


def _write_all(path: Path, batches: Iterator[Floats], n: int) -> None:
    first = next(batches)
    with ArrayFile(path, (n, first.shape[1]), np.float32) as sink:
        sink.append(first)
        for batch in batches:
            sink.append(batch)
