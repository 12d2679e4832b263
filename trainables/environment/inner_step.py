"""The step that a distilled set is for: gradient descent on it, from a fresh initialisation.

Wilhelm and Ventura (ECAI 2025): the outer loss is that of the stepped learner, and its gradient flows
through this step into the set and the inner learning rate.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.environment.learners import LOG_STD, Learner, Parameters

LOSSES = ("mse", "cross_entropy")


def inner_step(
    learner: Learner,
    initial: Parameters,
    x: Tensor,
    y: Tensor,
    inner_lr: Tensor,
    *,
    y_log_std: Tensor | None = None,
    loss: str = "mse",
    steps: int = 1,
    create_graph: bool = True,
) -> Parameters:
    """K learners after ``steps`` steps of gradient descent on the whole set.

    Args:
        initial: parameters of K learners; left as they are.
        x: inputs of the set, (B, *features).
        y: (B, actions) float32: targets of the outputs, or with ``cross_entropy`` probabilities of actions.
        inner_lr: learning rate, a scalar.
        y_log_std: (1, actions), target of ``log_std`` where actions are vectors.
        loss: one of :data:`LOSSES`, its mean over the set (and the actions, for ``mse``).
        create_graph: whether the result is to be differentiated with respect to the set.

    Returns:
        Their parameters, differentiable in ``x``, ``y``, ``y_log_std`` and ``inner_lr``.
    """
    count = next(iter(initial.values())).shape[0]
    parameters = {name: tensor.detach().requires_grad_() for name, tensor in initial.items()}
    shared = x.expand(count, *x.shape)  # (K, B, *features)
    for _ in range(steps):
        with torch.enable_grad():
            # Summed over learners: each one's gradient is that of its own mean.
            total = learner_losses(learner, parameters, shared, y, y_log_std, loss).sum()
            gradients = torch.autograd.grad(
                total,
                list(parameters.values()),
                create_graph=create_graph,
                materialize_grads=True,  # a network of the user's own may have parameters that it never uses
            )
        parameters = {
            name: tensor - inner_lr * gradient
            for (name, tensor), gradient in zip(parameters.items(), gradients, strict=True)
        }
        if not create_graph:
            parameters = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
    if not create_graph:
        parameters = {name: tensor.detach() for name, tensor in parameters.items()}
    return parameters


def learner_losses(
    learner: Learner, parameters: Parameters, x: Tensor, y: Tensor, y_log_std: Tensor | None, loss: str
) -> Tensor:
    """Loss of each learner on its own copy of the set, (K,); ``x`` is (K, B, *features)."""
    outputs = learner(parameters, x)  # (K, B, actions)
    if loss == "cross_entropy":
        return -(y * F.log_softmax(outputs, -1)).sum(-1).mean(-1)
    losses = (outputs - y).square().mean((1, 2))
    if y_log_std is not None:
        losses = losses + (parameters[LOG_STD] - y_log_std).square().mean(-1)
    return losses
