"""The probe on another encoder's latents of a set's images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.cross_encoder import decoded_images, fit_cross_probe, real_images
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.latents import LatentData, prepare_latents
from trainables.latent.probe import accuracy, one_hot
from trainables.latent.real_images import load_real_images
from trainables.latent.scores import fit_readings

ENCODER = EncoderConfig(ae_epochs=5, encoder_threads=1)


@pytest.fixture(scope="module")
def encoders(shared_cache: Path) -> tuple[LatentData, LatentData]:
    """Digits by two encoders that differ in their seed."""
    other = dataclasses.replace(ENCODER, encoder_seed=1)
    own, another = (prepare_latents(DataConfig(), e, shared_cache / "cross", print) for e in (ENCODER, other))
    return own, another


def prototypes(data: LatentData) -> DistilledSet:
    """One point a class that no image has."""
    y = torch.arange(len(data.class_names))
    return DistilledSet(torch.stack([data.train_x[data.train_y == c].mean(0) for c in y]), y)


def test_with_its_own_encoder_it_is_the_round_trip(encoders: tuple[LatentData, LatentData]) -> None:
    data, _ = encoders
    distilled = prototypes(data)
    probe = fit_cross_probe(decoded_images(distilled, data), distilled.targets(10), data)
    roundtrip = fit_readings(distilled, data).roundtrip
    assert roundtrip is not None
    assert torch.equal(probe.weights, roundtrip.weights) and probe.l2 == roundtrip.l2


def test_another_encoder_reads_what_images_show(encoders: tuple[LatentData, LatentData]) -> None:
    data, other = encoders
    distilled = prototypes(data)
    probe = fit_cross_probe(decoded_images(distilled, data), distilled.targets(10), other)
    found = accuracy(probe.predict(other.selection_x), other.selection_y)
    # Far from chance there, while the same weights mean nothing to the encoder that made the points.
    assert found > 0.5
    assert accuracy(probe.predict(data.selection_x), data.selection_y) < 0.3
    turned = fit_cross_probe(decoded_images(distilled, data), one_hot((distilled.y + 1) % 10, 10), other)
    assert accuracy(turned.predict(other.selection_x), other.selection_y) < 0.1


def test_real_points_are_read_as_the_other_encoder_has_them(
    encoders: tuple[LatentData, LatentData], tmp_path: Path
) -> None:
    """The images of selected rows, encoded again, are the other encoder's own latents of these rows."""
    _, other = encoders
    rows = torch.arange(0, 800, 40)
    real = load_real_images(DataConfig(), tmp_path, print)
    assert other.codec is not None
    with torch.no_grad():
        encoded = other.codec.encode(real_images(real.at(rows.numpy())))
    torch.testing.assert_close(encoded, other.train_x[rows], rtol=2e-3, atol=2e-3)  # a GPU's TF32
