"""Any ``nn.Module`` as a learner, K of them at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from trainables.environment.learners import Parameters


class ModuleLearner:
    """Learners that are copies of one module with parameters of their own.

    It does what :class:`~trainables.environment.learners.NetworkLearner` does, more slowly, for whatever
    architecture ``make`` builds. Where actions are vectors the module has a parameter ``log_std`` (actions,),
    which its output, the means, does not depend on. Buffers are those of one module, the same for all; a
    module that changes its buffers in a call (batch normalisation while it counts) cannot be used.

    Args:
        make: builds a module with fresh parameters, drawn by torch's global generator; the module maps
            (n, *observation) to logits or means (n, actions).
    """

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        self._make = make
        with torch.random.fork_rng(devices=[]):  # building one must not move anybody's random numbers
            self._module = make()

    def draw(self, count: int, generator: torch.Generator) -> Parameters:
        """Fresh parameters of ``count`` learners by the names of the module, (count, ...) each."""
        seed = int(torch.randint(2**62, (), generator=generator))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            parameters, _ = stack_module_state([self._make() for _ in range(count)])
        return {name: tensor.detach() for name, tensor in parameters.items()}

    def __call__(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """(K, n, *observation) -> (K, n, actions)."""

        def one(own: Parameters, seen: Tensor) -> Tensor:
            outputs: Tensor = functional_call(self._module, own, (seen,))
            return outputs

        outputs: Tensor = vmap(one)(parameters, observations)
        return outputs
