"""From a finished sweep to figures that can be believed.

Three steps in this order: the top k of each cell are distilled again on fresh seeds beside all controls
and scored on the selection half; one of them is chosen there; then everything is frozen, and test is read
once for each row that has not been on it before.

What a small selection half cannot tell apart is not decided by its noise: among the rows within one
standard error of the best, the other accuracy decides (the rule of Breiman et al., "Classification and
regression trees", 1984, section 3.4.3, with decodability in the place of simplicity).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trainables.errors import InputError
from trainables.latent.cache import Report
from trainables.latent.compute import trial_device
from trainables.latent.config import EncoderConfig, LatentConfig
from trainables.latent.controls import FULL_DATA
from trainables.latent.image_scorer import open_pixels, other_encoder
from trainables.latent.image_scoring import CROSS_ENCODER, PIXEL, ImageScoring
from trainables.latent.latents import LatentData, prepare_latents
from trainables.latent.test_access import open_test_latents
from tune_dd.evaluation import test_scores
from tune_dd.evaluation.confirmation import Frozen, freeze_configuration, freeze_controls, fresh_seeds
from tune_dd.evaluation.image_scores import ImageFreezer, ImageReadings, Unseen
from tune_dd.evaluation.scored import (
    PROBE,
    Scored,
    by_class,
    class_accuracies,
    difference,
    estimates,
    mean_score,
)
from tune_dd.evaluation.test_scores import ACCESS_LOG, TestScores
from tune_dd.sweeps.latent.settings import TIE_BREAKS


@dataclass(frozen=True)
class Candidate:
    """A configuration that a sweep found good.

    Attributes:
        trial_id: where it comes from.
        config: its settings.
    """

    trial_id: str
    config: LatentConfig


@dataclass(frozen=True)
class CellPlan:
    """What is evaluated in one cell.

    Attributes:
        name: the cell in words.
        candidates: the top k, best first; all share data, encoder and prototypes per class.
        objective: the score that chooses among them.
        budgets: real points per class of further selection controls.
        taken_seeds: seeds that the search used.
        gpus_per_trial: a trial's share, by which the device is chosen as in the search.
        scoring: which scores of images are wanted beside the probe's.

    Raises:
        InputError: scores of images are wanted of features.
    """

    name: str
    candidates: tuple[Candidate, ...]
    objective: str
    budgets: tuple[int, ...]
    taken_seeds: tuple[int, ...]
    gpus_per_trial: float = 0.0
    scoring: ImageScoring = field(default_factory=ImageScoring)

    def __post_init__(self) -> None:
        if self.candidates[0].config.encoder.backbone == "identity":
            self.scoring.refuse_features(self.name)


@dataclass(frozen=True)
class OnEncoder:
    """One encoder's part of a cell: its latents, and the frozen rows by name.

    ``images`` holds readings of each row's images, where such scores are wanted, and ``unseen`` what they
    are scored on here.
    """

    data: LatentData
    encoder_config: LatentConfig
    rows: dict[str, Frozen]
    images: dict[str, tuple[ImageReadings, ...]]
    unseen: Unseen | None


def evaluate_cell(
    plan: CellPlan, results: Path, cache: Path, n_seeds: int, n_encoders: int, read_test: bool, report: Report
) -> dict[str, Any]:
    """Evaluate one cell.

    Args:
        results: the sweep's folder; test scores and the log of test readings are kept there.
        n_seeds: fresh distillation seeds per encoder.
        n_encoders: encoder seeds, the cell's own first; further ones are trained where they are not cached.
        read_test: ``False`` leaves test closed, also for rows that have been on it before.

    Returns:
        Plain values for JSON: ``seeds``, ``encoder_seeds``, ``chosen`` (a row's name) and ``rows``, with
        validation and test estimates and, on test, the chosen row's paired differences.

    Raises:
        InputError: several encoders are asked for where features take their place, or the other encoder is
            one that sets are made with.
    """
    base = plan.candidates[0].config
    if n_encoders > 1 and base.encoder.backbone == "identity":
        raise InputError(
            f"--encoder-seeds is {n_encoders} for {plan.name}",
            "features were computed elsewhere, so there is no encoder to train again",
            "leave it out",
        )
    seeds = fresh_seeds(n_seeds, plan.taken_seeds)
    own = base.encoder.encoder_seed
    encoder_seeds = [own, *fresh_seeds(n_encoders - 1, (own,))]
    plan.scoring.refuse_own_encoder(encoder_seeds, plan.name)
    parts = [_freeze(plan, seed, seeds, cache, report) for seed in encoder_seeds]
    validation = {name: _on_selection(parts, name) for name in parts[0].rows}
    learned = [name for name, row in parts[0].rows.items() if row.kind == "learned"]
    chosen = choose(
        {name: mean_score(validation[name], plan.objective) for name in learned},
        {name: mean_score(validation[name], TIE_BREAKS[plan.objective]) for name in learned},
        len(parts[0].data.selection_y),
    )
    test = _on_test(plan, parts, results, cache, report) if read_test else {}
    metric = plan.objective if plan.objective in (CROSS_ENCODER, PIXEL) else PROBE
    rows = [
        {
            "name": name,
            "kind": row.kind,
            "trial_id": row.trial_id,
            "config": row.config,
            "size_bytes": row.size_bytes,
            "optimise_cpu_s": float(np.median(row.cpu_s)) if row.cpu_s else None,
            "validation": estimates(validation[name]),
            "test": estimates(test[name]) if test else None,
            "validation_per_class": by_class(validation[name], parts[0].data.class_names),
            "test_per_class": by_class(test[name], parts[0].data.class_names) if test else None,
            "chosen_minus_this_on_test": difference(test[chosen], test[name], metric)
            if test and name != chosen
            else None,
        }
        for name, row in parts[0].rows.items()
    ]
    return {
        "cell": plan.name,
        "objective": plan.objective,
        "compared_by": metric,
        "seeds": seeds,
        "encoder_seeds": encoder_seeds,
        "chosen": chosen,
        "test_items": test[chosen].hits[0].shape[1] if test else None,
        "rows": rows,
    }


def choose(objective: Mapping[str, float], other: Mapping[str, float], items: int) -> str:
    """The name with the best other accuracy among those within one standard error of the best objective.

    Args:
        objective, other: mean accuracies in [0, 1] by name, in order of preference where all else is equal.
        items: size of the selection half, which the standard error of an accuracy follows from.
    """
    best = max(objective.values())
    standard_error = math.sqrt(best * (1 - best) / items)
    close = [name for name, value in objective.items() if value >= best - standard_error]
    return max(close, key=lambda name: (other[name], objective[name]))


def _freeze(
    plan: CellPlan, encoder_seed: int, seeds: Sequence[int], cache: Path, report: Report
) -> OnEncoder:
    base = plan.candidates[0].config
    encoder = dataclasses.replace(base.encoder, encoder_seed=encoder_seed)
    device = trial_device(encoder.device, plan.gpus_per_trial)
    data = prepare_latents(base.data, encoder, cache, report, codec_device=device)
    rows = {}
    for candidate in plan.candidates:
        name = f"{candidate.config.distill.method} ({candidate.trial_id})"
        rows[name] = freeze_configuration(name, candidate.trial_id, candidate.config, data, seeds, report)
    distill = base.distill
    for row in freeze_controls(data, distill.m_per_class, distill.labels, seeds, plan.budgets, report):
        rows[row.name] = row
    config = dataclasses.replace(base, encoder=encoder)
    if not plan.scoring.wanted:
        return OnEncoder(data, config, rows, dict.fromkeys(rows, ()), None)
    freezer = _image_freezer(plan, config, data, seeds, cache, report)
    return OnEncoder(data, config, rows, freezer.freeze(rows, report), freezer.unseen())


def _image_freezer(
    plan: CellPlan, config: LatentConfig, data: LatentData, seeds: Sequence[int], cache: Path, report: Report
) -> ImageFreezer:
    device = trial_device(config.encoder.device, plan.gpus_per_trial)
    other, passes = _other_encoder(plan, config), plan.scoring.pixel_passes
    return ImageFreezer(
        data,
        None if other is None else prepare_latents(config.data, other, cache, report, codec_device=device),
        None if passes is None else open_pixels(config, passes, cache, report, device),
        seeds,
    )


def _other_encoder(plan: CellPlan, config: LatentConfig) -> EncoderConfig | None:
    seed = plan.scoring.cross_encoder_seed
    return None if seed is None else other_encoder(config, seed)


def _on_selection(parts: Sequence[OnEncoder], name: str) -> Scored:
    found = Scored()
    for part in parts:
        x, y, row = part.data.selection_x, part.data.selection_y, part.rows[name]
        full = part.rows[FULL_DATA].hits(x, y).mean()
        found.scores.append(row.scores(x, y, float(full)))
        found.hits.append(row.hits(x, y))
        found.per_class.append(class_accuracies(found.hits[-1], y.numpy(), row.classes))
        readings = part.images[name]
        found.add_images([one.read(part.unseen) for one in readings] if part.unseen is not None else [])
    return found


def _on_test(
    plan: CellPlan, parts: Sequence[OnEncoder], results: Path, cache: Path, report: Report
) -> dict[str, Scored]:
    """Test scores of every row; opens test only for an encoder with rows that were never on it."""
    found = {name: Scored() for name in parts[0].rows}
    for part in parts:
        known = {name: test_scores.stored(results, row.identity) for name, row in part.rows.items()}
        missing = [name for name, scores in known.items() if scores is None]
        if missing:
            known |= _read_test(plan, part, missing, results, cache, report)
        for name, scores in known.items():
            assert scores is not None
            found[name].scores.append(scores.scores)
            found[name].hits.append(scores.hits)
            found[name].per_class.append(scores.per_class)
        for name, read in _images_on_test(plan, part, results, cache, report).items():
            found[name].add_images([(one.scores, one.hits) for one in read])
    return found


def _images_on_test(
    plan: CellPlan, part: OnEncoder, results: Path, cache: Path, report: Report
) -> dict[str, list[TestScores]]:
    """Scores of every reading of each row's images, through the same door: once for each identity."""
    every = [(name, one) for name, readings in part.images.items() for one in readings]
    known = {one.identity: test_scores.stored(results, one.identity) for _, one in every}
    missing = [(name, one) for name, one in every if known[one.identity] is None]
    if missing:
        config = part.encoder_config
        other = _other_encoder(plan, config)
        reason = f"evaluate {plan.name}, images: {', '.join(f'{n} = {one.identity}' for n, one in missing)}"
        test = open_test_latents(
            config.data, other or config.encoder, cache, report, log=results / ACCESS_LOG, reason=reason
        )
        unseen = Unseen(test.items, test.y, None if other is None else test.x)
        for name, one in missing:
            scores, hits = one.read(unseen)
            per_class = class_accuracies(hits, test.y.numpy(), part.rows[name].classes)
            known[one.identity] = read = TestScores(scores, hits, per_class)
            test_scores.store(results, one.identity, f"{name}, images", read)
    return {
        name: [found for one in readings if (found := known[one.identity]) is not None]
        for name, readings in part.images.items()
    }


def _read_test(
    plan: CellPlan, part: OnEncoder, names: Sequence[str], results: Path, cache: Path, report: Report
) -> dict[str, TestScores]:
    config = part.encoder_config
    reason = f"evaluate {plan.name}: {', '.join(f'{name} = {part.rows[name].identity}' for name in names)}"
    test = open_test_latents(
        config.data, config.encoder, cache, report, log=results / ACCESS_LOG, reason=reason
    )
    full_accuracy = float(part.rows[FULL_DATA].hits(test.x, test.y).mean())
    read = {}
    for name in names:
        row = part.rows[name]
        hits = row.hits(test.x, test.y)
        scores = row.scores(test.x, test.y, full_accuracy)
        read[name] = TestScores(scores, hits, class_accuracies(hits, test.y.numpy(), row.classes))
        test_scores.store(results, row.identity, name, read[name])
    return read
