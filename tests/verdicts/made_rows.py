"""Rows of a verdict with planted classifiers, made without distilling anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.latents import LatentData
from trainables.latent.probe import LinearClassifier, accuracy
from trainables.seeds import generator
from tune_dd.verdicts.cells import Done
from tune_dd.verdicts.contenders import Made
from tune_dd.verdicts.panels import Row, rows_of
from tune_dd.verdicts.plan import Plan, cells_of


def plan(**changed: object) -> Plan:
    """Selection at one point per class on digits: two encoders with three seeds each."""
    settings: dict[str, object] = {
        "data": DataConfig(),
        "encoder": EncoderConfig(),
        "questions": ("selection",),
        "budgets": (1,),
        "seeds": (0, 1, 2),
        "encoder_seeds": (0, 1),
        "counts": {"selection": 8},
        "cross_encoder_seed": 100,
    }
    return Plan(**{**settings, **changed})  # type: ignore[arg-type]


def rows(
    of: Plan,
    latents: Mapping[int, LatentData],
    noise: Mapping[str, float],
    overclaim: float = 0.0,
    one_set: bool = False,
) -> list[Row]:
    """Every contender's classifier is the class means' with so much noise on its weights (default: 0.3).

    Args:
        overclaim: what every reward promises beyond what is found.
        one_set: whether all make the same points.
    """
    done = []
    for cell in cells_of(of, {seed: data.key for seed, data in latents.items()}):
        data = latents[cell.encoder_seed]
        randomness = generator(cell.config.seed, cell.contender, cell.budget, cell.encoder_seed)
        classifier = _classifier(data, noise.get(cell.contender, 0.3), randomness)
        claimed = None if cell.contender == "herding" else classifier.reward_accuracy + overclaim
        points = DistilledSet(
            torch.zeros(3, 2) if one_set else torch.randn(3, 2, generator=randomness), data.train_y[:3]
        )
        classifiers = dict.fromkeys(cell.objectives, classifier)
        done.append((cell, Done(Made(points, 8, claimed), 2.0, classifiers)))
    return rows_of(of, done)


def _classifier(data: LatentData, noise: float, randomness: torch.Generator) -> LinearClassifier:
    classes = range(len(data.class_names))
    means: Tensor = torch.stack([data.train_x[data.train_y == c].mean(0) for c in classes], 1)  # (d, C)
    weights = torch.cat([means, -0.5 * means.square().sum(0, keepdim=True)])  # nearest mean
    weights = weights + noise * torch.randn(weights.shape, generator=randomness)
    found = LinearClassifier(weights, 1.0, 0.0)
    reached = accuracy(found.predict(data.reward_x), data.reward_y)
    return dataclasses.replace(found, reward_accuracy=reached)
