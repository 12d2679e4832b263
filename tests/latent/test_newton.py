"""The solver against scipy's, against an equation solved by hand, and its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, minimize

from trainables.latent.newton import LogisticProblem, conjugate_gradients, solve_logistic, with_bias


def random_problem(n: int, d: int, classes: int, l2: float, soft: bool, seed: int = 0) -> LogisticProblem:
    randomness = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=randomness, dtype=torch.float64)
    logits = 5 * torch.randn(n, classes, generator=randomness, dtype=torch.float64)
    targets = logits.softmax(1) if soft else torch.nn.functional.one_hot(logits.argmax(1), classes).double()
    return LogisticProblem(with_bias(x), targets, l2)


SHAPES = [(40, 5, 3, False), (12, 30, 4, False), (60, 8, 5, True)]


@pytest.mark.parametrize("l2", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize(
    ("n", "d", "classes", "soft"), [(40, 5, 3, False), (12, 30, 4, False), (60, 8, 5, True)]
)
def test_minimum_equals_that_of_lbfgs(n: int, d: int, classes: int, soft: bool, l2: float) -> None:
    problem = random_problem(n, d, classes, l2, soft)

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = torch.from_numpy(flat).view(d + 1, classes)
        return float(problem.objective(weights)), problem.gradient(weights)[0].numpy().ravel()

    reference = minimize(
        value_and_gradient,
        np.zeros((d + 1) * classes),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 20_000, "maxfun": 50_000, "ftol": 0, "gtol": 1e-10},
    )
    solved = solve_logistic(problem)
    assert float(problem.objective(solved)) <= reference.fun + 1e-9
    centred = solved - solved.mean(1, keepdim=True)
    expected = torch.from_numpy(reference.x).view(d + 1, classes)
    expected = expected - expected.mean(1, keepdim=True)
    torch.testing.assert_close(centred, expected, atol=2e-4, rtol=1e-4)


def test_two_points_on_a_line_solve_a_scalar_equation() -> None:
    # By symmetry w = (-a, a), b = 0, and stationarity in a reads: sigmoid(-2a) = l2 * a.
    l2 = 0.1
    a = brentq(lambda a: 1 / (1 + math.exp(2 * a)) - l2 * a, 0, 50)
    x = with_bias(torch.tensor([[-1.0], [1.0]], dtype=torch.float64))
    solved = solve_logistic(LogisticProblem(x, torch.eye(2, dtype=torch.float64), l2))
    torch.testing.assert_close(
        solved, torch.tensor([[-a, a], [0.0, 0.0]], dtype=torch.float64), atol=1e-7, rtol=0
    )


def test_start_does_not_move_the_minimum() -> None:
    problem = random_problem(50, 6, 3, 1e-3, soft=False)
    far = torch.full((7, 3), 3.0, dtype=torch.float64) * torch.arange(3)
    difference = solve_logistic(problem, far) - solve_logistic(problem)
    assert float((difference - difference.mean(1, keepdim=True)).abs().max()) < 1e-4


def test_hessian_product_is_the_gradients_derivative() -> None:
    problem = random_problem(20, 4, 3, 0.3, soft=True)
    weights = 0.1 * torch.arange(15, dtype=torch.float64).view(5, 3)
    direction = torch.linspace(-1, 1, 15, dtype=torch.float64).view(5, 3)
    step = 1e-6
    ahead, _ = problem.gradient(weights + step * direction)
    behind, _ = problem.gradient(weights - step * direction)
    _, probabilities = problem.gradient(weights)
    torch.testing.assert_close(
        problem.hessian(probabilities)(direction), (ahead - behind) / (2 * step), atol=1e-8, rtol=1e-6
    )


@pytest.mark.parametrize("own_targets", [False, True], ids=["the same targets", "targets of their own"])
@pytest.mark.parametrize(("n", "d"), [(12, 5), (4, 9)], ids=["tall", "wide"])
@pytest.mark.parametrize("l2", [0.1, 0.0], ids=["penalty", "floor of the preconditioner"])
def test_leading_dimensions_hold_problems_of_their_own(n: int, d: int, l2: float, own_targets: bool) -> None:
    singles = [random_problem(n, d, 3, l2, soft=True, seed=seed) for seed in range(6)]
    targets = (
        torch.stack([p.targets for p in singles]).view(2, 3, n, 3) if own_targets else singles[0].targets
    )
    many = LogisticProblem(torch.stack([p.x for p in singles]).view(2, 3, n, d + 1), targets, l2)
    randomness = torch.Generator().manual_seed(1)
    weights, direction = torch.randn(2, 2, 3, d + 1, 3, generator=randomness, dtype=torch.float64)

    def everything(problem: LogisticProblem, at: torch.Tensor, along: torch.Tensor) -> list[torch.Tensor]:
        gradient, probabilities = problem.gradient(at)
        curved = problem.hessian(probabilities)(along)
        # Of a curved direction: the inverse of a ridge that is only a floor would enlarge rounding.
        smoothed = problem.preconditioner(problem.gram(), probabilities)(curved)
        return [problem.objective(at), problem.penalty(at), gradient, probabilities, curved, smoothed]

    together = everything(many, weights, direction)
    for k, single in enumerate(singles):
        own = LogisticProblem(single.x, single.targets if own_targets else singles[0].targets, l2)
        apart = everything(own, weights.flatten(0, 1)[k], direction.flatten(0, 1)[k])
        torch.testing.assert_close([of.flatten(0, 1)[k] for of in together], apart, atol=1e-8, rtol=1e-8)


def test_a_wide_problem_takes_either_gram_matrix() -> None:
    problem = random_problem(4, 9, 3, 0.1, soft=True)
    rhs = torch.linspace(-1, 1, 30, dtype=torch.float64).view(10, 3)
    _, probabilities = problem.gradient(rhs)
    larger = problem.x.T @ problem.x / 4
    torch.testing.assert_close(
        problem.preconditioner(larger, probabilities)(rhs),
        problem.preconditioner(problem.gram(), probabilities)(rhs),
    )


def test_conjugate_gradients_solve_a_known_system() -> None:
    matrix = torch.tensor([[4.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    rhs = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    solved = conjugate_gradients(lambda v: matrix @ v, lambda v: v, rhs, 1e-12)
    torch.testing.assert_close(solved, torch.tensor([[1 / 11], [7 / 11]], dtype=torch.float64))


def test_points_that_are_not_finite_are_refused() -> None:
    problem = random_problem(10, 3, 2, 0.1, soft=False)
    problem.x[3, 1] = float("nan")
    with pytest.raises(FloatingPointError, match="not finite"):
        solve_logistic(problem)
