"""A distilled set as tensors and as arrays: each file is written whole or not at all."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from trainables.environment.distilled_set import DistilledSet
from trainables.environment.learners import Parameters
from trainables.tensor_files import save_tensors
from trainables.whole_files import sha256_of, whole_file
from tune_dd.using.latent_points import LatentPoints

_CONVOLUTIONS = 3


def save_points(path: Path, points: LatentPoints) -> None:
    """Write latents and labels as tensors that ``torch.load(weights_only=True)`` opens.

    The file holds ``x`` (n, d) float32, ``y`` (n,) int64, where they are known ``soft_labels`` (n, C) float32
    and ``indices`` (n,) int64 (rows of the training latents), ``class_names``, and ``about``: settings, data
    hashes and the file they are from.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    content = {**_tensors(points), "class_names": list(points.class_names), "about": about(points)}
    save_tensors(path, content)


def save_points_npz(path: Path, points: LatentPoints) -> None:
    """The same as arrays, ``about`` as JSON; opens without pickle.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in _tensors(points).items()}
    arrays["class_names"] = np.array(points.class_names)
    arrays["about"] = np.array(json.dumps(about(points)))
    with whole_file(path) as stream:
        np.savez(stream, **arrays)


def save_environment_npz(path: Path, distilled: DistilledSet) -> None:
    """A distilled environment as arrays, under the names of :class:`DistilledSet`; opens without pickle.

    What the set does not have is left out; each tensor of an encoder is ``encoder_<name>``, (1, ...).

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    found = {declared.name: getattr(distilled, declared.name) for declared in fields(distilled)}
    encoder = found.pop("encoder") or {}
    found |= {f"encoder_{name}": tensor for name, tensor in encoder.items()}
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in found.items() if value is not None}
    with whole_file(path) as stream:
        np.savez(stream, **arrays)


def save_authors_layout(path: Path, distilled: DistilledSet, encoder: Path | None) -> None:
    """A distilled environment as the method's authors store theirs: an encoder has a file of its own.

    What they know nothing of (see :func:`unknown_to_authors`) stands beside, as in our files.

    Args:
        path: of the set.
        encoder: of its encoder, where the set has one.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    if distilled.encoder:
        assert encoder is not None
        save_tensors(encoder, _authors_encoder(distilled.encoder))
    replace(distilled, encoder=None).save(path)


def unknown_to_authors(distilled: DistilledSet) -> list[str]:
    """Entries that a set needs and that the authors' code does not read."""
    found = ["mean", "variance"] if distilled.mean is not None else []
    found += ["loss"] if distilled.loss != DistilledSet.loss else []
    return found + (["inner_steps"] if distilled.inner_steps != DistilledSet.inner_steps else [])


def _authors_encoder(encoder: Parameters) -> dict[str, Tensor]:
    """As their modules name and turn them; no file of theirs shows what they call the dense layer."""
    layers = len(encoder) // 2
    named = {}
    for i in range(layers):
        place = f"{2 * i}" if layers < _CONVOLUTIONS else f"convs.{2 * i}" if i < _CONVOLUTIONS else "fc"
        weight, bias = encoder[f"weight{i}"][0], encoder[f"bias{i}"][0]
        # Torch's linear layers are (outputs, inputs). A view would be saved with all of its storage.
        named[f"{place}.weight"] = (weight.T if weight.ndim == 2 else weight).detach().contiguous().clone()
        named[f"{place}.bias"] = bias.detach().clone()
    return named


def _tensors(points: LatentPoints) -> dict[str, Tensor]:
    found = points.distilled
    every = {"x": found.x, "y": found.y, "soft_labels": found.soft_labels, "indices": found.indices}
    return {name: tensor for name, tensor in every.items() if tensor is not None}


def about(points: LatentPoints) -> dict[str, Any]:
    """What a set was made of and from what file it comes; JSON-serialisable."""
    return {
        "set": points.name,
        "learned": points.learned,
        "file": str(points.file),
        "sha256": sha256_of(points.file),
        "config": points.config,
        "provenance": points.provenance,
    }
