"""Adam against torch's, and its state."""

from __future__ import annotations

import pytest
import torch

from trainables.latent.adam import Adam


def gradients(parameters: list[torch.Tensor], step: int) -> None:
    for number, parameter in enumerate(parameters):
        randomness = torch.Generator().manual_seed(100 * step + number)
        parameter.grad = torch.randn(parameter.shape, generator=randomness)


def start() -> list[torch.Tensor]:
    return [torch.ones(3, 4).requires_grad_(), torch.zeros(5).requires_grad_()]


def test_equals_torchs_adam_with_a_changing_rate() -> None:
    ours, theirs = start(), start()
    own, reference = Adam(ours), torch.optim.Adam(theirs)
    for step in range(25):
        rate = 0.1 / (1 + step)
        gradients(ours, step), gradients(theirs, step)
        own.step(rate)
        reference.param_groups[0]["lr"] = rate
        reference.step()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_state_goes_on_bit_for_bit() -> None:
    whole, broken = start(), start()
    optimisers = Adam(whole), Adam(broken)
    for step in range(4):
        gradients(whole, step), gradients(broken, step)
        for optimiser in optimisers:
            optimiser.step(0.1)
    resumed = Adam(broken)
    resumed.load_state_dict(optimisers[1].state_dict())
    gradients(whole, 9), gradients(broken, 9)
    optimisers[0].step(0.1), resumed.step(0.1)
    assert all(torch.equal(a, b) for a, b in zip(whole, broken, strict=True))


def test_a_state_of_other_shapes_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        Adam(start()).load_state_dict(Adam([torch.ones(3, 3), torch.zeros(5)]).state_dict())


def test_a_step_to_what_is_not_finite_is_not_taken() -> None:
    parameter = torch.ones(3, requires_grad=True)
    adam = Adam([parameter])
    parameter.grad = torch.ones(3)
    adam.step_if_finite(0.1)
    before, moments = parameter.detach().clone(), adam.state_dict()
    assert torch.allclose(before, torch.full((3,), 0.9))
    parameter.grad = torch.tensor([1.0, torch.nan, 1.0])
    adam.step_if_finite(0.1)
    assert torch.equal(parameter, before)
    assert adam.steps == 1 and torch.equal(adam.first[0], moments["first"][0])
