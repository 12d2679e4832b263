"""Training an encoder: it learns, repeats itself bit for bit, and says when it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.latent.conftest import MakeImages
from trainables.errors import InputError
from trainables.latent.compute import choose_compute
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.latents import LatentData, prepare_latents
from trainables.latent.minibatches import augment, shuffled
from trainables.seeds import generator


def prepare(
    make_images: MakeImages, cache: Path, lines: list[str] | None = None, **encoder: object
) -> LatentData:
    root = cache.parent / "images"
    if not root.exists():
        make_images("images", per_class=(60, 60))
    data = DataConfig(dataset="custom", custom_train_dir=str(root))
    report = (lines if lines is not None else []).append
    return prepare_latents(data, EncoderConfig(**encoder), cache, report)  # type: ignore[arg-type]


def test_it_learns_classes_and_images(make_images: MakeImages, tmp_path: Path, lines: list[str]) -> None:
    data = prepare(make_images, tmp_path / "cache", lines, ae_epochs=25, ae_batch_size=16)
    training = data.provenance["training"]
    assert isinstance(training, dict)
    assert training["head_accuracy"] > 0.9
    assert training["reconstruction"] < 0.5
    assert "epoch 25.0/25" in lines[-1]
    assert "accuracy" in lines[-1]


def test_on_a_cpu_the_same_settings_give_the_same_bits(make_images: MakeImages, tmp_path: Path) -> None:
    first, again, other = (
        prepare(make_images, tmp_path / name, ae_epochs=2, encoder_seed=seed, device="cpu")
        for name, seed in (("one", 0), ("two", 0), ("three", 1))
    )
    assert first.key == again.key != other.key
    for name in ("train_x", "reward_x", "selection_x"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not torch.equal(first.train_x, other.train_x)
    assert (tmp_path / "one/latents" / first.key / "encoder.pt").read_bytes() == (
        tmp_path / "two/latents" / first.key / "encoder.pt"
    ).read_bytes()


def test_divergence_is_one_line_and_not_cached(make_images: MakeImages, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"stopped being a number.*lower --ae-lr"):
        prepare(make_images, tmp_path / "cache", ae_epochs=3, ae_lr=1e30)
    assert not list((tmp_path / "cache").glob("latents/*"))


def test_decoder_and_encoder_agree(make_images: MakeImages, tmp_path: Path) -> None:
    """The cycle term at work: without it, decoding and encoding again moves latents further."""
    errors = []
    for weight in (0.0, 1.0):
        data = prepare(make_images, tmp_path / "cache", ae_epochs=25, ae_batch_size=16, cycle_weight=weight)
        assert data.codec is not None
        with torch.no_grad():
            again = data.codec.encode(data.codec.decode(data.reward_x))
        errors.append(float((again - data.reward_x).square().mean()))
    assert errors[1] < 0.8 * errors[0]


@pytest.mark.parametrize("backbone", ["resnet18", "vit_b_16"])
def test_a_frozen_backbone_trains_what_comes_after_it(
    make_images: MakeImages, tmp_path: Path, backbone: str
) -> None:
    from torchvision import models

    torch.manual_seed(0)
    network = models.resnet18() if backbone == "resnet18" else models.vit_b_16(image_size=32)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    data = prepare(
        make_images,
        tmp_path / "cache",
        backbone=backbone,
        weights=str(tmp_path / "w.pt"),
        backbone_size=32,
        ae_epochs=10,
        ae_batch_size=16,
    )
    training = data.provenance["training"]
    assert isinstance(training, dict)
    assert training["head_accuracy"] > 0.9  # brightness survives even random features
    assert not (tmp_path / "cache/latents" / data.key / "features.npy").exists()
    assert data.codec is not None
    images = data.codec.decode(data.train_x[:3])
    assert images.shape == (3, 3, 12, 12)


def test_resnet18_trains_end_to_end(make_images: MakeImages, tmp_path: Path) -> None:
    data = prepare(make_images, tmp_path / "cache", backbone="resnet18", backbone_size=32, ae_epochs=1)
    assert torch.isfinite(data.train_x).all()


@pytest.mark.parametrize(
    ("device", "words"),
    [("cuda", "GPUs"), ("cuda:99", "GPUs"), ("gpu", "is not known"), ("meta", "only CPUs and CUDA")],
)
def test_devices_that_are_not_there(device: str, words: str) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one here")
    with pytest.raises(InputError, match=words):
        choose_compute(EncoderConfig(device=device), 64)


def test_small_images_get_one_thread() -> None:
    assert choose_compute(EncoderConfig(device="cpu"), 64).threads == 1
    assert choose_compute(EncoderConfig(device="cpu", encoder_threads=3), 64).threads == 3
    with choose_compute(EncoderConfig(device="cpu", encoder_threads=2), 64).with_threads():
        assert torch.get_num_threads() == 2


def test_augmentation_shifts_and_flips_within_its_reach() -> None:
    image = torch.arange(16 * 16, dtype=torch.uint8).reshape(1, 16, 16, 1)
    shifted = augment(image.expand(200, -1, -1, -1), "shift", generator(0))
    centres = {
        tuple((shifted[i, 5:11, 5:11, 0] - image[0, 5:11, 5:11, 0]).unique().tolist()) for i in range(200)
    }
    assert len(centres) == 25  # 5 x 5 shifts of up to 2 pixels, each one constant over the middle
    assert all(len(values) == 1 for values in centres)
    flipped = augment(image.expand(200, -1, -1, -1), "shift-flip", generator(0))
    rising = (flipped[:, 8, 8, 0].int() - flipped[:, 8, 7, 0].int()) > 0
    assert 60 < int(rising.sum()) < 140
    assert augment(image, "none", generator(0)) is image


def test_batches_cover_the_rows_once() -> None:
    rows = np.arange(100, 150)
    batches = list(shuffled(rows, 8, generator(0)))
    assert [len(batch) for batch in batches] == [8] * 6
    assert len(set(np.concatenate(batches))) == 48
    assert [len(batch) for batch in shuffled(rows[:5], 8, generator(0))] == [5]


@pytest.mark.parametrize(("first", "several"), [("trainables.latent.compute", True), ("torch", False)])
def test_threads_are_many_only_where_they_wait_passively(first: str, several: bool) -> None:
    program = (
        f"import {first}; from trainables.latent.compute import *; "
        "print(choose_compute(EncoderConfig(device='cpu'), 1024).threads)"
    )
    env = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    env["PYTHONPATH"] = str(Path(__file__).parent.parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == (min(8, os.cpu_count() or 1) if several else 1)
