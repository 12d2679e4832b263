"""Choosing real points: where prototypes start, and controls in their own right.

Every function works class by class and returns the same number of rows for each class, classes in
order, so that row ``c * m + j`` is the j-th choice of class c.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trainables.errors import InputError
from trainables.seeds import generator

# Lloyd's iterations settle well before this on latents; the bound keeps large classes cheap.
KMEANS_STEPS = 30
# More points a class than this do not move the centroids: k-means works on a sample of them.
KMEANS_SAMPLE = 10_000

Choice = Callable[[Tensor, int, torch.Generator], Tensor]


def random_choice(x: Tensor, m: int, randomness: torch.Generator) -> Tensor:
    """``m`` rows of (n, d) at random, without replacement; (m,) int64."""
    return torch.randperm(len(x), generator=randomness)[:m]


def herding_choice(x: Tensor, m: int, randomness: torch.Generator) -> Tensor:
    """Greedy rows whose running mean stays closest to the class mean; (m,) int64.

    Paper: Welling, "Herding dynamical weights to learn", ICML 2009; used for exemplars in Rebuffi et
    al., "iCaRL", CVPR 2017, equation 4, which this follows.
    """
    mean, total = x.mean(0), torch.zeros_like(x[0])
    squares = (x * x).sum(1)
    taken = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    chosen = []
    for count in range(1, m + 1):
        # |mean - (total + x) / count|^2 up to terms that do not depend on the row
        distance = squares / count**2 - 2 * (x @ (mean - total / count)) / count
        row = int(distance.masked_fill(taken, torch.inf).argmin())
        taken[row] = True
        total = total + x[row]
        chosen.append(row)
    return torch.tensor(chosen)


def k_center_choice(x: Tensor, m: int, randomness: torch.Generator) -> Tensor:
    """Farthest-first traversal from the point closest to the class mean; (m,) int64.

    Paper: Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985; as a coreset in
    Sener & Savarese, ICLR 2018.
    """
    chosen = [int((x - x.mean(0)).square().sum(1).argmin())]
    distance = torch.full((len(x),), torch.inf, device=x.device)
    while len(chosen) < m:
        distance = torch.minimum(distance, (x - x[chosen[-1]]).square().sum(1))
        distance[chosen] = -1.0  # never twice, also among duplicates
        chosen.append(int(distance.argmax()))
    return torch.tensor(chosen)


def kmeans_centroids(x: Tensor, m: int, randomness: torch.Generator) -> Tensor:
    """Centroids (m, d) by k-means++ seeding and Lloyd's iterations (Arthur & Vassilvitskii, SODA 2007)."""
    if len(x) > KMEANS_SAMPLE:
        x = x[torch.randperm(len(x), generator=randomness)[:KMEANS_SAMPLE].to(x.device)]
    if m == 1:
        return x.mean(0, keepdim=True)
    centroids = _plus_plus_seeds(x, m, randomness)
    assignment = torch.full((len(x),), -1, device=x.device)
    for _ in range(KMEANS_STEPS):
        updated = torch.cdist(x, centroids).argmin(1)  # (n,)
        if torch.equal(updated, assignment):
            break
        assignment = updated
        members = torch.nn.functional.one_hot(assignment, m).to(x.dtype)  # (n, m)
        counts = members.sum(0)
        means = members.T @ x / counts.clamp(min=1)[:, None]
        # A centroid that lost all its members stays where it is.
        centroids = torch.where(counts[:, None] > 0, means, centroids)
    return centroids


def _plus_plus_seeds(x: Tensor, m: int, randomness: torch.Generator) -> Tensor:
    rows = [int(torch.randint(len(x), (), generator=randomness))]
    distance = torch.full((len(x),), torch.inf, device=x.device)
    while len(rows) < m:
        distance = torch.minimum(distance, (x - x[rows[-1]]).square().sum(1))
        weights = distance.double().cpu()
        if float(weights.sum()) <= 0:  # fewer distinct points than centroids: any row will do
            weights = torch.ones_like(weights)
        rows.append(int(torch.multinomial(weights, 1, generator=randomness)))
    return x[rows].clone()


def kmeans_medoid_choice(x: Tensor, m: int, randomness: torch.Generator) -> Tensor:
    """The real point closest to each k-means centroid, no point twice; (m,) int64."""
    distance = torch.cdist(kmeans_centroids(x, m, randomness), x)  # (m, n)
    chosen: list[int] = []
    for row in range(m):
        distance[row, chosen] = torch.inf
        chosen.append(int(distance[row].argmin()))
    return torch.tensor(chosen)


CHOICES: dict[str, Choice] = {
    "random": random_choice,
    "herding": herding_choice,
    "k_center": k_center_choice,
    "kmeans_medoids": kmeans_medoid_choice,
}


def class_rows(y: Tensor, classes: int, at_least: int) -> list[Tensor]:
    """Rows of each class.

    Raises:
        InputError: if a class has fewer than ``at_least``.
    """
    rows = [torch.nonzero(y == c).squeeze(1) for c in range(classes)]
    smallest = min(len(r) for r in rows)
    if smallest < at_least:
        raise InputError(
            f"{at_least} real points per class are asked for",
            f"the smallest class has {smallest} in the training split",
            f"ask for at most {smallest}",
        )
    return rows


def choose_points(name: str, x: Tensor, y: Tensor, classes: int, m: int, seed: int) -> Tensor:
    """Rows (classes * m,) of the training latents chosen by one of :data:`CHOICES`.

    Args:
        x, y: (n, d) and (n,) training latents and labels.
        m: points per class.

    Raises:
        InputError: if a class has fewer than ``m`` points.
    """
    choice = CHOICES[name]
    randomness = generator(seed, "choice", name, m)
    return torch.cat(
        [rows[choice(x[rows], m, randomness).to(rows.device)] for rows in class_rows(y, classes, m)]
    )


def cluster_centroids(x: Tensor, y: Tensor, classes: int, m: int, seed: int) -> Tensor:
    """k-means centroids of each class; (classes * m, d)."""
    randomness = generator(seed, "centroids", m)
    return torch.cat([kmeans_centroids(x[rows], m, randomness) for rows in class_rows(y, classes, m)])


def initial_prototypes(name: str, x: Tensor, y: Tensor, classes: int, m: int, seed: int) -> Tensor:
    """Where learned prototypes start; (classes * m, d). ``name`` is random, herding or kmeans."""
    if name == "kmeans":
        return cluster_centroids(x, y, classes, m, seed)
    return x[choose_points(name, x, y, classes, m, seed)].clone()
