"""A distilled set in a few lines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import torch
from torch import Tensor

from trainables.environment.distilled_set import DistilledSet
from trainables.errors import InputError
from trainables.whole_files import sha256_of
from tune_dd.runs.score_table import aligned, percent
from tune_dd.sweeps.plurals import counted
from tune_dd.using.exports import unknown_to_authors
from tune_dd.using.finding import facts_beside, part
from tune_dd.using.latent_points import LatentPoints

Rows = list[tuple[str, str]]
_SHORT = 12
"""Letters by which digests are told apart."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MOST_NAMES = 10
_LATENT_VERSIONS = ("tune-dd", "commit", "python", "torch", "numpy", "scikit-learn")
_TASK_VERSIONS = ("tune-dd", "commit", "python", "torch", "gymnasium", "mujoco", "ale-py")


def describe_points(points: LatentPoints, place: str, cache: Path | None) -> str:
    """What a set of latents is, and what can be done with it.

    Args:
        place: what the user called it.
        cache: where its encoder is looked for.

    Warns:
        UserWarning: its summary is damaged, and left out.
    """
    config, known, found = points.config, points.provenance, points.distilled
    source, facts = facts_beside(points.file)
    kind = "learned" if points.learned else "a control"
    real = ", real points of the training part" if found.indices is not None else ""
    rows: Rows = [
        ("set", f"{points.name}, {kind}{real}"),
        ("also", f"{', '.join(points.others)} (--set NAME)" if points.others else ""),
        (
            "data",
            f"{config.get('dataset')}, split {config.get('split_seed')}"
            f" ({str(known.get('split_digest'))[:_SHORT]}), fingerprint "
            f"{str(known.get('data_fingerprint'))[:_SHORT]}",
        ),
        ("encoder", f"{config.get('backbone')}, seed {config.get('encoder_seed')}, key {points.encoder_key}"),
        ("", _encoder_place(points, cache)),
        ("x", f"{_told(found.x)}: standardised latents"),
        ("y", f"{_told(found.y)}: {_classes(points)}"),
        (
            "labels",
            "hard" if found.soft_labels is None else f"soft, {_told(found.soft_labels)} probabilities",
        ),
        *_size(points.file, [found.x, points.y]),
        ("scores", _latent_scores(part(facts, "scores", points.name), source)),
        # Where no summary stands beside it, the file knows those of the encoder.
        ("made", _made(config.get("seed"), facts if "versions" in facts else known, _LATENT_VERSIONS)),
    ]
    own = "" if points.by_default else f" --set {quote(points.name)}"
    formats = "--pt points.pt --npz points.npz"
    formats += " --images points" if config.get("backbone") != "identity" else ""
    name = f", {points.name!r}" if own else ""
    steps = [
        f"tune-dd use {quote(place)}{own} {formats}",
        f"in Python: tune_dd.load_distilled({place!r}{name})",
    ]
    return _lines(rows, steps)


def describe_environment(distilled: DistilledSet, place: str, file: Path, encoder: Path | None) -> str:
    """What a distilled environment is, and what can be done with it.

    Args:
        place: what the user called it.
        file, encoder: where it came from.

    Warns:
        UserWarning: what stands beside it is damaged, and left out.
    """
    source, facts = facts_beside(file)
    config = part(facts, "config")
    task = facts.get("env") or config.get("env")
    seen = "normalised observations" if distilled.mean is not None else "observations as they are"
    steps_told = counted(distilled.inner_steps, "gradient step")
    tensors = [distilled.x, distilled.y, distilled.inner_lr]
    more = (distilled.y_log_std, distilled.mean, distilled.variance, *(distilled.encoder or {}).values())
    rows: Rows = [
        ("set", f"{counted(len(distilled.x), 'state')} for {steps_told}, a distilled environment"),
        ("task", f"{task} (by {source})" if task else "not told: a set does not say what task it is for"),
        ("learners", str(config.get("families", ""))),
        ("x", f"{_told(distilled.x)}: {seen}"),
        ("y", f"{_told(distilled.y)}: {_targets(distilled)}"),
        ("y_log_std", _told(distilled.y_log_std) if distilled.y_log_std is not None else ""),
        ("inner_lr", f"{float(distilled.inner_lr):.6g}, loss {distilled.loss}"),
        ("encoder", f"first layers of the network, {distilled.level}" if distilled.encoder else ""),
        *_size(file, [*tensors, *(tensor for tensor in more if tensor is not None)]),
        ("scores", _returns(facts, source)),
        ("made", _made(facts.get("seed", config.get("seed")), facts, _TASK_VERSIONS)),
    ]
    own = f" --encoder {quote(str(encoder))}" if encoder else ""
    named = f", encoder={str(encoder)!r}" if encoder else ""
    steps = [
        f"tune-dd validate {quote(str(file))} --env {task or 'TASK'}{own}",
        f"tune-dd use {quote(place)}{own} --npz set.npz --pt set.pt",
        f"in Python: tune_dd.load_distilled({place!r}{named})",
    ]
    return _lines(rows, steps)


def authors_remark(distilled: DistilledSet) -> str:
    """What to know of a set in the authors' layout; empty where there is nothing."""
    unknown = unknown_to_authors(distilled)
    return f"  it has {' and '.join(unknown)}, too, which the authors' code does not read" if unknown else ""


def _lines(rows: Rows, steps: list[str]) -> str:
    rows = [row for row in rows if row[1]]
    rows += [("next" if number == 0 else "", step) for number, step in enumerate(steps)]
    return "\n".join(aligned(rows, left=(0, 1)))


def _told(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _size(file: Path, tensors: list[Tensor]) -> Rows:
    held = sum(tensor.nbytes for tensor in tensors)
    return [
        ("bytes", f"{held:,} of tensors; {file.stat().st_size:,} of the file"),
        ("file", str(file)),
        ("sha256", sha256_of(file)),
    ]


def _classes(points: LatentPoints) -> str:
    """How many points each class has."""
    counts = torch.bincount(points.distilled.y, minlength=len(points.class_names)).tolist()
    each = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else str(counts[0])
    names = points.class_names[:_MOST_NAMES]
    more = ", ..." if len(points.class_names) > len(names) else ""
    return f"{each} of each of {len(counts)} classes ({', '.join(names)}{more})"


def _encoder_place(points: LatentPoints, cache: Path | None) -> str:
    try:
        folder = points.open_latents(cache).folder
    except InputError:
        return "not in the cache"
    return f"in {folder}"


def _targets(distilled: DistilledSet) -> str:
    """What a learner's outputs are to come to."""
    y = distilled.y
    if distilled.y_log_std is not None:
        return f"means of {counted(y.shape[1], 'number')} an action"
    one_hot = bool(((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all())
    kind = "probabilities" if distilled.loss == "cross_entropy" else "logits"
    return f"{kind} of {counted(y.shape[1], 'action')}, {'hard' if one_hot else 'soft'} labels"


def _latent_scores(scores: Mapping[str, Any], source: str) -> str:
    known = {"probe": "probe_accuracy", "round trip": "roundtrip_accuracy", "1-NN": "nn_accuracy"}
    found = {name: scores.get(key) for name, key in known.items()}
    told = [f"{name} {percent(value)}" for name, value in found.items() if isinstance(value, float)]
    return f"{', '.join(told)} of validation (by {source})" if told else ""


def _returns(facts: Mapping[str, Any], source: str) -> str:
    """What fresh learners reached, by a run's summary or by the file of a set that ships."""
    scores, judged = part(facts, "scores"), part(facts, "validation", "sampled")
    mean, error = scores.get("probe_return"), scores.get("probe_return_sem")
    if judged:
        mean, error = judged.get("mean"), judged.get("sem")
    if not isinstance(mean, float) or not isinstance(error, float):
        return ""
    return f"fresh learners reached {mean:,.1f} ± {error:,.1f} (by {source})"


def _made(seed: Any, facts: Mapping[str, Any], names: Sequence[str]) -> str:
    found = part(facts, "versions")
    told = [f"seed {seed}"] if seed is not None else []
    return ", ".join(told + [f"{name} {_version(str(found[name]))}" for name in names if found.get(name)])


def _version(text: str) -> str:
    """Digests of commits cut short, but not what is behind them: that files differed."""
    return _COMMIT.sub(lambda found: found[0][:_SHORT], text)
