"""Opens a distilled set of either kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trainables.environment.distilled_set import DistilledSet, load_distilled_set
from trainables.errors import InputError
from trainables.latent.artifacts import KIND
from trainables.tensor_files import load_tensors
from tune_dd.using.finding import SET_FILES
from tune_dd.using.latent_points import LatentPoints, open_points


def open_set(file: Path, name: str | None = None, encoder: Path | None = None) -> LatentPoints | DistilledSet:
    """Open a set by what its file holds.

    Args:
        name: of one of several sets of latents.
        encoder: a file with a game's encoder, where that is one of its own.

    Raises:
        InputError: the file cannot be read or is no set; there is no such set in it, or several; or it is of
            the other kind than an argument is for.
    """
    content = load_tensors(file)
    content = content if isinstance(content, Mapping) else {}
    if content.get("kind") == KIND:
        if encoder is not None:
            raise InputError(
                f"--encoder is {encoder}",
                f"{file} has latents, whose encoder is in the cache",
                "leave it out",
            )
        return open_points(file, name)
    if "x" not in content and "distiller" not in content:
        raise InputError(
            f"{file} is no distilled set",
            f"it must be what a distillation wrote ({' or '.join(SET_FILES)}), or of the method's authors",
            "check the path",
        )
    distilled = load_distilled_set(file, encoder)
    if name is not None:
        raise InputError(f"--set is '{name}'", f"{file} holds one set, of an environment", "leave it out")
    return distilled
