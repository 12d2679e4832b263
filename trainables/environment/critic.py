"""The value function beside a distilled set; it is thrown away after distillation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainables.environment.choices import LEVELS
from trainables.environment.families import HIDDEN
from trainables.environment.learners import Dense, Initialisation, Layer, NetworkLearner, mlp_layers
from trainables.environment.perception import NATURE_LAYERS
from trainables.environment.tasks import Task


class Critic(nn.Module):
    """What learners see (n, *features) to values (n, 1), by a network as the learners' own.

    Behind an encoder it is the rest of the network, so that what tells values shapes the features, too.

    Args:
        level: of the encoder; see :data:`~trainables.environment.choices.LEVELS`.
    """

    def __init__(self, task: Task, generator: torch.Generator, level: str = "none") -> None:
        super().__init__()
        start = Initialisation(last_gain=1.0)
        if not task.sees_pictures:
            layers: tuple[Layer, ...] = mlp_layers((*task.observation_shape, *HIDDEN, 1))
            self._network = NetworkLearner(layers, "tanh", start)
        else:
            layers = (*NATURE_LAYERS[LEVELS[level] :], Dense(NATURE_LAYERS[-1].outputs, 1))
            self._network = NetworkLearner(layers, "relu", start)
        self.weights = nn.ParameterDict(self._network.draw(1, generator))

    def forward(self, features: Tensor) -> Tensor:
        return self._network(dict(self.weights.items()), features.unsqueeze(0))[0]

    def scale_outputs(self, factor: float) -> None:
        """Multiply all values by a number."""
        last = len(self._network.layers) - 1
        for name in (f"weight{last}", f"bias{last}"):
            self.weights[name].mul_(factor)
