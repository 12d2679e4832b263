"""A network of one's own, for ``--families examples/own_network.py:Residual`` (tasks like CartPole-v1).

Whatever maps (n, *observation) to (n, actions) will do, if torch.func.vmap can call it: no batch
normalisation that counts, no dropout. Where actions are vectors it also needs a parameter ``log_std``
(actions,).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Two hidden layers of 128 with a way past the second."""

    def __init__(self, inputs: int = 4, actions: int = 2, width: int = 128) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, actions)

    def forward(self, observations: Tensor) -> Tensor:
        """(n, 4) -> (n, 2) logits."""
        hidden = torch.tanh(self.first(observations))
        outputs: Tensor = self.last(hidden + torch.tanh(self.second(hidden)))
        return outputs
