"""A distilled set: what every method and every control hands over to be scored."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from trainables.latent.probe import one_hot


@dataclass(frozen=True)
class DistilledSet:
    """A few labelled points in the standardised latent space.

    Attributes:
        x: (n, d) float32 latents.
        y: (n,) int64 class each point was made for.
        soft_labels: (n, C) float32 probabilities, or ``None`` where labels are one-hot.
        indices: (n,) int64 rows of the training latents where the points are real ones, else ``None``.
    """

    x: Tensor
    y: Tensor
    soft_labels: Tensor | None = None
    indices: Tensor | None = None

    def targets(self, classes: int) -> Tensor:
        """(n, C) float64 probabilities that a probe is trained on."""
        return one_hot(self.y, classes) if self.soft_labels is None else self.soft_labels.double()

    @property
    def size_bytes(self) -> int:
        """Bytes of latents and labels as stored."""
        labels = self.y if self.soft_labels is None else self.soft_labels
        return self.x.nbytes + labels.nbytes
