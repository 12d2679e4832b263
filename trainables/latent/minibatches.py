"""Minibatches of images, streamed from disk and augmented where the network is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from trainables.latent.pool import Pool
from trainables.latent.splits import Indices

SHIFT_SHARE = 8
"""Images shift by up to this part of their side: 4 pixels of 32, 1 of 8."""


def to_images(batch: Tensor) -> Tensor:
    """(n, H, W, C) uint8 -> (n, C, H, W) float32 in [0, 1], channels last in memory."""
    return batch.permute(0, 3, 1, 2).float() / 255  # (n, C, H, W)


def read_items(pool: Pool, rows: Indices, device: torch.device) -> Tensor:
    """The items of some rows, copied from the pool to the device: (n, ...)."""
    return torch.from_numpy(np.ascontiguousarray(pool.items[rows])).to(device, non_blocking=True)


def in_order(rows: Indices, batch_size: int) -> Iterator[Indices]:
    """Consecutive chunks of ``rows``."""
    for start in range(0, len(rows), batch_size):
        yield rows[start : start + batch_size]


def shuffled(rows: Indices, batch_size: int, rng: torch.Generator) -> Iterator[Indices]:
    """Random batches of equal size; those left over sit this pass out."""
    order = torch.randperm(len(rows), generator=rng).numpy()
    size = min(batch_size, len(rows))
    for start in range(0, len(rows) - size + 1, size):
        # Sorted within the batch: reads from a memory map go forwards, and a step does not care.
        yield rows[np.sort(order[start : start + size])]


def augment(batch: Tensor, kind: str, rng: torch.Generator) -> Tensor:
    """Random shifts (mirrored at the border) and flips, one draw an image.

    Args:
        batch: (n, H, W, C) uint8.
        kind: "none", "shift" or "shift-flip".
        rng: a CPU generator, whatever the device.
    """
    if kind == "none":
        return batch
    n, height, width, _ = batch.shape
    rows = _shifted(height, n, rng).to(batch.device)  # (n, H)
    columns = _shifted(width, n, rng).to(batch.device)  # (n, W)
    if kind == "shift-flip":
        flips = (torch.rand(n, 1, generator=rng) < 0.5).to(batch.device)
        columns = torch.where(flips, columns.flip(1), columns)
    items = torch.arange(n, device=batch.device)[:, None, None]
    return batch[items, rows[:, :, None], columns[:, None, :]]  # (n, H, W, C)


def _shifted(side: int, n: int, rng: torch.Generator) -> Tensor:
    """Source positions (n, side) of a shift by up to a part of the side, mirrored at both ends."""
    reach = max(1, side // SHIFT_SHARE)
    positions = torch.arange(side) + torch.randint(-reach, reach + 1, (n, 1), generator=rng)
    positions = positions.abs()
    return torch.where(positions >= side, 2 * side - 2 - positions, positions)
