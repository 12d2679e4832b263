"""Latents with a known answer: Gaussian classes, and a decoder that forgets half of each latent."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.latent.latents import LatentData


class ForgetfulCodec:
    """Keeps the first half of a latent's dimensions and drops the rest: E(D(x)) is a projection."""

    def __init__(self, d: int) -> None:
        self.kept = d // 2
        self.d = d
        self.image_shape = (1, 1, self.kept)
        self.device = torch.device("cpu")

    def decode(self, x: Tensor) -> Tensor:
        return x[:, : self.kept].reshape(-1, *self.image_shape)

    def encode(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        return torch.cat([flat, flat.new_zeros(len(flat), self.d - self.kept)], dim=1)

    def roundtrip(self, x: Tensor) -> Tensor:
        return self.encode(self.decode(x))


def gaussian_latents(
    classes: int = 3,
    d: int = 8,
    per_class: int = 60,
    separation: float = 4.0,
    seed: int = 0,
    codec: bool = True,
) -> LatentData:
    """Standardised latents of equally likely Gaussian classes.

    The class means have length ``separation`` and lie in the first half of the dimensions, which the
    codec keeps; with 4 and three classes an optimal classifier is right about 99 times in 100.
    """
    randomness = torch.Generator().manual_seed(seed)
    means = torch.zeros(classes, d)
    means[torch.arange(classes), torch.arange(classes) % (d // 2)] = separation
    means -= means.mean(0)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        y = torch.arange(classes).repeat(n)
        return means[y] + torch.randn(len(y), d, generator=randomness), y

    train_x, train_y = draw(per_class)
    reward_x, reward_y = draw(40)
    selection_x, selection_y = draw(40)
    centre, spread = train_x.mean(0), train_x.std(0)
    return LatentData(
        key=f"gaussians-{seed}",
        train_x=(train_x - centre) / spread,
        train_y=train_y,
        reward_x=(reward_x - centre) / spread,
        reward_y=reward_y,
        selection_x=(selection_x - centre) / spread,
        selection_y=selection_y,
        class_names=tuple(f"class {c}" for c in range(classes)),
        codec=ForgetfulCodec(d) if codec else None,  # type: ignore[arg-type]
        provenance={},
        folder=None,
    )
