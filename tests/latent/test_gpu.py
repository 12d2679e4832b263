"""Every method on a GPU, where there is one: a run computes where its latents lie."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.latent.gaussians import gaussian_latents
from trainables.latent.artifacts import ARTIFACTS_FILE, Artifacts, load_artifacts, save_artifacts
from trainables.latent.controls import control_sets
from trainables.latent.distill_config import METHODS, DistillConfig
from trainables.latent.latents import LatentData
from trainables.latent.methods import start_run
from trainables.latent.scores import fit_readings
from trainables.latent.shaping.run import ShapingRun
from trainables.tensor_files import load_tensors

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that CUDA drives")


def on_gpu(data: LatentData) -> LatentData:
    tensors = {
        f.name: value.cuda()
        for f in dataclasses.fields(data)
        if isinstance(value := getattr(data, f.name), torch.Tensor)
    }
    return dataclasses.replace(data, **tensors)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
def test_method_solves_gaussians_resumes_and_opens_without_gpu(method: str, tmp_path: Path) -> None:
    data = on_gpu(gaussian_latents())
    config = DistillConfig(
        method=method,
        m_per_class=2,
        proto_steps_base=40,
        roundtrip_weight=0.5 if method == "rl_shaping" else 0.0,
        shape_episodes=8,
        shape_batch=4,
        shape_decisions=2,
        shape_steps=5,
    )
    run = start_run(config, data)
    run.step()
    again = start_run(config, data)
    again.load_state_dict(run.state_dict())
    while not again.done:
        scores = again.step()
    assert scores["probe_accuracy"] >= 0.96 and scores["diverged"] == 0
    assert again.distilled().x.is_cuda

    path = tmp_path / ARTIFACTS_FILE
    save_artifacts(path, Artifacts({}, data.class_names, {method: again.distilled()}))
    opened = load_artifacts(path).sets[method]
    assert not opened.x.is_cuda and torch.equal(opened.x, again.distilled().x.cpu())
    readings = fit_readings(opened, gaussian_latents())
    assert (readings.probe.predict(data.selection_x.cpu()) == data.selection_y.cpu()).float().mean() >= 0.96


def test_shaping_plays_where_the_codec_is_and_brings_its_points_back(tmp_path: Path) -> None:
    data = gaussian_latents()
    assert data.codec is not None
    data.codec.device = torch.device("cuda")  # type: ignore[misc]
    config = DistillConfig(
        method="rl_shaping", m_per_class=2, shape_episodes=8, shape_batch=4, shape_decisions=2, shape_steps=5
    )
    run = ShapingRun(config, data)
    run.step()
    run.step()
    torch.save(run.state_dict(), tmp_path / "state.pt")
    again = ShapingRun(config, data)
    again.load_state_dict(load_tensors(tmp_path / "state.pt"))  # onto the CPU, as a checkpoint is read
    while not again.done:
        scores = again.step()
    assert again.open_task().centre.is_cuda
    assert not again.distilled().x.is_cuda
    assert scores["probe_accuracy"] >= 0.96 and scores["diverged"] == 0


def test_controls() -> None:
    data = on_gpu(gaussian_latents())
    for name, distilled in control_sets(data, 2, seed=0):
        assert distilled.x.is_cuda, name
        assert torch.isfinite(distilled.x).all(), name
