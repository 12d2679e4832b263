"""Datasets of known content: digits, and CIFAR as far as it goes without a network."""

from __future__ import annotations

import hashlib
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10

from trainables.errors import InputError
from trainables.latent.config import DataConfig
from trainables.latent.datasets import load_test_pool, load_train_pool, pool_facts


def test_digits_are_split_once_and_for_all(tmp_path: Path) -> None:
    train = load_train_pool(DataConfig(), tmp_path, print)
    test = load_test_pool(DataConfig(split_seed=7), tmp_path, print)
    assert train.items.shape == (1200, 8, 8, 1)
    assert test.items.shape == (597, 8, 8, 1)
    assert train.items.max() == 255
    images = np.round(load_digits().images * 255 / 16).astype(np.uint8)
    kept = sorted(item.tobytes() for item in [*train.items, *test.items])
    assert kept == sorted(image.tobytes() for image in images)
    np.testing.assert_array_equal(
        train.items, load_train_pool(DataConfig(split_seed=7), tmp_path, print).items
    )


def test_facts_agree_with_the_data_they_speak_of(tmp_path: Path) -> None:
    facts, pool = pool_facts(DataConfig(), tmp_path, print), load_train_pool(DataConfig(), tmp_path, print)
    assert (facts.n_items, facts.item_shape, facts.fingerprint) == (1200, (8, 8, 1), pool.fingerprint)


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_cifar_that_is_not_there_is_one_line(tmp_path: Path, dataset: str) -> None:
    config = DataConfig(dataset=dataset, data_root=str(tmp_path / "data"), download=False)
    with pytest.raises(InputError, match=r"cannot be had.*put cifar-100?-python\.tar\.gz.*--data-root"):
        load_train_pool(config, tmp_path, print)


def test_a_corrupt_cifar_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(b"not a batch")
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(folder, "cifar-10-batches-py")
    config = DataConfig(dataset="cifar10", data_root=str(tmp_path), download=False)
    with pytest.raises(InputError, match="corrupted"):
        load_train_pool(config, tmp_path, print)


def hand_made_cifar(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Training batches of random images in CIFAR-10's layout, and torchvision told of their digests."""
    folder = root / CIFAR10.base_folder
    folder.mkdir()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)

    def write(name: str, content: object) -> str:
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    batch = {"data": images.reshape(20, -1), "labels": [i % 10 for i in range(20)]}
    meta = {"label_names": [f"kind {i}" for i in range(10)]}
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", write("data_batch_1", batch)]])
    described = {"filename": "batches.meta", "key": "label_names", "md5": write("batches.meta", meta)}
    monkeypatch.setattr(CIFAR10, "meta", described)
    return images


def test_cifar_is_read_without_its_test_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = hand_made_cifar(tmp_path, monkeypatch)
    config = DataConfig(dataset="cifar10", data_root=str(tmp_path), download=False)
    pool = load_train_pool(config, tmp_path, print)  # there is no test_batch to open
    np.testing.assert_array_equal(pool.items, images.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(pool.labels, np.arange(20) % 10)
    assert pool.class_names[3] == "kind 3"
    with pytest.raises(InputError, match="cannot be had"):
        load_test_pool(config, tmp_path, print)
