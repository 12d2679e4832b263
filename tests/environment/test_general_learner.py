"""Any module as a learner: the same as the hand-batched networks, and as the step written with torch.func."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from tests.environment.test_learners import draws, torch_network
from trainables.environment.general_learner import ModuleLearner
from trainables.environment.inner_step import inner_step
from trainables.environment.learners import (
    LOG_STD,
    Convolution,
    Dense,
    Initialisation,
    NetworkLearner,
    Parameters,
    mlp_layers,
)
from trainables.environment.perception import Perception
from trainables.environment.rollouts import episode_returns
from trainables.environment.tasks import open_task

START = Initialisation(last_gain=1.0)
NETWORKS = {
    "dense": (NetworkLearner(mlp_layers((5, 16, 16, 3)), "tanh", START), (5,)),
    "convolutional": (
        NetworkLearner((Convolution(2, 4, 3, 2), Dense(36, 8), Dense(8, 3)), "relu", START),
        (2, 8, 8),
    ),
}


def stacked(networks: list[nn.Sequential]) -> Parameters:
    named = [dict(network.named_parameters()) for network in networks]
    return {name: torch.stack([own[name].detach() for own in named]) for name in named[0]}


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("name", NETWORKS)
def test_agrees_with_the_hand_batched_networks(name: str, loss: str) -> None:
    fast, shape = NETWORKS[name]
    initial = fast.draw(4, draws())
    networks = [torch_network(fast, initial, k) for k in range(4)]
    general = ModuleLearner(lambda: torch_network(fast, initial, 0))
    x = torch.randn(6, *shape, generator=draws(1)).requires_grad_()
    y = torch.randn(6, 3, generator=draws(2)).softmax(-1).requires_grad_()
    rate = torch.tensor(0.3, requires_grad=True)
    seen = torch.randn(4, 5, *shape, generator=draws(3))
    outputs, gradients = [], []
    for learner, start in ((fast, initial), (general, stacked(networks))):
        stepped = inner_step(learner, start, x, y, rate, loss=loss, steps=2)
        outputs.append(learner(stepped, seen))
        gradients.append(torch.autograd.grad(outputs[-1].square().mean(), (x, y, rate)))
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=0)
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


class Residual(nn.Module):
    """Nothing that layers one after the other could be: a skip, a norm, a buffer, a tied weight."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.mix = nn.Linear(5, 8), nn.Linear(8, 8, bias=False)
        self.norm, self.last = nn.LayerNorm(8), nn.Linear(8, 3)
        self.log_std = nn.Parameter(torch.zeros(3))
        self.register_buffer("scale", torch.tensor(0.5))

    def forward(self, seen: Tensor) -> Tensor:
        hidden = F.gelu(self.first(seen))
        outputs: Tensor = self.last(self.norm(hidden + self.scale * self.mix(self.mix(hidden))))
        return outputs


def test_any_module_steps_as_torch_func_writes_it() -> None:
    learner = ModuleLearner(Residual)
    initial = learner.draw(4, draws())
    x, y = torch.randn(6, 5, generator=draws(1)), torch.randn(6, 3, generator=draws(2))
    target, rate = torch.tensor([[-1.0, 0.0, 1.0]]), torch.tensor(0.2)
    stepped = inner_step(learner, initial, x, y, rate, y_log_std=target, steps=2)
    module = Residual()

    def loss(own: Parameters) -> Tensor:
        return F.mse_loss(functional_call(module, own, (x,)), y) + F.mse_loss(own["log_std"], target[0])

    expected = initial
    for _ in range(2):
        slopes = vmap(grad(loss))(expected)
        expected = {name: tensor - rate * slopes[name] for name, tensor in expected.items()}
    assert set(stepped) == set(dict(module.named_parameters())) and LOG_STD in stepped
    for name, tensor in expected.items():
        torch.testing.assert_close(stepped[name], tensor, atol=1e-5, rtol=0)


def test_the_generator_alone_decides_and_nothing_else_moves() -> None:
    before = torch.get_rng_state()
    learner = ModuleLearner(Residual)
    first, again, other = (learner.draw(3, draws(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    weight = "first.weight"
    assert first[weight].shape == (3, 8, 5) and not first[weight].requires_grad
    assert not torch.equal(first[weight], other[weight])
    assert not torch.equal(first[weight][0], first[weight][1])


def test_each_learner_sees_its_own_observations() -> None:
    learner = ModuleLearner(Residual)
    parameters = learner.draw(3, draws())
    seen = torch.randn(3, 4, 5, generator=draws(1))
    outputs = learner(parameters, seen)
    module = Residual()
    for k in range(3):
        module.load_state_dict({name: tensor[k] for name, tensor in parameters.items()}, strict=False)
        torch.testing.assert_close(outputs[k], module(seen[k]))


@pytest.mark.parametrize(
    "make", [lambda: nn.Linear(4, 2), lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))]
)
def test_it_plays(make: Callable[[], nn.Module]) -> None:
    learner = ModuleLearner(make)
    found = episode_returns(
        open_task("CartPole-v1"), learner, learner.draw(3, draws()), Perception(), 2, seed=0
    )
    assert found.shape == (3, 2) and (found >= 8).all()
