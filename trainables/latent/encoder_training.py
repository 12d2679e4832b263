"""Training of an encoder, its decoder and its head together.

The loss of a batch is

    CE(head(z), y) + reconstruction_weight * |D(z) - x|^2 / Var(x) + cycle_weight * |E(D(u)) - u|^2 / d

with z = E(x). The cycle term is what makes a latent survive decoding and encoding again; its u are
latents of images and the same with noise added, because learned prototypes lie where no image does. The
encoder's parameters get no gradient through its second pass: it would satisfy the term by forgetting.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.errors import InputError
from trainables.latent.cache import Report
from trainables.latent.compute import Compute, sharing_gpus
from trainables.latent.config import EncoderConfig
from trainables.latent.encoders import PROBE_EVERY, LatentNetwork, TrainingOutputs
from trainables.latent.minibatches import augment, in_order, read_items, shuffled, to_images
from trainables.latent.pool import Pool
from trainables.latent.progress import Progress
from trainables.latent.splits import Indices
from trainables.seeds import generator

WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1
WARM_UP = 0.25
CYCLE_START = 0.2
"""Share of the training after which the cycle term sets in: before, latents still move too fast."""
_ENCODING_BATCH = 256


def train_encoder(
    network: LatentNetwork,
    config: EncoderConfig,
    pool: Pool,
    rows: Indices,
    compute: Compute,
    report: Report,
    features: np.ndarray[Any, Any] | None = None,
) -> dict[str, Any]:
    """Train ``network`` in place.

    Args:
        network: on ``compute.device``.
        config: resolved, so without ``None`` or "auto" in what matters to training.
        pool: images.
        rows: (n,) those to train on.
        compute: device and arithmetic.
        report: told loss, accuracy and time left.
        features: (n, f) float32 of a frozen backbone, one for each of ``rows``; then only what comes after
            the backbone is trained, without augmentation and without the cycle term.

    Returns:
        Metrics of the training: epochs, last epoch's loss and its parts, seconds of CPU.

    Raises:
        InputError: the loss did not stay finite.
    """
    assert config.ae_epochs is not None
    cpu_start, wall_start = time.process_time(), time.monotonic()
    steps = max(1, len(rows) // config.ae_batch_size)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=config.ae_lr, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.ae_lr, total_steps=config.ae_epochs * steps, pct_start=WARM_UP
    )
    forward: nn.Module = TrainingForward(network, compute)
    gpus = sharing_gpus(min(config.ae_batch_size, len(rows)), compute.gpus)
    if gpus > 1:
        forward = nn.DataParallel(forward, list(range(gpus)))
    step_loss = _StepLoss(network, forward, config, pool, compute, _pixel_variance(pool, rows))
    rng = generator(config.encoder_seed, "encoder training")
    positions = np.arange(len(rows))
    progress = Progress(config.ae_epochs * steps)
    done, parts = 0, torch.zeros(4)
    network.train()
    for epoch in range(1, config.ae_epochs + 1):
        parts, in_epoch = torch.zeros(4, device=compute.device), 0
        for batch in shuffled(positions, config.ae_batch_size, rng):
            inputs = None if features is None else torch.from_numpy(features[batch]).to(compute.device)
            cycle = features is None and config.cycle_weight > 0 and done >= CYCLE_START * progress.total
            loss, batch_parts = step_loss(rows[batch], rng, cycle, inputs)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            parts += batch_parts
            done, in_epoch = done + 1, in_epoch + 1
            if progress.due():
                _refuse_divergence(parts, epoch, config)
                report(_line(config, parts / in_epoch, done / steps, progress.left(done)))
        _refuse_divergence(parts, epoch, config)
    mean = (parts / steps).tolist()
    cpu_s, wall_s = time.process_time() - cpu_start, time.monotonic() - wall_start
    report(
        _line(config, parts / steps, float(config.ae_epochs), f"took {wall_s:.0f} s, {cpu_s:.0f} s of CPU")
    )
    names = ("cross_entropy", "reconstruction", "cycle", "train_accuracy")
    return {
        "epochs": config.ae_epochs,
        **dict(zip(names, mean, strict=True)),
        "cpu_s": cpu_s,
        "wall_s": wall_s,
    }


def _refuse_divergence(parts: Tensor, epoch: int, config: EncoderConfig) -> None:
    if not torch.isfinite(parts).all():
        raise InputError(
            f"the encoder's loss stopped being a number in epoch {epoch} with --ae-lr {config.ae_lr}",
            "training must stay finite",
            "lower --ae-lr",
        )


class TrainingForward(nn.Module):
    """The network in the training's arithmetic, set in here: threads that serve further GPUs know no other
    than float16."""

    def __init__(self, network: LatentNetwork, compute: Compute) -> None:
        super().__init__()
        self.network, self.compute = network, compute

    def forward(self, *inputs: Tensor | None) -> TrainingOutputs:
        with self.compute.autocast():
            return self.network(*inputs)  # type: ignore[no-any-return]


class _StepLoss:
    """The loss of one batch, and what it is made of."""

    def __init__(
        self,
        network: LatentNetwork,
        forward: nn.Module,
        config: EncoderConfig,
        pool: Pool,
        compute: Compute,
        pixel_variance: float,
    ) -> None:
        self.network, self.forward, self.compute = network, forward, compute
        self.config, self.pool = config, pool
        self.pixel_variance = pixel_variance

    def __call__(
        self, rows: Indices, rng: torch.Generator, cycle: bool, features: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        device = self.compute.device
        labels = torch.from_numpy(self.pool.labels[rows]).to(device)
        kind = "none" if features is not None else self.config.augment
        images = to_images(augment(read_items(self.pool, rows, device), kind, rng))  # (B, C, H, W)
        noise = _noise(len(rows), self.network.latent_dim, rng).to(device) if cycle else None
        outputs: TrainingOutputs = self.forward(images, noise, features)
        cross_entropy = F.cross_entropy(outputs.logits.float(), labels, label_smoothing=LABEL_SMOOTHING)
        reconstruction = F.mse_loss(outputs.reconstructions, images) / self.pixel_variance
        error = self._cycle_error(outputs) if cycle else torch.zeros((), device=device)
        loss = (
            cross_entropy
            + self.config.reconstruction_weight * reconstruction
            + self.config.cycle_weight * error
        )
        accuracy = (outputs.logits.argmax(1) == labels).float().mean()
        return loss, torch.stack([cross_entropy, reconstruction, error, accuracy]).detach()

    def _cycle_error(self, outputs: TrainingOutputs) -> Tensor:
        targets = torch.cat([outputs.latents[::PROBE_EVERY], outputs.probes]).detach()
        decoded = torch.cat([outputs.reconstructions[::PROBE_EVERY], outputs.probe_images])
        with _still(self.network), self.compute.autocast():
            again = self.network.encode(decoded)
        return F.mse_loss(again.float(), targets)


def _noise(n: int, latent_dim: int, rng: torch.Generator) -> Tensor:
    """(n, latent_dim), of every size up to the latents' own: prototypes lie at all distances from images."""
    return torch.randn(n, latent_dim, generator=rng) * torch.rand(n, 1, generator=rng)


@contextlib.contextmanager
def _still(network: LatentNetwork) -> Iterator[None]:
    """The encoder as it would be used: statistics as learned so far, and no gradient to its parameters."""
    parameters = [parameter for parameter in network.encoder_parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    network.eval()
    try:
        yield
    finally:
        network.train()
        for parameter in parameters:
            parameter.requires_grad_(True)


@torch.inference_mode()
def head_accuracy(network: LatentNetwork, pool: Pool, rows: Indices, device: torch.device) -> float:
    """Share of ``rows`` that the head classifies correctly."""
    network.eval()
    right = 0
    for batch in in_order(rows, _ENCODING_BATCH):
        logits = network.head(network.encode(to_images(read_items(pool, batch, device))))
        right += int((logits.argmax(1).cpu() == torch.from_numpy(pool.labels[batch])).sum())
    return right / len(rows)


def _pixel_variance(pool: Pool, rows: Indices) -> float:
    """Of a sample, so that a reconstruction error of 1 means "no better than the mean"."""
    sample = pool.items[rows[:: max(1, len(rows) // 2000)]].astype(np.float32) / 255
    return max(float(sample.var()), 1e-4)


def _line(config: EncoderConfig, parts: Tensor, epoch: float, time_left: str) -> str:
    cross_entropy, reconstruction, cycle, accuracy = parts.tolist()
    loss = cross_entropy + config.reconstruction_weight * reconstruction + config.cycle_weight * cycle
    return (
        f"encoder {config.backbone}: epoch {epoch:.1f}/{config.ae_epochs}, loss {loss:.3f}, "
        f"accuracy {accuracy:.3f}, {time_left}"
    )
