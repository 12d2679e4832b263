"""The one door to test data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.latent.conftest import MakeImages
from trainables.errors import InputError
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.test_access import open_test_latents


def test_each_access_is_written_down_and_latents_repeat(tmp_path: Path) -> None:
    encoder = EncoderConfig(ae_epochs=1)
    log = tmp_path / "results" / "test_access.jsonl"
    first, again = (
        open_test_latents(DataConfig(), encoder, tmp_path / "cache", print, log=log, reason=reason)
        for reason in ("once", "twice")
    )
    assert first.x.shape == (597, 32)
    assert first.items.shape == (597, 8, 8, 1)
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.y, again.y)
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert [record["reason"] for record in records] == ["once", "twice"]
    assert records[0].keys() >= {"time", "command", "dataset", "data_fingerprint", "key"}


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(1 << 12))


def test_without_a_log_nothing_is_read(make_images: MakeImages, tmp_path: Path) -> None:
    data = DataConfig(dataset="custom", custom_train_dir=str(make_images()))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="log of test accesses"):
        open_test_latents(
            data,
            EncoderConfig(ae_epochs=1),
            tmp_path / "cache",
            print,
            log=tmp_path / "file" / "log",
            reason="",
        )
    assert len(list((tmp_path / "cache" / "images").iterdir())) == 1  # the training part alone


def test_a_log_on_a_full_disk_keeps_no_half_line(small_disk: Callable[[str], Path], tmp_path: Path) -> None:
    disk = small_disk("64k")
    log = disk / "log"
    whole = b'{"reason": "an earlier one"}\n' * 140  # within a block, whose rest is too small for a line
    log.write_bytes(whole)
    with pytest.raises(OSError, match="No space left"):
        fill(disk)
    with pytest.raises(OSError, match=f"No space left.*{log}"):
        open_test_latents(
            DataConfig(), EncoderConfig(ae_epochs=1), tmp_path / "cache", print, log=log, reason="a full disk"
        )
    assert log.read_bytes() == whole


def test_features_are_standardised_as_the_training_part_was(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(5, 3, (100, 4)).astype(np.float32), np.arange(100) % 2
    np.savez(tmp_path / "f.npz", features=features, labels=labels)
    np.savez(tmp_path / "t.npz", features=features[:10] + 3, labels=labels[:10])
    np.savez(tmp_path / "narrow.npz", features=features[:10, :3], labels=labels[:10])
    np.savez(tmp_path / "strange.npz", features=features[:10], labels=labels[:10] + 1)
    encoder = EncoderConfig(backbone="identity")

    def door(name: str) -> torch.Tensor:
        data = DataConfig(
            dataset="features",
            features_train=str(tmp_path / "f.npz"),
            features_test=str(tmp_path / name),
        )
        return open_test_latents(data, encoder, tmp_path, print, log=tmp_path / "log", reason="").x

    shifted = door("t.npz")
    assert abs(float(shifted.mean()) - 1.0) < 0.5  # 3 is one deviation of the training features
    with pytest.raises(InputError, match="features of size 3"):
        door("narrow.npz")
    with pytest.raises(InputError, match="the same classes"):
        door("strange.npz")
