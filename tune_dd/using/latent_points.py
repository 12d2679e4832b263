"""One set of an artefact file, with what it takes to learn from it and to see it."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainables.errors import InputError, nearest_name
from trainables.latent.artifacts import Artifacts, load_artifacts
from trainables.latent.cache import default_cache
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.latents import LatentData, code_version, open_latents
from trainables.schema import flag_name
from tune_dd.sweeps.plurals import counted


@dataclass(frozen=True)
class LatentPoints:
    """A few labelled points in the standardised latent space of an encoder.

    Attributes:
        file: where they came from.
        name: of the set in that file: its method, or its control's name.
        learned: whether a method learned them; otherwise they are a control.
        distilled: points and labels as stored.
        class_names: names by class index.
        config: every setting of the run, flat.
        provenance: what the run knew of its data and its encoder.
        others: names of the further sets in the file, learned ones first.
        by_default: whether it is the file's set where none is named.
    """

    file: Path
    name: str
    learned: bool
    distilled: DistilledSet
    class_names: tuple[str, ...]
    config: dict[str, Any]
    provenance: dict[str, Any]
    others: tuple[str, ...]
    by_default: bool

    @property
    def x(self) -> Tensor:
        """(n, d) float32 latents."""
        return self.distilled.x

    @property
    def y(self) -> Tensor:
        """Labels as ``cross_entropy`` takes them: (n,) int64 classes, or of soft ones (n, C) float32."""
        soft = self.distilled.soft_labels
        return self.distilled.y if soft is None else soft

    @property
    def encoder_key(self) -> str | None:
        """The name of its encoder and latents in a cache; ``None`` where the file does not tell."""
        recorded = self._recorded_entry
        return None if recorded is None else recorded.name

    @property
    def _recorded_entry(self) -> Path | None:
        """The entry of the cache that the run used, perhaps on another machine."""
        split_file = self.provenance.get("split_file")
        return Path(split_file).parent if isinstance(split_file, str) else None

    def open_latents(self, cache: Path | None = None) -> LatentData:
        """The encoder that the points were made for, and the real latents that a search sees.

        Args:
            cache: the folder of encoders (default: the user's, then the one that the run used).

        Raises:
            InputError: the encoder is not there.

        Warns:
            UserWarning: it was trained by another version of the code, which may decode otherwise.
        """
        entry = self._recorded_entry
        if entry is None:
            raise InputError(
                f"{self.file} does not tell its encoder", "that is found by its key", "distil the set again"
            )
        caches = [default_cache(), entry.parents[1]] if cache is None else [cache.expanduser()]
        same_code = self.provenance.get("code_version") == code_version()
        for place in caches:
            found = open_latents(entry.name, place)
            if found is not None:
                if not same_code:
                    warnings.warn(
                        f"the encoder of {self.file} is of another version of tune-dd: images may differ",
                        stacklevel=2,
                    )
                return found
        again = f"train it again by: {self.encoder_command()}" if same_code else "distil the set again"
        raise InputError(
            f"the encoder of {self.file}, {entry.name}, is not in {' or '.join(map(str, caches))}",
            "decoder and real latents lie there",
            f"name the cache folder that has it (--cache DIR), or {again}",
        )

    def encoder_command(self) -> str:
        """What trains the same encoder again."""
        words = ["tune-dd", "distill", "--name", "again"]
        own_root = self.config.get("dataset") in ("cifar10", "cifar100")
        for declared in (*fields(DataConfig), *fields(EncoderConfig)):
            value = self.config.get(declared.name, declared.default)
            if value == declared.default or (declared.name in ("data_root", "download") and not own_root):
                continue
            flag = flag_name(declared.name)
            words += [f"--no-{flag[2:]}"] if value is False else [flag, str(value)]
        return shlex.join(words)


def open_points(file: Path, name: str | None = None) -> LatentPoints:
    """Open one set of an artefact file.

    Args:
        name: of the set; may be left out where one set alone was learned.

    Raises:
        InputError: the file cannot be read, there is no such set, or it must be named.
    """
    artifacts = load_artifacts(file)
    learned = [known for known in artifacts.sets if known in artifacts.prototype_state]
    controls = [known for known in artifacts.sets if known not in learned]
    if name is None:
        if len(learned) != 1:
            raise InputError(
                f"{file} holds {_listed(learned, 'learned set')} and {_listed(controls, 'control')}",
                "one of them must be named",
                f"add --set {(learned + controls or ['NAME'])[0]}, for example",
            )
        name = learned[0]
    if name not in artifacts.sets:
        raise InputError(f"--set is '{name}'", f"{file} has no such set", nearest_name(name, artifacts.sets))
    _check(file, name, artifacts)
    return LatentPoints(
        file,
        name,
        name in learned,
        artifacts.sets[name],
        artifacts.class_names,
        artifacts.config,
        artifacts.provenance,
        tuple(known for known in (*learned, *controls) if known != name),
        by_default=learned == [name],
    )


def _listed(names: Sequence[str], one: str) -> str:
    return counted(len(names), one) + (f" ({', '.join(names)})" if names else "")


def _check(file: Path, name: str, artifacts: Artifacts) -> None:
    """Hold the tensors of a set against what every set is, before anything relies on it.

    Raises:
        InputError: the file was changed, or the run diverged.
    """
    found, classes = artifacts.sets[name], len(artifacts.class_names)
    x, y, soft, rows = found.x, found.y, found.soft_labels, found.indices
    whole = isinstance(x, Tensor) and isinstance(y, Tensor) and x.ndim == 2 and len(x) > 0
    whole = whole and x.dtype == torch.float32 and y.dtype == torch.int64 and y.shape == x.shape[:1]
    whole = whole and int(y.min()) >= 0 and int(y.max()) < classes
    whole = whole and (soft is None or (isinstance(soft, Tensor) and soft.shape == (len(x), classes)))
    whole = whole and (rows is None or (isinstance(rows, Tensor) and rows.shape == y.shape))
    if not whole:
        raise InputError(
            f"{file} is damaged (the set '{name}' has other tensors)",
            "a set has a latent, a class and perhaps probabilities a point",
            "restore it from a copy",
        )
    if not x.isfinite().all():
        raise InputError(
            f"the set '{name}' of {file} is not finite", "it must be", "its run diverged: name another set"
        )
