"""Gradient descent with momentum and weight decay.

Written out for the reason that :mod:`~trainables.latent.adam` is: torch's own optimisers load its compiler. A
test holds this one against torch's.

Paper: Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013,
section 2, with the velocity scaled by the rate at the step, as torch has it.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class Momentum:
    """Minimises with the gradients that ``backward`` left on the parameters.

    Args:
        parameters: leaf tensors that require gradients; updated in place.
        momentum: share of the velocity that is kept, in [0, 1).
        weight_decay: added to the gradients, times the parameters.
    """

    def __init__(self, parameters: Iterable[Tensor], momentum: float, weight_decay: float) -> None:
        self.parameters = list(parameters)
        self.velocities = [torch.zeros_like(p) for p in self.parameters]
        self.momentum, self.weight_decay = momentum, weight_decay

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Update every parameter once."""
        for parameter, velocity in zip(self.parameters, self.velocities, strict=True):
            assert parameter.grad is not None
            velocity.mul_(self.momentum).add_(parameter.grad).add_(parameter, alpha=self.weight_decay)
            parameter.sub_(velocity, alpha=lr)
