"""Precomputed features: both formats, the held-out part, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainables.errors import InputError
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.datasets import load_test_pool, load_train_pool
from trainables.latent.latents import prepare_latents

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 6)).astype(np.float32)
Y = np.arange(100) % 4


def config(train: Path, test: Path | None = None) -> DataConfig:
    return DataConfig(
        dataset="features", features_train=str(train), features_test=None if test is None else str(test)
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_both_formats_hold_the_same(tmp_path: Path, dtype: type) -> None:
    values = (X * 8).astype(dtype)
    np.savez(tmp_path / "f.npz", features=values, labels=Y)
    np.save(tmp_path / "f.npy", values)
    np.save(tmp_path / "f.labels.npy", Y)
    pools = [load_train_pool(config(tmp_path / name), tmp_path, print) for name in ("f.npz", "f.npy")]
    np.testing.assert_array_equal(pools[0].items, pools[1].items)
    assert pools[0].fingerprint == pools[1].fingerprint
    assert pools[0].items.dtype == np.float32


def test_a_fifth_is_held_out_and_the_rest_kept(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", features=X, labels=Y)
    kept = load_train_pool(config(tmp_path / "f.npz"), tmp_path, print)
    held = load_test_pool(config(tmp_path / "f.npz"), tmp_path, print)
    assert (len(kept.items), len(held.items)) == (80, 20)
    np.testing.assert_array_equal(np.bincount(held.labels), [5, 5, 5, 5])
    rows = {row.tobytes() for row in [*kept.items, *held.items]}
    assert rows == {row.tobytes() for row in X}


def test_a_test_file_leaves_the_training_file_whole(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", features=X, labels=Y)
    np.savez(tmp_path / "t.npz", features=X[:12], labels=Y[:12])
    both = config(tmp_path / "f.npz", tmp_path / "t.npz")
    assert len(load_train_pool(both, tmp_path, print).items) == 100
    assert len(load_test_pool(both, tmp_path, print).items) == 12


def test_labels_may_be_names(tmp_path: Path) -> None:
    names = np.array(["cat", "dog", "ant", "bee"])[Y]
    np.savez(tmp_path / "f.npz", features=X, labels=names)
    pool = load_train_pool(config(tmp_path / "f.npz"), tmp_path, print)
    assert pool.class_names == ("ant", "bee", "cat", "dog")


def test_latents_of_features_are_the_features_standardised(tmp_path: Path) -> None:
    values = X * 3 + 100
    values[:, 2] = 7.0  # says nothing, and must not become infinite
    np.savez(tmp_path / "f.npz", features=values, labels=Y)
    encoder = EncoderConfig(backbone="identity")
    data = prepare_latents(config(tmp_path / "f.npz"), encoder, tmp_path, print)
    assert data.codec is None
    moving = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(data.train_x[:, moving].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(data.train_x[:, moving].std(0, correction=0), 1, atol=1e-4)
    np.testing.assert_array_equal(data.train_x[:, 2], 0)


def spoiled(tmp_path: Path, case: str) -> Path:
    path = tmp_path / "bad.npz"
    nan = X.copy()
    nan[3, 3] = np.nan
    contents = {
        "no labels": {"features": X},
        "short labels": {"features": X, "labels": Y[:50]},
        "float labels": {"features": X, "labels": Y.astype(float)},
        "one class": {"features": X, "labels": np.zeros(100, int)},
        "three axes": {"features": X[..., None], "labels": Y},
        "not numbers": {"features": X.astype(str), "labels": Y},
        "objects": {"features": X.astype(object), "labels": Y},
        "object labels": {"features": X, "labels": Y.astype(object)},
        "complex": {"features": X.astype(complex), "labels": Y},
        "not finite": {"features": nan, "labels": Y},
        "huge": {"features": X.astype(float) * 1e200, "labels": Y},
        "no rows": {"features": X[:0], "labels": Y[:0]},
    }
    if case in contents:
        np.savez(path, **contents[case])  # type: ignore[arg-type]
    elif case == "corrupt":
        path.write_bytes(b"PK\x03\x04 and then nothing")
    elif case == "text":
        path.write_text("1 2 3")
    elif case == "suffix":
        path = tmp_path / "bad.csv"
        path.write_text("1,2")
    elif case == "no label file":
        path = tmp_path / "bad.npy"
        np.save(path, X)
    return path


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no labels", "has no array 'labels'"),
        ("short labels", r"must be integers or names of shape \(100,\)"),
        ("float labels", "must be integers or names"),
        ("one class", "one class only"),
        ("three axes", r"of shape \(100, 6, 1\).*flatten"),
        ("not numbers", "must be real numbers.*convert"),
        ("complex", "must be real numbers.*convert"),
        ("objects", r"Python objects.*convert it"),
        ("object labels", r"Python objects.*labels.astype\(str\)"),
        ("not finite", "not finite numbers"),
        ("huge", r"holds [0-9.]+e\+200.*float32, up to 3.4e\+38"),
        ("no rows", r"of shape \(n, d\).*give one row or more"),
        ("text", "it is no file of numpy's"),
        ("corrupt", "cannot be read"),
        ("suffix", "ends in '.csv'"),
        ("no label file", r"bad.labels.npy cannot be read \(No such file"),
        ("missing", "No such file"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, case: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_train_pool(config(spoiled(tmp_path, case)), tmp_path / "cache", print)
    assert not list((tmp_path / "cache").glob("features/*"))
