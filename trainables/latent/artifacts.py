"""``distillation_artifacts.pt``: a run's distilled sets and what is needed to use or resume them.

Tensors, numbers, strings and plain containers alone, so that ``torch.load(weights_only=True)`` opens
it anywhere, with torch and nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainables.errors import InputError
from trainables.latent.distilled_set import DistilledSet
from trainables.tensor_files import load_tensors, save_tensors

SCHEMA_VERSION = 1
"""Raised when a file of the former version can no longer be read as it stands."""

ARTIFACTS_FILE = "distillation_artifacts.pt"
KIND = "tune-dd latent distillation"
"""What such a file calls itself, under ``kind``."""


@dataclass(frozen=True)
class Artifacts:
    """What the file holds.

    Attributes:
        config: every setting, flat (see ``LatentConfig.flat``).
        class_names: names by class index.
        sets: distilled sets by name: the learned ones by method, controls by theirs.
        provenance: data hashes, encoder key and versions.
        prototype_state: per learned method, the state its run resumes from.
    """

    config: dict[str, Any]
    class_names: tuple[str, ...]
    sets: dict[str, DistilledSet]
    provenance: dict[str, Any] = field(default_factory=dict)
    prototype_state: dict[str, dict[str, Any]] = field(default_factory=dict)


def save_artifacts(path: Path, artifacts: Artifacts) -> None:
    """Write the file whole or not at all.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    content = {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "config": artifacts.config,
        "class_names": list(artifacts.class_names),
        "sets": {name: _plain_set(distilled) for name, distilled in artifacts.sets.items()},
        "provenance": artifacts.provenance,
        "prototype_state": artifacts.prototype_state,
    }
    save_tensors(path, content)


def _plain_set(distilled: DistilledSet) -> dict[str, Any]:
    fields = {f.name: getattr(distilled, f.name) for f in dataclasses.fields(distilled)}
    # Contiguous copies: a row view of memory-mapped latents would be saved with all of its storage.
    return {name: value.detach().cpu().clone() for name, value in fields.items() if value is not None}


def load_artifacts(path: Path) -> Artifacts:
    """Read the file without unpickling anything but tensors and plain containers.

    Raises:
        InputError: the file is missing, damaged, not one of these, or of a newer schema.
    """
    content = load_tensors(path)
    if not isinstance(content, Mapping) or content.get("kind") != KIND:
        raise InputError(
            f"{path} is not a latent distillation's artefact file",
            f"its kind must be '{KIND}'",
            f"give the {ARTIFACTS_FILE} that a distillation wrote",
        )
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {version}",
            f"this tune-dd reads version {SCHEMA_VERSION}",
            "open it with the version of tune-dd that its summary names",
        )
    try:
        return Artifacts(
            config=dict(content["config"]),
            class_names=tuple(content["class_names"]),
            sets={name: DistilledSet(**tensors) for name, tensors in content["sets"].items()},
            provenance=dict(content["provenance"]),
            prototype_state=dict(content["prototype_state"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged ({error})", "it must be as it was written", "restore it from a copy"
        ) from error
