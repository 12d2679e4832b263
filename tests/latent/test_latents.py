"""Prepared latents: what they hold, what their key covers, and how cheaply they open."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.datasets import load_train_pool
from trainables.latent.latents import LatentData, cached_key, open_latents, prepare_latents, save_split
from trainables.latent.minibatches import to_images

ROOT = Path(__file__).parent.parent.parent
QUICK = EncoderConfig(ae_epochs=1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def digits(cache: Path) -> LatentData:
    return prepare_latents(DataConfig(), QUICK, cache, print)


def test_parts_have_their_sizes(digits: LatentData) -> None:
    sizes = [len(part) for part in (digits.train_x, digits.reward_x, digits.selection_x)]
    assert sizes == [900, 150, 150] == [len(p) for p in (digits.train_y, digits.reward_y, digits.selection_y)]
    assert digits.train_x.dtype == torch.float32
    assert digits.train_y.dtype == torch.int64
    assert digits.class_names == tuple("0123456789")
    assert digits.provenance["split_sizes"] == {"train": 900, "reward": 150, "selection": 150}


def test_training_statistics_standardise(digits: LatentData) -> None:
    torch.testing.assert_close(digits.train_x.mean(0), torch.zeros(32), atol=1e-5, rtol=0)
    torch.testing.assert_close(digits.train_x.std(0, correction=0), torch.ones(32), atol=1e-4, rtol=0)


def test_the_codec_gives_the_latents_again(digits: LatentData, cache: Path) -> None:
    assert digits.codec is not None
    pool = load_train_pool(DataConfig(), cache, print)
    with np.load(str(digits.provenance["split_file"])) as split:
        rows = split["selection"]
    np.testing.assert_array_equal(pool.labels[rows], digits.selection_y)
    again = digits.codec.encode(to_images(torch.from_numpy(pool.items[rows])))
    # A GPU convolves in TF32: ten bits of each factor.
    torch.testing.assert_close(again, digits.selection_x, atol=2e-3, rtol=2e-3)
    points = digits.train_x[:2].clone().requires_grad_()
    digits.codec.encode(digits.codec.decode(points)).sum().backward()  # type: ignore[no-untyped-call]
    assert points.grad is not None
    assert digits.codec.image_shape == (1, 8, 8)


def test_writing_to_a_tensor_leaves_the_cache_alone(digits: LatentData, cache: Path) -> None:
    mine = prepare_latents(DataConfig(), QUICK, cache, print)
    mine.train_x[0] = 1e9
    assert float(prepare_latents(DataConfig(), QUICK, cache, print).train_x[0].max()) < 1e3


def test_an_entry_opens_by_its_key(digits: LatentData, cache: Path) -> None:
    assert cached_key(DataConfig(), QUICK, cache, print) == digits.key
    opened = open_latents(digits.key, cache)
    assert opened is not None
    assert torch.equal(opened.selection_x, digits.selection_x)
    assert open_latents("0" * 32, cache) is None


@pytest.mark.parametrize(
    ("data", "encoder"),
    [
        (DataConfig(split_seed=1), QUICK),
        (DataConfig(val_fraction=0.3), QUICK),
        (DataConfig(), EncoderConfig(ae_epochs=2)),
        (DataConfig(), EncoderConfig(ae_epochs=1, encoder_seed=1)),
        (DataConfig(), EncoderConfig(ae_epochs=1, latent_dim=8)),
        (DataConfig(), EncoderConfig(ae_epochs=1, cycle_weight=0.0)),
        (DataConfig(), EncoderConfig(ae_epochs=1, backbone="resnet18")),
    ],
)
def test_the_key_covers_what_matters(data: DataConfig, encoder: EncoderConfig, cache: Path) -> None:
    assert cached_key(data, encoder, cache, print) != cached_key(DataConfig(), QUICK, cache, print)


@pytest.mark.parametrize(
    "encoder",
    [
        EncoderConfig(ae_epochs=1, encoder_threads=3),
        EncoderConfig(ae_epochs=1, device="cpu"),
        EncoderConfig(
            ae_epochs=1, latent_dim=32, augment="shift", training="full"
        ),  # the defaults, spelt out
    ],
)
def test_the_key_leaves_out_what_does_not(encoder: EncoderConfig, cache: Path) -> None:
    assert cached_key(DataConfig(), encoder, cache, print) == cached_key(DataConfig(), QUICK, cache, print)


def test_the_key_covers_the_content_of_a_weights_file(cache: Path, tmp_path: Path) -> None:
    keys = []
    for content in (b"one", b"two!", b"one"):
        (tmp_path / "w.pt").write_bytes(content)
        encoder = EncoderConfig(backbone="resnet18", weights=str(tmp_path / "w.pt"))
        keys.append(cached_key(DataConfig(), encoder, cache, print))
    assert keys[0] == keys[2] != keys[1]


OPENS = """
import json, sys, time
import numpy, torch
from pathlib import Path
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.latents import prepare_latents
start = time.process_time()
data = prepare_latents(DataConfig(), EncoderConfig(ae_epochs=1), Path(sys.argv[1]), print)
seconds = time.process_time() - start
heavy = {name.partition(".")[0] for name in sys.modules}
heavy &= {"torchvision", "sklearn", "PIL", "matplotlib", "pandas", "scipy", "ray"}
print(json.dumps([seconds, sorted(heavy), len(data.train_x)]))
"""


def test_opening_is_quick_and_light(digits: LatentData, cache: Path) -> None:
    least = math.inf
    for _ in range(5):  # a busy machine makes some of them slow; what is slow by itself is so every time
        done = subprocess.run(
            [sys.executable, "-c", OPENS, str(cache)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        seconds, heavy, n = json.loads(done.stdout)  # one line: nothing was reported, so nothing was built
        assert heavy == []
        assert n == 900
        least = min(least, seconds)
        if least < 0.1:
            break
    assert least < 0.1


def test_the_split_is_saved_with_its_hash(digits: LatentData, tmp_path: Path) -> None:
    save_split(digits, tmp_path / "split.npz")
    with np.load(tmp_path / "split.npz") as saved:
        labels = load_train_pool(DataConfig(), tmp_path, print).labels
        parts = {"train": digits.train_y, "reward": digits.reward_y, "selection": digits.selection_y}
        for name, y in parts.items():
            np.testing.assert_array_equal(labels[saved[name]], y)
        assert sorted(np.concatenate([saved[name] for name in parts])) == list(range(1200))
        assert str(saved["digest"]) == digits.provenance["split_digest"]
    assert [path.name for path in tmp_path.iterdir()] == ["split.npz"]


def test_a_damaged_encoder_is_trained_again(tmp_path: Path) -> None:
    first = prepare_latents(DataConfig(), QUICK, tmp_path, print)
    file = tmp_path / "latents" / first.key / "train_x.npy"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="damaged") as caught:
        again = prepare_latents(DataConfig(), QUICK, tmp_path, print)
    assert len(caught) == 1
    assert len(again.train_x) == 900
    assert again.provenance["split_digest"] == first.provenance["split_digest"]


TRAINS = """
import sys
from pathlib import Path
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.latents import prepare_latents
report = lambda line: print(line, flush=True)
print(prepare_latents(DataConfig(), EncoderConfig(ae_epochs=3), Path(sys.argv[1]), report).key)
"""


def test_two_processes_train_one_encoder(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TRAINS, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert sum("training the conv encoder" in output for output in outputs) == 1
    assert len({output.splitlines()[-1] for output in outputs}) == 1
