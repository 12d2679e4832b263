"""The probe and the readings beside it, on cases small enough to check by another method."""

from __future__ import annotations

import time

import numpy as np
import torch
from sklearn.linear_model import Ridge

from tests.latent.gaussians import gaussian_latents
from trainables.latent.newton import LogisticProblem, solve_logistic, with_bias
from trainables.latent.probe import (
    L2_GRID,
    LinearClassifier,
    accuracy,
    fit_probe,
    fit_ridge,
    nearest_neighbour,
    one_hot,
)


def test_full_data_probe_finds_separable_classes() -> None:
    data = gaussian_latents()
    probe = fit_probe(data.train_x, one_hot(data.train_y, 3), data.reward_x, data.reward_y)
    assert accuracy(probe.predict(data.selection_x), data.selection_y) > 0.97
    assert probe.l2 in L2_GRID


def test_penalty_is_the_best_on_the_reward_half() -> None:
    data = gaussian_latents(separation=1.5, per_class=4)
    targets = one_hot(data.train_y, 3)
    chosen = fit_probe(data.train_x, targets, data.reward_x, data.reward_y)
    # Against each penalty alone: a grid of one leaves no choice.
    accuracies = []
    for l2 in L2_GRID:
        weights = solve_logistic(LogisticProblem(with_bias(data.train_x.double()), targets, l2))
        accuracies.append(accuracy(LinearClassifier(weights, l2, 0.0).predict(data.reward_x), data.reward_y))
    assert chosen.reward_accuracy == max(accuracies)
    assert chosen.l2 == L2_GRID[int(np.argmax(accuracies))]


def test_preconditioner_is_the_inverse_it_says_on_both_sides_of_square() -> None:
    draws = torch.Generator().manual_seed(0)
    for n, d in ((30, 6), (6, 30)):
        points = with_bias(torch.randn(n, d, generator=draws, dtype=torch.float64))
        problem = LogisticProblem(points, torch.full((n, 3), 1 / 3, dtype=torch.float64), 0.01)
        probabilities = torch.rand(n, 3, generator=draws, dtype=torch.float64).softmax(1)
        spread = (probabilities * (1 - probabilities)).mean()
        matrix = spread * points.T @ points / n + 0.01 * torch.eye(d + 1)
        rhs = torch.randn(d + 1, 3, generator=draws, dtype=torch.float64)
        solved = problem.preconditioner(problem.gram(), probabilities)(rhs)
        torch.testing.assert_close(matrix @ solved, rhs)


def test_features_of_thousands_of_dimensions_are_solved_in_moments() -> None:
    """Few points span few dimensions: with a factor of all 4,096 this took minutes."""
    draws = torch.Generator().manual_seed(0)
    points = with_bias(torch.randn(20, 4096, generator=draws, dtype=torch.float64))
    targets = one_hot(torch.arange(20) % 2, 2)
    before = time.process_time()
    problem = LogisticProblem(points, targets, 1e-3)
    weights = solve_logistic(problem)
    assert time.process_time() - before < 5
    gradient, _ = problem.gradient(weights)
    assert gradient.norm() < 1e-7 * problem.gradient(torch.zeros_like(weights))[0].norm()


def test_soft_targets_that_are_one_hot_change_nothing() -> None:
    data = gaussian_latents(per_class=10)
    hard = fit_probe(data.train_x, one_hot(data.train_y, 3), data.reward_x, data.reward_y)
    soft = fit_probe(data.train_x, one_hot(data.train_y, 3).float(), data.reward_x, data.reward_y)
    torch.testing.assert_close(hard.weights, soft.weights)


def test_ridge_equals_scikit_learns_on_both_sides_of_square() -> None:
    for d in (4, 60):  # more points than dimensions, and fewer
        data = gaussian_latents(d=d, per_class=10)
        ours = fit_ridge(data.train_x, one_hot(data.train_y, 3), data.reward_x, data.reward_y)
        theirs = Ridge(alpha=ours.l2 * len(data.train_x)).fit(
            data.train_x.double().numpy(), one_hot(data.train_y, 3).numpy()
        )
        np.testing.assert_allclose(ours.weights[:-1].T.numpy(), theirs.coef_, atol=1e-8)
        np.testing.assert_allclose(ours.weights[-1].numpy(), theirs.intercept_, atol=1e-8)


def test_nearest_neighbour_by_hand() -> None:
    points = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0]])
    queries = torch.tensor([[1.0, 1.0], [3.0, 0.5], [0.0, 2.0]])
    assert nearest_neighbour(points, torch.tensor([7, 8, 9]), queries).tolist() == [7, 8, 9]
