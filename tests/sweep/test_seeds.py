"""Seeds are replications of an encoder, which features do not have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tune_dd import search
from tune_dd.sweeps.latent.settings import LatentSweep


def test_features_have_cells_of_one_seed() -> None:
    settings = {"features_train": "features.npz"}
    config = LatentSweep(name="s", datasets=("digits", "features"), seeds=(3, 4), settings=settings)
    assert [str(cell) for cell in config.cells] == [
        "digits/conv/seed3/m1",
        "digits/conv/seed3/m10",
        "digits/conv/seed4/m1",
        "digits/conv/seed4/m10",
        "features/identity/seed3/m1",
        "features/identity/seed3/m10",
    ]


@pytest.mark.parametrize("seeds", ["0 1", "0"])
def test_that_further_seeds_change_nothing_is_said(
    seeds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    np.savez("features.npz", features=x, labels=np.arange(60) % 2)
    words = f"--dry-run --datasets features --features-train features.npz --prototypes 1 --seeds {seeds}"
    assert search.main(words.split()) == 0
    said = capsys.readouterr().out
    assert ("no encoder that --seeds could change: their cells are of seed 0" in said) == (seeds == "0 1")
    assert "features/identity/seed0/m1\n" in said
    assert "seed1" not in said
