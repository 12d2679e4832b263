"""Choices of real points, on configurations small enough to work out by hand."""

from __future__ import annotations

import itertools

import pytest
import torch

from tests.latent.gaussians import gaussian_latents
from trainables.errors import InputError
from trainables.latent.initialisation import (
    CHOICES,
    choose_points,
    cluster_centroids,
    herding_choice,
    k_center_choice,
    kmeans_centroids,
    kmeans_medoid_choice,
)

GENERATOR = torch.Generator()


def test_herding_takes_the_greedy_best_at_every_step() -> None:
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
    chosen: list[int] = []
    for _ in range(5):
        rest = [row for row in range(12) if row not in chosen]
        chosen.append(min(rest, key=lambda row: float((x[[*chosen, row]].mean(0) - x.mean(0)).norm())))
    assert herding_choice(x, 5, GENERATOR).tolist() == chosen


def test_k_center_on_a_line_goes_to_both_ends() -> None:
    x = torch.tensor([[0.0], [4.0], [5.0], [6.0], [11.0]])  # mean 5.2: starts at 5, then 11, then 0
    assert k_center_choice(x, 3, GENERATOR).tolist() == [2, 4, 0]


def test_k_center_never_repeats_among_duplicates() -> None:
    assert sorted(k_center_choice(torch.zeros(4, 2), 4, GENERATOR).tolist()) == [0, 1, 2, 3]


def test_kmeans_finds_three_well_apart_clusters() -> None:
    centres = torch.tensor([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0]])
    x = torch.cat(
        [centre + torch.randn(30, 2, generator=torch.Generator().manual_seed(2)) for centre in centres]
    )
    found = kmeans_centroids(x, 3, torch.Generator().manual_seed(0))
    expected = torch.stack([chunk.mean(0) for chunk in x.split(30)])
    distances = torch.cdist(found, expected)
    assert sorted(distances.argmin(1).tolist()) == [0, 1, 2]
    assert float(distances.min(1).values.max()) < 1e-4


def test_kmeans_is_a_fixed_point_of_its_own_assignment() -> None:
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(3))
    centroids = kmeans_centroids(x, 5, torch.Generator().manual_seed(0))
    assignment = torch.cdist(x, centroids).argmin(1)
    for cluster in range(5):
        torch.testing.assert_close(centroids[cluster], x[assignment == cluster].mean(0), atol=0.2, rtol=0)


def test_one_centroid_is_the_mean_and_its_medoid_the_closest_point() -> None:
    x = torch.tensor([[0.0], [1.0], [5.0]])
    assert kmeans_centroids(x, 1, GENERATOR).tolist() == [[2.0]]
    assert kmeans_medoid_choice(x, 1, GENERATOR).tolist() == [1]


@pytest.mark.parametrize("name", CHOICES)
def test_choices_are_balanced_distinct_and_seeded(name: str) -> None:
    data = gaussian_latents(per_class=20)
    rows = choose_points(name, data.train_x, data.train_y, 3, 7, seed=5)
    assert len(set(rows.tolist())) == 21
    assert data.train_y[rows].tolist() == [0] * 7 + [1] * 7 + [2] * 7
    assert torch.equal(rows, choose_points(name, data.train_x, data.train_y, 3, 7, seed=5))


def test_seeds_differ() -> None:
    data = gaussian_latents()
    chosen = [choose_points("random", data.train_x, data.train_y, 3, 5, seed) for seed in range(3)]
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(chosen, 2))
    centroids = [cluster_centroids(data.train_x, data.train_y, 3, 5, seed) for seed in range(2)]
    assert not torch.equal(*centroids)


@pytest.mark.parametrize("name", CHOICES)
def test_more_points_than_a_class_has_are_refused(name: str) -> None:
    data = gaussian_latents(per_class=6)
    with pytest.raises(InputError, match="smallest class has 6"):
        choose_points(name, data.train_x, data.train_y, 3, 7, seed=0)
