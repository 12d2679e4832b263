"""Networks, K at a time: how they are drawn, and that each is what torch.nn computes alone."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from trainables.environment.inner_step import inner_step
from trainables.environment.learners import (
    LOG_STD,
    Convolution,
    Dense,
    Initialisation,
    Layer,
    NetworkLearner,
    Parameters,
    mlp_layers,
)

MLP = mlp_layers((5, 64, 64, 3))
# 12 x 12 pixels -> 5 x 5 -> 3 x 3 of 4 channels.
PICTURES: tuple[Layer, ...] = (Convolution(2, 6, 4, 2), Convolution(6, 4, 3, 1), Dense(36, 8), Dense(8, 3))
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "none": nn.Identity}


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def torch_network(learner: NetworkLearner, parameters: Parameters, k: int) -> nn.Sequential:
    """Learner ``k`` as torch writes it."""
    modules: list[nn.Module] = []
    for i, layer in enumerate(learner.layers):
        weight = parameters[f"weight{i}"][k]
        if isinstance(layer, Dense):
            own: nn.Linear | nn.Conv2d = nn.Linear(*weight.shape)
            weight = weight.T
            modules += [nn.Flatten(), own]
        else:
            own = nn.Conv2d(layer.inputs, layer.outputs, layer.size, layer.stride)
            modules.append(own)
        own.weight.data, own.bias.data = weight.clone(), parameters[f"bias{i}"][k].clone()
        modules.append(ACTIVATIONS[learner.activation]())
    return nn.Sequential(*modules[:-1])


def matrices(weight: Tensor, layer: Layer) -> Tensor:
    """(K, outputs, inputs), as the literature on initialisation has them."""
    return weight.transpose(1, 2) if isinstance(layer, Dense) else weight.flatten(2)


@pytest.mark.parametrize("layers", [MLP, PICTURES, mlp_layers((3, 3)), mlp_layers((64, 7, 100, 2))])
def test_draws_are_orthogonal_with_their_gain(layers: tuple[Layer, ...]) -> None:
    parameters = NetworkLearner(layers, initialisation=Initialisation(gain=1.5, last_gain=0.2)).draw(
        4, draws()
    )
    for i, layer in enumerate(layers):
        gain = 0.2 if i == len(layers) - 1 else 1.5
        matrix = matrices(parameters[f"weight{i}"], layer)
        _, rows, columns = matrix.shape
        product = matrix @ matrix.mT if rows <= columns else matrix.mT @ matrix
        expected = gain**2 * torch.eye(min(rows, columns)).expand_as(product)
        torch.testing.assert_close(product, expected, atol=1e-5, rtol=0)
        assert not parameters[f"bias{i}"].any() and parameters[f"bias{i}"].shape == (4, rows)


def test_gains_of_the_reference() -> None:
    parameters = NetworkLearner(MLP, log_std=True).draw(2, draws())
    singular = [torch.linalg.svdvals(parameters[f"weight{i}"]) for i in range(3)]
    for found, gain in zip(singular, (math.sqrt(2), math.sqrt(2), 0.01), strict=True):
        torch.testing.assert_close(found, torch.full_like(found, gain))
    assert parameters[LOG_STD].shape == (2, 3) and not parameters[LOG_STD].any()
    assert LOG_STD not in NetworkLearner(MLP).draw(2, draws())


def test_orthogonal_draws_favour_no_direction() -> None:
    # Of a uniform 2 x 2 orthogonal matrix each entry has mean 0, and half of them are reflections.
    weight = NetworkLearner(mlp_layers((2, 2)), initialisation=Initialisation(last_gain=1.0)).draw(
        4000, draws()
    )
    drawn = weight["weight0"]
    assert drawn.mean(0).abs().max() < 4 * math.sqrt(0.5 / 4000)
    assert abs((torch.linalg.det(drawn) > 0).float().mean() - 0.5) < 4 * math.sqrt(0.25 / 4000)


@pytest.mark.parametrize("layer", [Dense(300, 100), Convolution(20, 30, 5, 1)])
def test_xavier_draws_have_its_variance(layer: Layer) -> None:
    layers = (layer, Dense(layer.outputs, 2))
    learner = NetworkLearner(layers, initialisation=Initialisation("xavier", gain=2**0.5))
    weight = learner.draw(2, draws())["weight0"]
    receptive = layer.size**2 if isinstance(layer, Convolution) else 1
    expected = math.sqrt(2) * math.sqrt(2 / (receptive * (layer.inputs + layer.outputs)))
    assert float(weight.std()) == pytest.approx(expected, rel=0.02)
    assert abs(float(weight.mean())) < 4 * expected / math.sqrt(weight.numel())


@pytest.mark.parametrize("learner", [
    NetworkLearner(MLP, log_std=True),
    NetworkLearner(PICTURES, "relu"),
    NetworkLearner(MLP, initialisation=Initialisation("xavier")),
    NetworkLearner(MLP, widths=(2, 64)),
])  # fmt: skip
def test_the_generator_alone_decides(learner: NetworkLearner) -> None:
    first, again, other = learner.draw(3, draws(1)), learner.draw(3, draws(1)), learner.draw(3, draws(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["weight0"], other["weight0"])
    assert not torch.equal(first["weight0"][0], first["weight0"][1])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("layers", "shape"), [(MLP, (5,)), (PICTURES, (2, 12, 12))])
@pytest.mark.parametrize("count", [1, 4])
def test_stacked_learners_are_torchs_networks_one_by_one(
    activation: str, layers: tuple[Layer, ...], shape: tuple[int, ...], count: int
) -> None:
    learner = NetworkLearner(layers, activation, Initialisation(last_gain=1.0))
    parameters = learner.draw(count, draws())
    for name in parameters:
        if name.startswith("bias"):  # which are drawn as zeros
            parameters[name].normal_(generator=draws(3))
    seen = torch.randn(count, 7, *shape, generator=draws(4))
    outputs = learner(parameters, seen)
    assert outputs.shape == (count, 7, 3)
    for k in range(count):
        expected = torch_network(learner, parameters, k)(seen[k])
        torch.testing.assert_close(outputs[k], expected, atol=1e-5, rtol=1e-5)


def unpadded(parameters: Parameters, k: int, width: int) -> Parameters:
    """Learner ``k`` without the units it does not have."""
    inner = slice(0, width)
    return {
        "weight0": parameters["weight0"][k : k + 1, :, inner],
        "bias0": parameters["bias0"][k : k + 1, inner],
        "weight1": parameters["weight1"][k : k + 1, inner, inner],
        "bias1": parameters["bias1"][k : k + 1, inner],
        "weight2": parameters["weight2"][k : k + 1, inner],
        "bias2": parameters["bias2"][k : k + 1],
    }


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_narrower_learners_stay_what_they_are_unpadded(activation: str) -> None:
    learner = NetworkLearner(
        mlp_layers((5, 32, 32, 3)), activation, Initialisation(last_gain=1.0), widths=(4, 32)
    )
    initial = learner.draw(6, draws())
    widths = [int((initial["weight0"][k] != 0).any(0).sum()) for k in range(6)]
    assert len(set(widths)) > 2 and all(4 <= width <= 32 for width in widths)
    seen = torch.randn(6, 9, 5, generator=draws(1))
    x, y = torch.randn(8, 5, generator=draws(2)), torch.randn(8, 3, generator=draws(3))
    stepped = inner_step(learner, initial, x, y, torch.tensor(0.3), steps=3, create_graph=False)
    for k, width in enumerate(widths):
        own = dataclasses.replace(learner, layers=mlp_layers((5, width, width, 3)), widths=None)
        alone = unpadded(initial, k, width)
        first = alone["weight0"][0]
        product, gram = (first @ first.mT, 5) if width >= 5 else (first.mT @ first, width)
        torch.testing.assert_close(product, 2 * torch.eye(gram), atol=1e-5, rtol=0)
        torch.testing.assert_close(learner(initial, seen)[k], own(alone, seen[k : k + 1])[0])
        after = inner_step(own, alone, x, y, torch.tensor(0.3), steps=3, create_graph=False)
        for name, tensor in unpadded(stepped, k, width).items():
            torch.testing.assert_close(tensor, after[name], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(learner(stepped, seen)[k], own(after, seen[k : k + 1])[0])
        # The padding itself: still nothing, to the bit.
        assert not stepped["weight0"][k, :, width:].any() and not stepped["bias1"][k, width:].any()
        assert not stepped["weight1"][k, width:].any() and not stepped["weight1"][k, :, width:].any()
        assert not stepped["weight2"][k, width:].any() and not stepped["bias0"][k, width:].any()
