"""Gradient descent with momentum against torch's own."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.conftest import run_python
from trainables.latent.momentum import Momentum


def test_it_walks_as_torchs_does() -> None:
    start = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    optimiser = Momentum([ours], 0.9, 5e-3)
    reference = torch.optim.SGD([theirs], 0.05, momentum=0.9, weight_decay=5e-3)
    for step in range(20):
        rate = 0.05 if step < 10 else 0.005
        reference.param_groups[0]["lr"] = rate
        for parameter, walker in ((ours, optimiser), (theirs, reference)):
            walker.zero_grad()
            (parameter**4 - parameter).sum().backward()
            walker.step(rate) if walker is optimiser else walker.step()
    torch.testing.assert_close(ours, theirs)


def test_training_loads_no_compiler(tmp_path: Path) -> None:
    program = (
        "import sys, torch; from trainables.latent.pixel_recipe import PixelRecipe;"
        "from trainables.latent.pixel_training import train_pixel_networks;"
        "train_pixel_networks(torch.rand(2, 1, 8, 8), torch.eye(2), PixelRecipe(1), 0);"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    done = run_python("-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
