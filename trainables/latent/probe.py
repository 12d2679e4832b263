"""The linear probe every method is judged by, and two readings beside it.

Protocol: multinomial logistic regression trained to convergence on the distilled set alone, with
the penalty chosen on the reward half of validation, for every method alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.latent.newton import LogisticProblem, solve_logistic, with_bias

# From strong to weak, so that each solution starts the next solve; the strongest wins ties.
L2_GRID = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)


@dataclass(frozen=True)
class LinearClassifier:
    """``argmax(x W + b)``.

    Attributes:
        weights: (d + 1, C), the bias in the last row.
        l2: the penalty it was trained with.
        reward_accuracy: what chose ``l2``; in [0, 1].
    """

    weights: Tensor
    l2: float
    reward_accuracy: float

    def logits(self, x: Tensor) -> Tensor:
        """(n, d) -> (n, C), in the dtype of ``x``."""
        weights = self.weights.to(x.dtype)
        return x @ weights[:-1] + weights[-1]

    def predict(self, x: Tensor) -> Tensor:
        """(n, d) -> (n,) int64 class indices."""
        return self.logits(x).argmax(1)


def accuracy(predicted: Tensor, y: Tensor) -> float:
    """Share of equal entries of two (n,) int64 tensors; in [0, 1]."""
    return float((predicted == y).double().mean())


def one_hot(y: Tensor, classes: int) -> Tensor:
    """(n,) int64 -> (n, C) float64."""
    return torch.nn.functional.one_hot(y, classes).double()


def fit_probe(x: Tensor, targets: Tensor, reward_x: Tensor, reward_y: Tensor) -> LinearClassifier:
    """Train the probe at each penalty of the grid; the reward half of validation picks one.

    Args:
        x: (n, d) points to learn from.
        targets: (n, C) class probabilities (one-hot for hard labels).
        reward_x, reward_y: (k, d) and (k,) the reward half of validation.

    Raises:
        FloatingPointError: if the points are not finite.
    """
    points, targets = with_bias(x.double()), targets.double()
    problems = [LogisticProblem(points, targets, l2) for l2 in L2_GRID]
    gram = problems[0].gram()  # of the points alone
    weights: Tensor | None = None
    solutions = []
    for problem in problems:
        weights = solve_logistic(problem, weights, gram)
        solutions.append(weights)
    return _best_on_reward(solutions, reward_x, reward_y)


def fit_ridge(x: Tensor, targets: Tensor, reward_x: Tensor, reward_y: Tensor) -> LinearClassifier:
    """Ridge regression on the targets, penalty from the same grid chosen in the same way."""
    points, targets = x.double(), targets.double()
    centre, target_centre = points.mean(0), targets.mean(0)
    centred = points - centre
    # Fewer points than dimensions: the push-through identity keeps the system small.
    wide = centred.shape[0] < centred.shape[1]
    gram = (centred @ centred.T if wide else centred.T @ centred) / len(points)
    solutions = []
    for l2 in L2_GRID:
        system = gram.clone()
        system.diagonal().add_(l2)
        if wide:
            solved = centred.T @ torch.linalg.solve(system, targets - target_centre) / len(points)
        else:
            solved = torch.linalg.solve(system, centred.T @ (targets - target_centre) / len(points))
        solutions.append(torch.cat([solved, (target_centre - centre @ solved)[None]]))  # (d + 1, C)
    return _best_on_reward(solutions, reward_x, reward_y)


def _best_on_reward(solutions: Sequence[Tensor], reward_x: Tensor, reward_y: Tensor) -> LinearClassifier:
    """The most accurate of the grid's solutions, the first of equals."""
    candidates = []
    for l2, weights in zip(L2_GRID, solutions, strict=True):
        predicted = LinearClassifier(weights, l2, 0.0).predict(reward_x)
        candidates.append(LinearClassifier(weights, l2, accuracy(predicted, reward_y)))
    return max(candidates, key=lambda candidate: candidate.reward_accuracy)


def nearest_neighbour(x: Tensor, y: Tensor, queries: Tensor) -> Tensor:
    """Labels (k,) of the closest of the points (n, d) to each query (k, d), in Euclidean distance."""
    chunks = torch.split(queries.to(x.dtype), 2048)  # bounds the distance matrix
    nearest = [torch.cdist(chunk, x).argmin(1) for chunk in chunks]
    return y[torch.cat(nearest)]
