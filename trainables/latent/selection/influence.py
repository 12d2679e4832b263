"""How much a point more in the probe's training set would lower its loss, to first order.

With W the probe trained on a subset and L its mean cross-entropy on all training latents, a point z of
class c that is given a little weight e changes L by

    dL/de = - <grad_W CE(z, c; W), u>,    u = H^{-1} grad_W L,

H the Hessian of the subset's own objective. Training latents, not those of the reward half: there are many
of them, so what looks good on them is good, while the few of the reward half are soon fitted by chance.

Paper: Koh & Liang, "Understanding black-box predictions via influence functions", ICML 2017, equation 2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.latent.probe import one_hot
from trainables.latent.selection.batched_newton import solve_adjoint_batch
from trainables.latent.selection.reward import Judged

# Relative residual of the adjoint system: the influence is itself an approximation.
TOLERANCE = 1e-2


class Influence:
    """Of points on the loss of one subset's probe on the training latents.

    Args:
        judged: that subset, alone (S is 1).
        train_x, train_y: (N, d) float32 and (N,) int64 the training latents.
    """

    def __init__(self, judged: Judged, train_x: Tensor, train_y: Tensor) -> None:
        problems, weights, l2 = judged.problems, judged.weights, float(judged.penalties)
        basis = None if problems.basis is None else problems.basis[0]  # (d, r)
        self._slopes, self._bias = _in_space(weights[0], basis)
        classes = weights.shape[2]
        residual = self._probabilities(train_x) - one_hot(train_y, classes).to(train_x.dtype)
        outer = (train_x.T @ residual / len(train_x)).double()  # (d, C)
        rhs = torch.cat([outer if basis is None else basis.T @ outer, residual.mean(0)[None].double()])
        rhs = rhs - rhs.mean(1, keepdim=True)
        adjoint = solve_adjoint_batch(problems, l2, weights, rhs[None], TOLERANCE)[0]
        self._adjoint_slopes, self._adjoint_bias = _in_space(adjoint, basis)
        if basis is not None:  # outside the subset's span the Hessian is the penalty's alone
            self._adjoint_slopes += ((outer - basis @ (basis.T @ outer)) / l2).float()

    def _probabilities(self, x: Tensor) -> Tensor:
        return (x @ self._slopes + self._bias).softmax(-1)

    def of(self, x: Tensor, classes: Tensor) -> Tensor:
        """Fall of the loss per unit of weight on points (..., d) of those classes (...); (...) float32."""
        change = x @ self._adjoint_slopes + self._adjoint_bias  # (..., C)
        own = change.gather(-1, classes[..., None])[..., 0]
        return (self._probabilities(x) * change).sum(-1) - own


def _in_space(weights: Tensor, basis: Tensor | None) -> tuple[Tensor, Tensor]:
    """Slopes (d, C) and biases (C,) in float32 of weights (r + 1, C) in coordinates of the basis."""
    slopes = weights[:-1] if basis is None else basis @ weights[:-1]
    return slopes.float(), weights[-1].float()
