"""The trained encoder and decoder of a run, between images and standardised latents."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainables.latent.array_files import write_array
from trainables.latent.backbones import build_network
from trainables.latent.config import EncoderConfig
from trainables.latent.encoders import LatentNetwork, Shape

_WEIGHTS, _MEAN, _STD = "encoder.pt", "mean.npy", "std.npy"


class Codec:
    """Image to standardised latent and back, differentiable, its parameters frozen.

    The network is read from the cache at the first use: most runs never need it. It computes on the device
    it was moved to, and hands its results back on the one where the input lies: prototypes are few and
    stay on the CPU, where their small solves are fastest, while large backbones need a GPU, and the many
    episodes of rl_shaping are many times faster there.

    Args:
        folder: the cache entry that :func:`write_network` and :func:`write_standardisation` filled.
        config: resolved, of the encoder.
        shape: (C, H, W) of the images.
        n_classes: outputs of the classifier head.

    Attributes:
        image_shape: (C, H, W).
    """

    def __init__(self, folder: Path, config: EncoderConfig, shape: Shape, n_classes: int) -> None:
        self.image_shape = shape
        self._folder, self._config, self._n_classes = folder, config, n_classes
        self._device = torch.device("cpu")
        self._loaded: tuple[LatentNetwork, Tensor, Tensor] | None = None

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._device

    def to(self, device: torch.device | str) -> Codec:
        """Move to a device; returns itself."""
        self._device = torch.device(device)
        if self._loaded is not None:
            network, mean, std = self._loaded
            self._loaded = (network.to(self._device), mean.to(self._device), std.to(self._device))
        return self

    def encode(self, images: Tensor) -> Tensor:
        """(n, C, H, W) float in [0, 1] -> (n, d) standardised latents."""
        return self._encode(images.to(self._device)).to(images.device)

    def decode(self, latents: Tensor) -> Tensor:
        """(n, d) standardised latents -> (n, C, H, W) in [0, 1]."""
        return self._decode(latents.to(self._device)).to(latents.device)

    def roundtrip(self, latents: Tensor) -> Tensor:
        """(n, d) standardised latents, decoded and encoded again without leaving the device; (n, d)."""
        return self._encode(self._decode(latents.to(self._device))).to(latents.device)

    def _encode(self, images: Tensor) -> Tensor:
        network, mean, std = self._parts()
        return (network.encode(images) - mean) / std

    def _decode(self, latents: Tensor) -> Tensor:
        network, mean, std = self._parts()
        images: Tensor = network.decoder(latents * std + mean)
        return images

    def _parts(self) -> tuple[LatentNetwork, Tensor, Tensor]:
        if self._loaded is None:
            network = build_network(self._config, self.image_shape, self._n_classes)
            network.eval()
            network.fuse()
            state = torch.load(self._folder / _WEIGHTS, map_location="cpu", weights_only=True)
            network.load_state_dict(state)
            network.requires_grad_(False)
            mean, std = read_standardisation(self._folder)
            self._loaded = (
                network.to(self._device),
                torch.from_numpy(mean).to(self._device),
                torch.from_numpy(std).to(self._device),
            )
        return self._loaded


def write_network(folder: Path, network: LatentNetwork) -> None:
    """Keep a trained and fused network in a cache entry."""
    buffer = io.BytesIO()  # torch's own file writer does not say that a disk is full
    torch.save({name: value.cpu() for name, value in network.state_dict().items()}, buffer)
    (folder / _WEIGHTS).write_bytes(buffer.getbuffer())


def write_standardisation(folder: Path, mean: np.ndarray, std: np.ndarray) -> None:
    """Keep the training latents' statistics, (d,) each, in a cache entry."""
    write_array(folder / _MEAN, mean.astype(np.float32))
    write_array(folder / _STD, std.astype(np.float32))


def read_standardisation(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation, (d,) float32 each."""
    return np.load(folder / _MEAN), np.load(folder / _STD)
