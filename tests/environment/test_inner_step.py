"""The inner step: worked by hand, by torch's SGD, by finite differences."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.environment.test_learners import draws, torch_network
from trainables.environment.inner_step import inner_step, learner_losses
from trainables.environment.learners import (
    LOG_STD,
    Convolution,
    Dense,
    Initialisation,
    NetworkLearner,
    Parameters,
    mlp_layers,
)

ONE = NetworkLearner(mlp_layers((1, 1)))


def one_parameter(weight: float) -> Parameters:
    return {"weight0": torch.tensor([[[weight]]]), "bias0": torch.zeros(1, 1)}


def test_one_parameter_by_hand() -> None:
    # f(x) = 2x at x = 3, wanted 5: loss (6 - 5)^2, slope 2 (6 - 5) = 2 of the bias and 2 * 3 of the weight.
    x, y, rate = (torch.tensor(value).requires_grad_() for value in ([[3.0]], [[5.0]], 0.1))
    stepped = inner_step(ONE, one_parameter(2.0), x, y, rate)
    assert stepped["weight0"].item() == pytest.approx(2 - 0.1 * 6)
    assert stepped["bias0"].item() == pytest.approx(-0.1 * 2)
    # The weight after it is w - 2 r x (w x - y).
    dx, dy, dr = torch.autograd.grad(stepped["weight0"].sum(), (x, y, rate))
    assert float(dx) == pytest.approx(-2 * 0.1 * (2 * 2 * 3 - 5))
    assert float(dy) == pytest.approx(2 * 0.1 * 3)
    assert float(dr) == pytest.approx(-2 * 3 * (2 * 3 - 5))


def test_log_std_by_hand() -> None:
    # Towards its target by rate * 2 (s - t) / actions, whatever the means do.
    initial = {
        "weight0": torch.zeros(1, 1, 2),
        "bias0": torch.zeros(1, 2),
        LOG_STD: torch.tensor([[0.0, 1.0]]),
    }
    learner = NetworkLearner(mlp_layers((1, 2)), log_std=True)
    target = torch.tensor([[-2.0, 3.0]])
    stepped = inner_step(
        learner, initial, torch.ones(4, 1), torch.zeros(4, 2), torch.tensor(0.5), y_log_std=target
    )
    torch.testing.assert_close(stepped[LOG_STD], torch.tensor([[0.0 - 0.5 * 2.0, 1.0 + 0.5 * 2.0]]))


def test_a_step_of_rate_zero_is_none_and_the_start_is_left_alone() -> None:
    learner = NetworkLearner(mlp_layers((4, 8, 2)))
    initial = learner.draw(3, draws())
    before = {name: tensor.clone() for name, tensor in initial.items()}
    x, y = torch.randn(5, 4, generator=draws(1)), torch.randn(5, 2, generator=draws(2))
    stood = inner_step(learner, initial, x, y, torch.tensor(0.0), steps=2)
    inner_step(learner, initial, x, y, torch.tensor(1.0), steps=2)
    for name, tensor in before.items():
        assert torch.equal(initial[name], tensor) and torch.equal(stood[name], tensor)


def targets(loss: str, rows: int, actions: int, dtype: torch.dtype = torch.float32) -> Tensor:
    drawn = torch.randn(rows, actions, generator=draws(5), dtype=dtype)
    return drawn.softmax(-1) if loss == "cross_entropy" else drawn


MLP = NetworkLearner(mlp_layers((5, 16, 16, 3)), "tanh", Initialisation(last_gain=1.0))
CONVOLUTIONAL = NetworkLearner(
    (Convolution(1, 4, 3, 2), Dense(36, 8), Dense(8, 3)), "relu", Initialisation(last_gain=1.0)
)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize(("learner", "shape"), [(MLP, (5,)), (CONVOLUTIONAL, (1, 8, 8))])
def test_equals_torchs_sgd(loss: str, steps: int, learner: NetworkLearner, shape: tuple[int, ...]) -> None:
    initial = learner.draw(3, draws())
    x, y = torch.randn(6, *shape, generator=draws(1)), targets(loss, 6, 3)
    stepped = inner_step(learner, initial, x, y, torch.tensor(0.2), loss=loss, steps=steps)
    detached = inner_step(
        learner, initial, x, y, torch.tensor(0.2), loss=loss, steps=steps, create_graph=False
    )
    for k in range(3):
        network = torch_network(learner, initial, k)
        sgd = torch.optim.SGD(network.parameters(), lr=0.2)
        for _ in range(steps):
            sgd.zero_grad()
            criterion = F.cross_entropy if loss == "cross_entropy" else F.mse_loss
            criterion(network(x), y).backward()
            sgd.step()
        for ours in (stepped, detached):
            outputs = learner({name: t[k : k + 1] for name, t in ours.items()}, x.unsqueeze(0))[0]
            torch.testing.assert_close(outputs, network(x), atol=1e-5, rtol=1e-5)
    assert stepped["weight0"].requires_grad and not detached["weight0"].requires_grad


def test_log_std_equals_torchs_sgd() -> None:
    learner = NetworkLearner(MLP.layers, "tanh", log_std=True)
    initial = learner.draw(1, draws())
    x, y, target = (
        torch.randn(6, 5, generator=draws(1)),
        targets("mse", 6, 3),
        torch.tensor([[-1.0, 0.5, 2.0]]),
    )
    stepped = inner_step(learner, initial, x, y, torch.tensor(0.2), y_log_std=target, steps=3)
    log_std = torch.zeros(1, 3, requires_grad=True)
    network = torch_network(learner, initial, 0)
    sgd = torch.optim.SGD([*network.parameters(), log_std], lr=0.2)
    for _ in range(3):
        sgd.zero_grad()
        (F.mse_loss(network(x), y) + F.mse_loss(log_std, target)).backward()
        sgd.step()
    torch.testing.assert_close(stepped[LOG_STD], log_std)
    torch.testing.assert_close(learner(stepped, x.unsqueeze(0))[0], network(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("steps", [1, 3])
def test_outer_gradient_is_that_of_finite_differences(loss: str, steps: int) -> None:
    learner = NetworkLearner(
        mlp_layers((2, 4, 2)), "tanh", Initialisation(last_gain=1.0), log_std=loss == "mse"
    )
    initial = {name: tensor.double() for name, tensor in learner.draw(3, draws()).items()}
    seen = torch.randn(3, 5, 2, generator=draws(6), dtype=torch.float64)
    log_std = torch.tensor([[0.3, -0.2]], dtype=torch.float64, requires_grad=True)

    def outer(x: Tensor, y: Tensor, rate: Tensor, log_std: Tensor) -> Tensor:
        given = log_std if learner.log_std else None
        stepped = inner_step(learner, initial, x, y, rate, y_log_std=given, loss=loss, steps=steps)
        spread = stepped[LOG_STD].exp().sum() if learner.log_std else 0 * log_std.sum()
        return learner(stepped, seen).sin().sum() + spread

    x = torch.randn(3, 2, generator=draws(7), dtype=torch.float64).requires_grad_()
    y = targets(loss, 3, 2, torch.float64).requires_grad_()
    rate = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(outer, (x, y, rate, log_std))


def test_losses_are_means_over_the_set() -> None:
    parameters = one_parameter(2.0) | {"weight0": torch.tensor([[[2.0, 0.0]]]), "bias0": torch.zeros(1, 2)}
    learner = NetworkLearner(mlp_layers((1, 2)))
    x = torch.tensor([[[1.0], [3.0]]])
    y = torch.tensor([[0.0, 0.0], [6.0, 4.0]])
    assert learner_losses(learner, parameters, x, y, None, "mse").tolist() == [(4 + 0 + 0 + 16) / 4]
    certain = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    expected = (math.log1p(math.exp(-2)) + math.log1p(math.exp(6))) / 2
    found = learner_losses(learner, parameters, x, certain, None, "cross_entropy")
    assert found.tolist() == pytest.approx([expected])


def test_learners_do_not_touch_each_other() -> None:
    initial = MLP.draw(4, draws())
    x, y = torch.randn(6, 5, generator=draws(1)), targets("mse", 6, 3)
    together = inner_step(MLP, initial, x, y, torch.tensor(0.2), steps=2)
    alone = inner_step(MLP, {name: t[2:3] for name, t in initial.items()}, x, y, torch.tensor(0.2), steps=2)
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name][2:3], tensor)
