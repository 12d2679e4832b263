"""Loss terms whose weights are scheduled, but for the probe's: for E sets of prototypes at once.

All are means over points and per latent dimension, so that one weight means the same at any number of them.
Gradients are written out: hundreds of steps of dozens of sets wait for them, and automatic differentiation
goes through memory three times as often. A test holds them against it.

- ``matching``: class means of the prototypes against those of real latents (Zhao & Bilen, "Dataset
  condensation with distribution matching", WACV 2023, equation 5, in the latent space).
- ``diversity``: how close the prototypes of a class are to each other (a Gaussian kernel's mean).
- ``margin``: cross-entropy that the full-data probe has on the prototypes, as a teacher.
- ``realism``: squared Mahalanobis distance to the class mean, with the covariance within classes of real
  latents: the decoder shows what it has seen where real latents lie.
- ``cycle``: ``|E(D(x)) - x|^2``, the codec linearised at each point of the start.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainables.latent.codec import Codec
from trainables.latent.initialisation import class_rows
from trainables.latent.latents import LatentData
from trainables.latent.probe import LinearClassifier, one_hot

# Added to the covariance's diagonal, relative to its mean: latents may have directions without variance.
_RIDGE = 1e-3
_BATCH = 128


class LossTerms:
    """The terms of E sets (E, C * m, d), classes in order, as tensors (E,).

    Args:
        start: (C * m, d) float32 points that all sets start from.
        data: real latents.
        teacher: the full-data probe.
    """

    def __init__(self, start: Tensor, data: LatentData, teacher: LinearClassifier) -> None:
        classes = len(data.class_names)
        self._teacher = teacher.weights.float()
        rows = class_rows(data.train_y, classes, 1)
        self._means = torch.stack([data.train_x[r].mean(0) for r in rows])  # (C, d)
        within = data.train_x - self._means[data.train_y]
        covariance = (within.T @ within / len(within)).double()
        covariance.diagonal().add_(_RIDGE * covariance.diagonal().mean())
        self._precision = torch.linalg.inv(covariance).float()  # (d, d)
        self._start = start
        labels = torch.arange(classes, device=start.device).repeat_interleave(len(start) // classes)
        self._targets = one_hot(labels, classes).float()
        self._around: Tensor | None = None
        self._changes: Tensor | None = None
        if data.codec is not None:
            self._around, self._changes = cycle_around(start, data.codec)

    @property
    def names(self) -> tuple[str, ...]:
        """In the order in which they are computed."""
        return (
            "matching",
            "diversity",
            "margin",
            "realism",
            *(["cycle"] if self._around is not None else []),
        )

    def values(self, x: Tensor) -> list[Tensor]:
        """(E, C * m, d) -> a (E,) for each term."""
        by_class, off_mean = self._by_class(x)
        m, d = by_class.shape[2:]
        logits = x @ self._teacher[:-1] + self._teacher[-1]  # (E, C * m, C)
        own = (logits * self._targets).sum(2)
        pairs = max(m * (m - 1), 1)
        found = [
            off_mean.mean(2).square().mean((1, 2)),
            # A point is at distance 0 to itself.
            (_nearness(by_class).sum((2, 3)) - m).mean(1) / pairs,
            (logits.logsumexp(2) - own).mean(1),
            ((off_mean @ self._precision) * off_mean).sum(3).mean((1, 2)) / d,
        ]
        if self._around is not None:
            found.append(self._cycle_error(x).square().mean((0, 2)))
        return found

    def gradients(self, x: Tensor) -> Iterator[Tensor]:
        """The gradient (E, C * m, d) of each term in turn; some are broadcast views."""
        by_class, off_mean = self._by_class(x)
        m, d = by_class.shape[2:]
        share = 2 / (x.shape[1] * d)
        yield (share * off_mean.mean(2, keepdim=True)).expand_as(by_class).reshape(x.shape)
        near = _nearness(by_class)
        # Each pair counts twice, in its row and in its column.
        apart = near @ by_class - near.sum(3, keepdim=True) * by_class
        yield (apart * (share / max(m - 1, 1))).view_as(x)
        residual = (x @ self._teacher[:-1] + self._teacher[-1]).softmax(2) - self._targets
        yield residual @ (self._teacher[:-1].T / x.shape[1])
        yield (off_mean @ (share * self._precision)).view_as(x)
        if self._changes is not None:
            # (C * m, E, d): a product for each point, of all sets together
            yield ((share * self._cycle_error(x)) @ self._changes.mT).transpose(0, 1)

    def _by_class(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Points (E, C, m, d), and what they are off the real latents' class means."""
        by_class = x.view(len(x), len(self._means), -1, x.shape[2])
        return by_class, by_class - self._means[:, None]

    def _cycle_error(self, x: Tensor) -> Tensor:
        """Linearised ``E(D(x)) - x``, (C * m, E, d)."""
        assert self._around is not None and self._changes is not None
        moved = (x - self._start).transpose(0, 1)
        return torch.baddbmm(self._around[:, None], moved, self._changes)


def _nearness(by_class: Tensor) -> Tensor:
    """``exp(-|a - b|^2 / 2d)`` of all pairs of a class: (E, C, m, d) -> (E, C, m, m)."""
    squares = by_class.square().sum(-1)  # (E, C, m)
    distances = squares[..., None] + squares[..., None, :] - 2 * by_class @ by_class.mT
    return torch.exp(distances / (-2 * by_class.shape[3]))


def cycle_around(start: Tensor, codec: Codec) -> tuple[Tensor, Tensor]:
    """What decoding and encoding again changes at points, and how that changes with them.

    A pass through the codec costs as much as a thousand products with the Jacobian, and prototypes move
    little: on CIFAR-10 the change predicted after 25 steps is the true one but for a tenth.

    Args:
        start: (n, d) float32.

    Returns:
        ``E(D(x)) - x`` (n, d), and its transposed Jacobians (n, d, d): row i holds the derivatives in
        dimension i of the point.
    """
    errors, changes = [], []
    for points in torch.split(start, _BATCH):
        x = points.clone().requires_grad_()
        error = codec.roundtrip(x) - x
        columns = [torch.autograd.grad(error[:, j].sum(), x, retain_graph=True)[0] for j in range(x.shape[1])]
        errors.append(error.detach())
        changes.append(torch.stack(columns, 2))  # (k, d, d)
    return torch.cat(errors), torch.cat(changes)
