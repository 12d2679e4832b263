"""The probe trained on all training latents: the ceiling, and the teacher of the soft-label control.

It costs seconds, and every trial of a sweep needs it for its gap, so it is trained once per set of
latents and kept in the cache beside them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainables.latent import newton, probe
from trainables.latent.array_files import write_array
from trainables.latent.cache import content_key, get_or_build
from trainables.latent.latents import LatentData
from trainables.latent.probe import LinearClassifier, fit_probe, one_hot


def full_probe(data: LatentData) -> LinearClassifier:
    """The full-data probe of these latents, trained at the first call and cached from then on.

    Latents without a cache folder (made in memory) have it trained at every call.
    """
    if data.folder is None:
        return _train(data)

    def build(folder: Path) -> dict[str, Any]:
        probe = _train(data)
        write_array(folder / "weights.npy", probe.weights.cpu().numpy())
        return {"l2": probe.l2, "reward_accuracy": probe.reward_accuracy}

    sources = [Path(module.__file__ or "").read_text() for module in (newton, probe)]
    key = content_key({"latents": data.key, "code": sources})
    cache = data.folder.parent.parent  # <cache>/<kind>/<key>
    entry = get_or_build(cache, "probe", key, build, print, "the full-data probe")
    weights = torch.from_numpy(np.load(entry.path / "weights.npy")).to(data.train_x.device)
    return LinearClassifier(weights, entry.meta["l2"], entry.meta["reward_accuracy"])


def _train(data: LatentData) -> LinearClassifier:
    targets = one_hot(data.train_y, len(data.class_names))
    return fit_probe(data.train_x, targets, data.reward_x, data.reward_y)
