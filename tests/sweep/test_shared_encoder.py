"""Two sweeps on one machine that want the same encoder: one trains it, the other waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sweep import sweeps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
WORDS = "--prototypes 2 --ae-epochs 12 --proto-steps-base 8 --num-trials 2 --max-concurrent 1".split()


def test_two_sweeps_at_once_train_their_encoder_once(tmp_path: Path) -> None:
    cache, names = tmp_path / "cache", ("one", "two")
    logs = {name: tmp_path / f"{name}.log" for name in names}
    started = {
        name: sweeps.start(
            tmp_path / "results", "--name", name, "--cache", str(cache), *WORDS, log=logs[name]
        )
        for name in names
    }
    texts = {name: sweeps.finish(started[name], logs[name]) for name in names}
    [entry] = (cache / "latents").iterdir()
    trained = [name for name in names if "training the conv encoder" in texts[name]]
    assert len(trained) == 1, texts
    # The one that trained may have waited as well: both read the data first.
    assert all("another process is at work on it" in texts[name] for name in names if name not in trained)
    keys = set()
    for name in names:
        folder = tmp_path / "results" / name
        sweeps.check_each_trial_once(folder, 2)
        keys.add(sweeps.summary(folder)["data"]["digits/conv/seed0"]["key"])
    assert len(keys) == 1 and not list(cache.glob(".writing-*")), entry
