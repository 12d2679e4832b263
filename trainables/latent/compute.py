"""Where an encoder is trained, and in which arithmetic."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from trainables.errors import InputError
from trainables.latent.config import EncoderConfig
from trainables.precision import fast_dtype

SMALL_IMAGE_PIXELS = 256
MAX_THREADS = 8
LEAST_SHARE = 16
"""Images of a batch that a GPU gets at least: fewer cost more to hand out, and batch norm needs several."""


@dataclass(frozen=True)
class Compute:
    """A device with its arithmetic.

    Attributes:
        device: where tensors live.
        dtype: of convolutions and matrix products in training (parameters stay float32).
        threads: CPU threads.
        gpus: how many GPUs may share a batch; see :func:`sharing_gpus`.
    """

    device: torch.device
    dtype: torch.dtype
    threads: int
    gpus: int

    def autocast(self) -> torch.autocast:
        """The arithmetic of a training step."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    @contextlib.contextmanager
    def with_threads(self) -> Iterator[None]:
        """Use :attr:`threads` CPU threads inside, and as many as before outside."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def choose_compute(config: EncoderConfig, image_pixels: int) -> Compute:
    """Resolve ``device``, ``precision`` and ``encoder_threads``.

    ``auto`` takes a GPU where there is one, and bfloat16 where the processor computes in it: half the
    time for the same accuracy. ``auto`` and ``cuda`` share each batch among all GPUs; ``cuda:N`` takes one.
    Small images get one CPU thread: more of them would spend their time waiting for each other. So do all
    images where threads spin while they wait (torch was imported before this package): on a busy machine
    that is many times slower than one thread.

    Raises:
        InputError: a device that is unknown or that this machine lacks.
    """
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(
            f"--device is '{name}'", "is not known", "choose auto, cpu, cuda or cuda:N"
        ) from error
    if device.type not in ("cpu", "cuda"):
        raise InputError(
            f"--device is '{name}'", "only CPUs and CUDA are served", "choose auto, cpu, cuda or cuda:N"
        )
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise InputError(
            f"--device is '{name}'", f"this machine has {gpus} usable GPUs", "choose auto or cpu"
        )
    passive = os.environ.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE"
    several = passive and image_pixels >= SMALL_IMAGE_PIXELS
    threads = config.encoder_threads or (min(MAX_THREADS, os.cpu_count() or 1) if several else 1)
    return Compute(device, _dtype(config.precision, device), threads, gpus if name == "cuda" else 1)


def sharing_gpus(batch_size: int, gpus: int) -> int:
    """Among how many of the GPUs a batch is shared, so that each gets at least :data:`LEAST_SHARE` images.

    ``torch`` hands out equal shares, rounded up, and the last GPU gets what is left.
    """
    for count in range(gpus, 1, -1):
        share = math.ceil(batch_size / count)
        if batch_size - (count - 1) * share >= LEAST_SHARE:
            return count
    return 1


def trial_device(device: str, gpu_share: float) -> str:
    """The device of a sweep's trial, from ``--device`` and the GPUs that Ray gave it.

    A trial without a share sees the machine's GPUs all the same, but they are not its own: ``auto`` is the
    CPU there. A trial with a share sees its own GPUs alone, numbered from 0: ``cuda:1`` is the first of them.
    """
    if device == "auto" and gpu_share == 0:
        return "cpu"
    return "cuda" if device.startswith("cuda:") and gpu_share > 0 else device


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision != "auto":
        return getattr(torch, precision)  # type: ignore[no-any-return]
    return fast_dtype(device)
