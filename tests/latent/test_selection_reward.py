"""The fast reward of a selection against the protocol's probe, and its solver against the exact one."""

from __future__ import annotations

import pytest
import torch

from tests.latent.gaussians import gaussian_latents
from trainables.latent.initialisation import class_rows
from trainables.latent.newton import LogisticProblem, solve_logistic, with_bias
from trainables.latent.probe import L2_GRID, fit_probe, one_hot
from trainables.latent.selection.batched_newton import (
    ProblemBatch,
    solve_adjoint_batch,
    solve_logistic_batch,
)
from trainables.latent.selection.reward import SubsetReward

CLASSES = 4


@pytest.mark.parametrize("l2", L2_GRID)
@pytest.mark.parametrize(("n", "d"), [(8, 20), (40, 20)], ids=["fewer points than dimensions", "more"])
def test_each_problem_comes_to_its_own_minimum(n: int, d: int, l2: float) -> None:
    draws = torch.Generator().manual_seed(n)
    sizes = torch.tensor([0.2, 1.0, 5.0])[:, None, None]  # the problems need different numbers of steps
    points = sizes * torch.randn(3, n, d, generator=draws, dtype=torch.float64)
    targets = (3 * torch.randn(n, CLASSES, generator=draws, dtype=torch.float64)).softmax(1)
    items = torch.randn(50, d, generator=draws, dtype=torch.float64)
    problems = ProblemBatch.of(points, targets)
    weights = solve_logistic_batch(problems, l2)
    together = problems.logits(weights, items)  # (50, 3, C)
    for i in range(3):
        problem = LogisticProblem(with_bias(points[i]), targets, l2)
        exact = solve_logistic(problem)
        expected = (with_bias(items) @ exact).softmax(1)
        torch.testing.assert_close(together[:, i].softmax(1), expected, atol=2e-3, rtol=0)
        slopes = weights[i, :-1] if problems.basis is None else problems.basis[i] @ weights[i, :-1]
        found = torch.cat([slopes, weights[i, -1:]])
        assert float(problem.objective(found)) <= float(problem.objective(exact)) + 1e-7


def test_a_start_changes_nothing_but_the_time() -> None:
    draws = torch.Generator().manual_seed(0)
    problems = ProblemBatch.of(torch.randn(5, 12, 30, generator=draws), one_hot(torch.arange(12) % 3, 3))
    cold = solve_logistic_batch(problems, 1e-2)
    warm = solve_logistic_batch(problems, 1e-2, torch.randn(cold.shape, generator=draws).double())
    items = torch.randn(40, 30, generator=draws).double()
    probabilities = [problems.logits(weights, items).softmax(2) for weights in (cold, warm)]
    torch.testing.assert_close(*probabilities, atol=2e-3, rtol=0)


def adjoint_systems(n: int, d: int) -> tuple[ProblemBatch, torch.Tensor, torch.Tensor]:
    """Two problems of three classes, weights to take their Hessians at, and right-hand sides."""
    draws = torch.Generator().manual_seed(n)
    targets = (2 * torch.randn(n, 3, generator=draws, dtype=torch.float64)).softmax(1)
    problems = ProblemBatch.of(torch.randn(2, n, d, generator=draws), targets)
    weights, rhs = torch.randn(2, 2, problems.x.shape[2], 3, generator=draws, dtype=torch.float64)
    return problems, weights, without_null_direction(rhs)


def without_null_direction(of: torch.Tensor) -> torch.Tensor:
    """An equal change of all biases alters no prediction, so the Hessian says nothing about it."""
    return torch.cat([of[:, :-1], of[:, -1:] - of[:, -1:].mean(2, keepdim=True)], 1)


@pytest.mark.parametrize(("n", "d"), [(6, 4), (3, 8)], ids=["more points than dimensions", "fewer"])
@pytest.mark.parametrize("l2", [0.3, 1e-3])
def test_adjoints_solve_the_explicit_hessians_system(n: int, d: int, l2: float) -> None:
    problems, weights, rhs = adjoint_systems(n, d)
    expected = []
    for x, at, right in zip(problems.x, weights, rhs, strict=True):

        def objective(flat: torch.Tensor, x: torch.Tensor = x) -> torch.Tensor:
            candidate = flat.view(-1, 3)
            loss = torch.nn.functional.cross_entropy(x @ candidate, problems.targets)
            return loss + l2 / 2 * candidate[:-1].square().sum()

        dense = torch.autograd.functional.hessian(objective, at.flatten())
        # Singular, so by its singular values (gelsd): that gives the shortest of the solutions.
        solved = torch.linalg.lstsq(dense, right.flatten()[:, None], rcond=1e-10, driver="gelsd").solution
        expected.append(solved.view_as(at))
    found = solve_adjoint_batch(problems, l2, weights, rhs, 1e-12)
    torch.testing.assert_close(
        without_null_direction(found), without_null_direction(torch.stack(expected)), atol=1e-8, rtol=1e-8
    )


def test_an_adjoint_with_nothing_to_solve_is_zero_beside_others_that_go_on() -> None:
    problems, weights, rhs = adjoint_systems(6, 4)
    both = solve_adjoint_batch(problems, 1e-2, weights, rhs, 1e-10)
    rhs[0] = 0
    found = solve_adjoint_batch(problems, 1e-2, weights, rhs, 1e-10)
    assert torch.equal(found[0], torch.zeros_like(found[0]))
    torch.testing.assert_close(found[1], both[1])


@pytest.mark.parametrize("budget", [1, 2, 8])
def test_rewards_are_the_protocols_scores(budget: int) -> None:
    data = gaussian_latents(CLASSES, separation=1.5, seed=budget)
    draws = torch.Generator().manual_seed(budget)
    rows = class_rows(data.train_y, CLASSES, budget)
    subsets = torch.stack(
        [
            torch.cat([r[torch.randperm(len(r), generator=draws)[:budget]] for r in rows])
            for _ in range(66)  # more than one batch of them
        ]
    )
    reward = SubsetReward(data, budget)
    found = reward(subsets)
    assert reward.evaluations == 66
    targets = one_hot(data.train_y[subsets[0]], CLASSES)
    exact = torch.tensor(
        [fit_probe(data.train_x[s], targets, data.reward_x, data.reward_y).reward_accuracy for s in subsets],
        dtype=torch.float64,
    )
    assert exact.std() > 0.01, "subsets of one worth would tell nothing"
    assert (found - exact).abs().mean() < 0.0005
    assert (found - exact).abs().max() <= 1 / len(data.reward_y) + 1e-9
