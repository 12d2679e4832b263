"""Adam for a few small tensors.

torch's own optimisers load its compiler when they are made: 180 MB and seconds of CPU in every worker of
a sweep, for an update of five lines. A test holds this one against torch's.

Paper: Kingma & Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Minimises with the gradients that ``backward`` left on the parameters.

    Args:
        parameters: leaf tensors that require gradients; updated in place.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)
        self.first = [torch.zeros_like(p) for p in self.parameters]  # moments, shaped as their parameters
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.steps = 0

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One update with learning rate ``lr``."""
        self.steps += 1
        scale = lr / (1 - BETA_1**self.steps)
        correction = math.sqrt(1 - BETA_2**self.steps)
        for parameter, first, second in zip(self.parameters, self.first, self.second, strict=True):
            assert parameter.grad is not None
            first.lerp_(parameter.grad, 1 - BETA_1)
            second.mul_(BETA_2).addcmul_(parameter.grad, parameter.grad, value=1 - BETA_2)
            parameter.addcdiv_(first, second.sqrt().div_(correction).add_(EPSILON), value=-scale)

    @torch.no_grad()
    def step_if_finite(self, lr: float) -> None:
        """The same, unless parameters would not be finite: then they and the moments stay as they are."""
        kept, state = [parameter.clone() for parameter in self.parameters], self.state_dict()
        self.step(lr)
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.parameters):
            for parameter, before in zip(self.parameters, kept, strict=True):
                parameter.copy_(before)
            self.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """Moments and the number of steps, as copies."""
        return {
            "first": [moment.clone() for moment in self.first],
            "second": [moment.clone() for moment in self.second],
            "steps": self.steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`.

        Raises:
            ValueError: if the moments do not fit the parameters.
        """
        for name, moments in (("first", self.first), ("second", self.second)):
            for moment, stored in zip(moments, state[name], strict=True):
                if moment.shape != stored.shape:
                    raise ValueError(f"moments of shape {tuple(stored.shape)}")
                moment.copy_(stored)
        self.steps = int(state["steps"])
