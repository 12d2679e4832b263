"""The networks that learn from a distilled set, K of them at a time.

A learner's parameters carry their number as the first dimension, so that one batched product serves all K;
:mod:`trainables.environment.general_learner` does the same for any ``nn.Module``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

Parameters = dict[str, Tensor]
"""Of K learners: each tensor is (K, ...). ``log_std`` (K, actions) is there where actions are vectors."""

LOG_STD = "log_std"


class Learner(Protocol):
    """An architecture together with the distribution of its initial parameters."""

    def draw(self, count: int, generator: torch.Generator) -> Parameters:
        """Fresh parameters of ``count`` learners."""
        ...

    def __call__(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Logits or means of all K learners: (K, n, *observation) -> (K, n, actions)."""
        ...


@dataclass(frozen=True)
class Dense:
    """A linear layer; its weight is (K, inputs, outputs)."""

    inputs: int
    outputs: int

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Of one learner's weight."""
        return (self.inputs, self.outputs)


@dataclass(frozen=True)
class Convolution:
    """A square convolution without padding; its weight is (K, outputs, inputs, size, size)."""

    inputs: int
    outputs: int
    size: int
    stride: int

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Of one learner's weight."""
        return (self.outputs, self.inputs, self.size, self.size)


Layer = Dense | Convolution


@dataclass(frozen=True)
class Initialisation:
    """How weights are drawn; biases and ``log_std`` start at zero.

    Attributes:
        scheme: ``orthogonal`` (Saxe et al., 2014) or ``xavier`` (normal; Glorot and Bengio, 2010).
        gain, last_gain: factor of the weights, and of the last layer's.
    """

    scheme: str = "orthogonal"
    gain: float = math.sqrt(2)
    last_gain: float = 0.01


@dataclass(frozen=True)
class NetworkLearner:
    """Layers one after the other.

    Attributes:
        layers: at least one; the last is dense.
        activation: between the layers: ``tanh``, ``relu`` or ``none``.
        initialisation: of the weights.
        log_std: whether a standard deviation is learned as well, one for each action, state-independent.
        widths: range of the hidden layers' width, drawn for each learner, in place of what ``layers`` says
            (which must be the greatest). Narrower ones are padded with zeros, which stay zeros: a unit
            without weights gets no gradient, as tanh and relu are 0 at 0.
    """

    layers: tuple[Layer, ...]
    activation: str = "tanh"
    initialisation: Initialisation = Initialisation()
    log_std: bool = False
    widths: tuple[int, int] | None = None

    def draw(self, count: int, generator: torch.Generator) -> Parameters:
        """Fresh parameters of ``count`` learners, float32."""
        drawn: Parameters = {}
        widths = self._drawn_widths(count, generator)
        last = len(self.layers) - 1
        for i, layer in enumerate(self.layers):
            gain = self.initialisation.last_gain if i == last else self.initialisation.gain
            weight = torch.zeros(count, *layer.weight_shape)
            if widths is None:
                weight = gain * _draw_weights(self.initialisation.scheme, count, layer, generator)
            else:
                for k, width in enumerate(widths):
                    narrow = Dense(layer.inputs if i == 0 else width, layer.outputs if i == last else width)
                    own = gain * _draw_weights(self.initialisation.scheme, 1, narrow, generator)[0]
                    weight[k, : narrow.inputs, : narrow.outputs] = own
            drawn[f"weight{i}"] = weight
            drawn[f"bias{i}"] = torch.zeros(count, layer.outputs)
        if self.log_std:
            drawn[LOG_STD] = torch.zeros(count, self.layers[last].outputs)
        return drawn

    def _drawn_widths(self, count: int, generator: torch.Generator) -> list[int] | None:
        if self.widths is None:
            return None
        low, high = self.widths
        drawn: list[int] = torch.randint(low, high + 1, (count,), generator=generator).tolist()
        return drawn

    def __call__(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """(K, n, *observation) -> (K, n, actions)."""
        features = observations
        last = len(self.layers) - 1
        for i, layer in enumerate(self.layers):
            weight, bias = parameters[f"weight{i}"], parameters[f"bias{i}"]
            if isinstance(layer, Dense):
                features = torch.baddbmm(bias.unsqueeze(1), features.flatten(2), weight)
            else:
                features = _convolve(features, weight, bias, layer.stride)
            if i < last:
                features = _ACTIVATIONS[self.activation](features)
        return features


def _identity(values: Tensor) -> Tensor:
    return values


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "none": _identity,
}


def mlp_layers(sizes: Sequence[int]) -> tuple[Dense, ...]:
    """Dense layers through these sizes, from the observation's to the number of actions."""
    return tuple(Dense(a, b) for a, b in itertools.pairwise(sizes))


def _draw_weights(scheme: str, count: int, layer: Layer, generator: torch.Generator) -> Tensor:
    """(count, *weight_shape) with gain 1."""
    shape = (count, *layer.weight_shape)
    fan_in, fan_out = layer.inputs, layer.outputs
    if isinstance(layer, Convolution):
        fan_in, fan_out = fan_in * layer.size**2, fan_out * layer.size**2
    if scheme == "xavier":
        return torch.randn(shape, generator=generator) * math.sqrt(2 / (fan_in + fan_out))
    rows, columns = (layer.outputs, fan_in) if isinstance(layer, Convolution) else (fan_in, layer.outputs)
    tall, thin = max(rows, columns), min(rows, columns)
    q, r = torch.linalg.qr(torch.randn(count, tall, thin, generator=generator))  # (count, tall, thin)
    # Without the signs of r's diagonal the draw would not be uniform over orthogonal matrices.
    q = q * torch.diagonal(r, dim1=-2, dim2=-1).sign().unsqueeze(-2)
    matrix: Tensor = q if rows >= columns else q.transpose(-2, -1)
    return matrix.reshape(shape)


def _convolve(images: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """Each of K learners convolves its own images: (K, n, C, H, W) -> (K, n, C', H', W')."""
    count = len(images)
    if count == 1:
        return F.conv2d(images[0], weight[0], bias[0], stride).unsqueeze(0)
    grouped = images.transpose(0, 1).flatten(1, 2)  # (n, K * C, H, W)
    convolved = F.conv2d(grouped, weight.flatten(0, 1), bias.flatten(), stride, groups=count)
    return convolved.reshape(convolved.shape[0], count, -1, *convolved.shape[2:]).transpose(0, 1)
