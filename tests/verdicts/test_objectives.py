"""Each objective against the classifiers that the project has for it elsewhere."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.latent.gaussians import gaussian_latents
from trainables.latent.cross_encoder import decoded_images, fit_cross_probe
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.latents import LatentData
from trainables.latent.scores import fit_readings
from tune_dd.verdicts.objectives import OBJECTIVES, hits


@pytest.fixture(scope="module")
def data() -> LatentData:
    return gaussian_latents(separation=2.0)


@pytest.fixture(scope="module")
def distilled(data: LatentData) -> DistilledSet:
    rows = torch.cat([torch.nonzero(data.train_y == c)[:2, 0] for c in range(3)])
    return DistilledSet(data.train_x[rows], data.train_y[rows])


@pytest.mark.parametrize("name", ["probe_accuracy", "roundtrip_accuracy"])
def test_it_is_the_reading_of_that_name(name: str, data: LatentData, distilled: DistilledSet) -> None:
    readings = fit_readings(distilled, data)
    expected = readings.probe if name == "probe_accuracy" else readings.roundtrip
    assert expected is not None
    found = OBJECTIVES[name].fit(distilled, data, data)
    assert torch.equal(found.weights, expected.weights)
    right = hits(found, data.selection_x, data.selection_y)
    assert right.dtype == np.bool_ and right.shape == data.selection_y.shape
    predicted = expected.predict(data.selection_x)
    assert right.tolist() == (predicted == data.selection_y).tolist()


def test_the_other_encoder_reads_decoded_points(data: LatentData, distilled: DistilledSet) -> None:
    other = dataclasses.replace(gaussian_latents(separation=2.0, seed=1), codec=data.codec)
    found = OBJECTIVES["cross_encoder_accuracy"].fit(distilled, data, other)
    expected = fit_cross_probe(decoded_images(distilled, data), distilled.targets(3), other)
    assert torch.equal(found.weights, expected.weights)
    # The penalty is chosen where the other encoder sees the reward half.
    assert found.reward_accuracy == hits(found, other.reward_x, other.reward_y).mean()


def test_what_diverged_is_right_on_nothing(data: LatentData, distilled: DistilledSet) -> None:
    assert not hits(None, data.selection_x, data.selection_y).any()
    broken = dataclasses.replace(distilled, x=distilled.x * torch.nan)
    with pytest.raises(FloatingPointError):
        OBJECTIVES["probe_accuracy"].fit(broken, data, data)
