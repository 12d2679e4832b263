"""What a cluster's sweep trained is at hand where it is looked at afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainables.latent import cache as cache_module
from trainables.latent.cache import get_or_build, share_entries
from trainables.latent.shared_cache import open_shared
from tune_dd.sweeps.latent.kind import LatentKind
from tune_dd.sweeps.latent.settings import LatentSweep


def test_a_sweep_of_a_cluster_brings_its_encoders_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_shared", {})

    def train(folder: Path) -> dict[str, Any]:
        (folder / "encoder").write_text("trained")
        return {}

    def refuse(folder: Path) -> dict[str, Any]:
        raise AssertionError("it is trained again")

    node, storage = tmp_path / "node", tmp_path / "results"
    share_entries(node, open_shared(str(storage / ".cache")), offer=True)
    get_or_build(node, "latents", "0" * 32, train, print, "an encoder")

    config = LatentSweep(name="x", storage=str(storage), address="auto", cache=str(tmp_path / "laptop"))
    kind = LatentKind(config)
    entry = get_or_build(kind.cache, "latents", "0" * 32, refuse, print, "an encoder")
    assert (entry.path / "encoder").read_text() == "trained"
