"""Controls: what a learned set has to be compared with. Always in the table, never in the ranking.

Real points chosen without learning, centroids, the closed form that shows how little direct probe
accuracy proves in a latent space, and for the soft-label track real points with teacher labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from trainables.latent.distilled_set import DistilledSet
from trainables.latent.full_probe import full_probe
from trainables.latent.initialisation import CHOICES, choose_points, class_rows, cluster_centroids
from trainables.latent.latents import LatentData
from trainables.latent.probe import LinearClassifier, accuracy, fit_ridge
from trainables.latent.scores import Readings, score_readings

FULL_DATA = "full_data"


def closed_form_points(probe: LinearClassifier) -> Tensor:
    """One point a class from which the probe finds the direction of given weights again.

    With points x_c = s W_c + t and s small, the probe's probabilities stay near uniform, so its
    stationarity condition gives weights proportional to sum_c x_c (e_c - 1/C)^T, that is to W; the
    shared shift t, with W^T t = -b, makes the free bias come out in the same proportion. Derived for this
    project; the figures it reproduces are those of the full-data probe.

    Returns:
        (C, d) float32.
    """
    weights = probe.weights.double()
    centred = weights - weights.mean(1, keepdim=True)  # a shift common to all classes changes nothing
    directions, bias = centred[:-1].T, centred[-1]  # (C, d), (C,)
    shift: Tensor = -torch.linalg.pinv(directions) @ bias  # (d, C) x (C,) -> (d,)
    # Logits of the new probe are of order s^2 |W|^2 / (C l2): kept small at every penalty but the weakest.
    scale = 0.03 / float(directions.norm(dim=1).max().clamp(min=1e-12))
    return (scale * directions + shift).float()


def control_sets(
    data: LatentData, m_per_class: int, seed: int, budgets: Sequence[int] = (), *, soft_labels: bool = True
) -> Iterator[tuple[str, DistilledSet]]:
    """Every control but the full data, as (name, set).

    Args:
        m_per_class: points per class.
        seed: of the random choice and of k-means.
        budgets: further numbers of real points per class, for the selection controls, which then come
            under ``<name>@<budget>`` too.
        soft_labels: the one with soft labels as well, which is no comparison for a set with hard ones.

    Raises:
        InputError: if a class has fewer training points than asked for.
    """
    x, y, classes = data.train_x, data.train_y, len(data.class_names)
    probe = full_probe(data)
    balanced = torch.arange(classes, device=y.device).repeat_interleave(m_per_class)
    for name in CHOICES:
        rows = choose_points(name, x, y, classes, m_per_class, seed)
        yield name, DistilledSet(x[rows], y[rows], indices=rows)
    yield "kmeans_centroids", DistilledSet(cluster_centroids(x, y, classes, m_per_class, seed), balanced)
    one_each = torch.arange(classes, device=y.device)
    means = torch.stack([x[rows].mean(0) for rows in class_rows(y, classes, 1)])
    yield "class_mean", DistilledSet(means, one_each)
    yield "closed_form", DistilledSet(closed_form_points(probe).to(x.device), one_each)
    if soft_labels:
        rows = choose_points("random", x, y, classes, m_per_class, seed)
        soft = probe.logits(x[rows]).softmax(1)
        yield "random_teacher_labels", DistilledSet(x[rows], y[rows], soft_labels=soft, indices=rows)
    for budget in budgets:
        for name in CHOICES:
            rows = choose_points(name, x, y, classes, budget, seed)
            yield f"{name}@{budget}", DistilledSet(x[rows], y[rows], indices=rows)


def full_data_readings(data: LatentData) -> Readings:
    """Classifiers that learned from all training latents, the round trip's left out.

    Decoding and encoding everything again would cost more than all other controls together.
    """
    whole = DistilledSet(data.train_x, data.train_y)
    targets = whole.targets(len(data.class_names))
    ridge = fit_ridge(data.train_x, targets, data.reward_x, data.reward_y)
    return Readings(full_probe(data), ridge, None, whole)


def full_data_scores(readings: Readings, x: Tensor, y: Tensor) -> dict[str, float]:
    """Scores of :func:`full_data_readings` on items (k, d), (k,) that they never saw; no round trip."""
    return score_readings(readings, x, y, accuracy(readings.probe.predict(x), y))
