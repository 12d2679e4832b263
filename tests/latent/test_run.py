"""One run: its bookkeeping, divergence, and checkpoints that do not fit."""

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.latent.gaussians import gaussian_latents
from trainables.errors import InputError
from trainables.latent.distill_config import DistillConfig
from trainables.latent.latents import LatentData
from trainables.latent.prototypes.run import PrototypeRun


def test_iterations_cover_the_steps_exactly() -> None:
    config = DistillConfig(m_per_class=1, proto_steps_base=25, steps_per_iteration=10)
    run = PrototypeRun(config, gaussian_latents())
    steps = []
    while not run.done:
        steps.append(run.step()["steps"])
    assert steps == [10, 20, 25] and run.iteration == config.iterations == 3


def test_every_report_is_finite_and_flat() -> None:
    report = PrototypeRun(DistillConfig(m_per_class=1), gaussian_latents()).step()
    assert all(isinstance(value, float) and math.isfinite(value) for value in report.values())
    assert {"probe_accuracy", "roundtrip_accuracy", "gap_to_full", "loss", "diverged"} <= set(report)


@pytest.mark.parametrize("codec", [True, False])
@pytest.mark.parametrize("method", ["implicit", "unrolled", "gradient_matching", "kernel_ridge"])
def test_divergence_is_a_result_at_chance(method: str, codec: bool) -> None:
    data = gaussian_latents(codec=codec)
    data.train_x[0, 0] = float("inf")  # k-means, and so every prototype of that class, turns to NaN
    clean = dataclasses.replace(data, train_x=data.train_x.nan_to_num(posinf=0.0))
    run = PrototypeRun(DistillConfig(method=method, m_per_class=1, batch_size=10_000), clean)
    with torch.no_grad():
        run.x[0, 0] = float("inf")
    report = run.step()
    assert report["diverged"] == 1.0 and run.done
    assert report["probe_accuracy"] == pytest.approx(1 / 3)
    assert report.get("roundtrip_accuracy") == (pytest.approx(1 / 3) if codec else None)
    assert all(math.isfinite(value) for value in report.values())


def test_round_trip_of_features_is_refused() -> None:
    with pytest.raises(InputError, match="no decoder"):
        PrototypeRun(DistillConfig(roundtrip_weight=0.5), gaussian_latents(codec=False))


def test_features_score_no_round_trip() -> None:
    """Which is something else than a round trip of 0."""
    report = PrototypeRun(DistillConfig(m_per_class=1), gaussian_latents(codec=False)).step()
    assert "roundtrip_accuracy" not in report


def test_checkpoint_of_another_configuration_is_refused() -> None:
    state = PrototypeRun(DistillConfig(m_per_class=2), gaussian_latents()).state_dict()
    with pytest.raises(InputError, match="resume with the configuration that wrote it"):
        PrototypeRun(DistillConfig(m_per_class=3), gaussian_latents()).load_state_dict(state)
    with pytest.raises(InputError, match="resume with the configuration that wrote it"):
        PrototypeRun(DistillConfig(), gaussian_latents()).load_state_dict({"x": torch.zeros(30, 8)})


def test_latents_hold_no_test_data() -> None:
    assert not [field.name for field in dataclasses.fields(LatentData) if "test" in field.name]


def test_distilling_loads_neither_a_compiler_nor_data_libraries() -> None:
    """Each of these is hundreds of MB or seconds in every worker of a sweep."""
    program = (
        "import sys\n"
        "from tests.latent.gaussians import gaussian_latents\n"
        "from trainables.latent.config import DistillConfig\n"
        "from trainables.latent.prototypes.run import PrototypeRun\n"
        "run = PrototypeRun(DistillConfig(proto_steps_base=2), gaussian_latents())\n"
        "run.step()\n"
        "heavy = {'torch._dynamo', 'sympy', 'torchvision', 'sklearn', 'matplotlib', 'pandas', 'PIL', 'ray'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
