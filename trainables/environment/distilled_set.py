"""A distilled set: a batch, targets and a learning rate; and its file, in the layout of the method's authors.

A file holds tensors and plain values alone, so ``torch.load(weights_only=True)`` opens it with torch and
nothing else. For numbered actions it is ``{x, y, inner_lr}``, for vectors of actions
``{"distiller": {x, y_mean, y_logstd, inner_lr}}``; what the authors' sets do not have (observation
statistics, other losses, several inner steps, an encoder in the same file) stands beside it under names of
its own, and only where it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainables.environment.choices import LEVELS
from trainables.environment.inner_step import LOSSES
from trainables.environment.learners import Parameters
from trainables.environment.perception import NATURE_LAYERS, Perception
from trainables.environment.tasks import MUJOCO, PICTURES, Task
from trainables.errors import InputError
from trainables.tensor_files import load_tensors, save_tensors

SET_FILE = "distilled_set.pt"
"""Its name in a run's folder."""


@dataclass(frozen=True)
class DistilledSet:
    """What a learner needs for its step, and to see as the set was made to be seen.

    Attributes:
        x: (B, *observation) float32, normalised where ``mean`` is given.
        y: (B, actions) float32: logits, probabilities of actions (``cross_entropy``), or means.
        inner_lr: learning rate of the step, a scalar.
        y_log_std: (1, actions), where actions are vectors.
        encoder: parameters of the first layers of a convolutional network, each (1, ...).
        mean, variance: of observations, (*observation,).
        loss: one of :data:`~trainables.environment.inner_step.LOSSES`.
        inner_steps: gradient steps that it was made for.
    """

    x: Tensor
    y: Tensor
    inner_lr: Tensor
    y_log_std: Tensor | None = None
    encoder: Parameters | None = None
    mean: Tensor | None = None
    variance: Tensor | None = None
    loss: str = "mse"
    inner_steps: int = 1

    @property
    def level(self) -> str:
        """How much of the network is its encoder (see :data:`~trainables.environment.choices.LEVELS`)."""
        layers = len(self.encoder) // 2 if self.encoder else 0
        return next(level for level, number in LEVELS.items() if number == layers)

    def perception(self, task: Task) -> Perception:
        """How a learner of this set sees the task."""
        return Perception(task.observation_scale, self.mean, self.variance, self.encoder)

    def check_fits(self, task: Task, source: str) -> None:
        """Hold its shapes against a task.

        Args:
            source: what messages call the set.

        Raises:
            InputError: if learners of the task cannot be trained on it.
        """
        seen, wanted = tuple(self.x.shape[1:]), task.observation_shape
        if seen != wanted:
            versions = len(seen) == 1 and task.env_id.partition("-")[0] in MUJOCO
            raise InputError(
                f"{source} holds observations of shape {seen}",
                f"{task.env_id} shows {wanted}",
                "choose the task it was made for"
                + (" (MuJoCo's versions v4 and v5 differ)" if versions else ""),
            )
        if self.y.shape[1] != task.actions or (self.y_log_std is None) != task.discrete:
            kind = "numbered actions" if self.y_log_std is None else "numbers an action"
            own = "numbered actions" if task.discrete else "numbers an action"
            raise InputError(
                f"{source} is for {self.y.shape[1]} {kind}",
                f"{task.env_id} has {task.actions} {own}",
                "choose the task it was made for",
            )

    def save(self, path: Path) -> None:
        """Write its file whole or not at all."""
        content: dict[str, Any] = {"x": self.x, "inner_lr": self.inner_lr}
        if self.y_log_std is None:
            content["y"] = self.y
        else:
            content = {"distiller": {**content, "y_mean": self.y, "y_logstd": self.y_log_std}}
        if self.encoder:
            content["encoder"] = self.encoder
        if self.mean is not None and self.variance is not None:
            content |= {"mean": self.mean, "variance": self.variance}
        if self.loss != LOSSES[0]:
            content["loss"] = self.loss
        if self.inner_steps != 1:
            content["inner_steps"] = self.inner_steps
        save_tensors(path, _copied(content))


def load_distilled_set(path: Path, encoder: Path | None = None) -> DistilledSet:
    """Open a set of ours or of the method's authors.

    Args:
        path: its file.
        encoder: a file with its encoder, where that is one of its own.

    Raises:
        InputError: if a file is missing, damaged or holds something else.
    """
    content = load_tensors(path)
    content = content if isinstance(content, Mapping) else {}
    own = content.get("distiller", content)
    own = own if isinstance(own, Mapping) else {}
    vectors = "y_mean" in own
    needed = ("x", "y_mean", "y_logstd", "inner_lr") if vectors else ("x", "y", "inner_lr")
    missing = [name for name in needed if not isinstance(own.get(name), Tensor)]
    if missing:
        raise InputError(
            f"{path} is no distilled set",
            f"it lacks {', '.join(missing)}",
            "give a file with x, y and inner_lr, such as distillation of an environment writes",
        )
    own = {name: _plain(own[name], path) for name in needed}
    x, y, inner_lr = own["x"], own["y_mean" if vectors else "y"], own["inner_lr"]
    if x.ndim < 2 or y.ndim != 2 or not 0 < len(x) == len(y) or inner_lr.numel() != 1:
        shapes = f"x {tuple(x.shape)}, y {tuple(y.shape)}, inner_lr {tuple(inner_lr.shape)}"
        rule = "x and y must have a row each state, and inner_lr must be one number"
        raise InputError(f"{path} holds {shapes}", rule, "check the file")
    if vectors and own["y_logstd"].numel() != y.shape[1]:
        raise InputError(
            f"{path} has y_logstd of shape {tuple(own['y_logstd'].shape)}",
            f"an action has {y.shape[1]} numbers",
            "check the file",
        )
    for name in needed:
        if not own[name].isfinite().all():
            raise InputError(f"{path} has {name} that is not finite", "a set must be finite", "make it anew")
    loss, steps = content.get("loss", LOSSES[0]), content.get("inner_steps", 1)
    if loss not in LOSSES[: 1 if vectors else None] or type(steps) is not int or steps < 1:
        raise InputError(
            f"{path} asks for {steps!r} inner steps with the loss {loss!r}",
            f"it takes at least 1, with {' or '.join(LOSSES)} (vectors of actions: {LOSSES[0]})",
            "check the file",
        )
    mean, variance = _read_statistics(content, x, path)
    first_layers = content.get("encoder") if encoder is None else load_tensors(encoder)
    if first_layers is not None and x.shape[1:] != PICTURES:
        raise InputError(
            f"{path} holds observations of shape {tuple(x.shape[1:])}",
            f"an encoder sees {PICTURES}",
            "leave the encoder out, or give the set that belongs to it",
        )
    return DistilledSet(
        x,
        y,
        inner_lr.reshape(()),
        own["y_logstd"].reshape(1, -1) if vectors else None,
        encoder=_read_encoder(first_layers, encoder or path) if first_layers is not None else None,
        mean=mean,
        variance=variance,
        loss=loss,
        inner_steps=steps,
    )


def _read_statistics(
    content: Mapping[str, Any], x: Tensor, source: Path
) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """Mean and variance of observations, if the file has them.

    Raises:
        InputError: if they are no such statistics.
    """
    if "mean" not in content and "variance" not in content:
        return None, None
    mean, variance = (
        _plain(found, source) if isinstance(found, Tensor) else None
        for found in (content.get("mean"), content.get("variance"))
    )
    if (
        mean is None
        or variance is None
        or not mean.shape == variance.shape == x.shape[1:]
        or not (mean.isfinite().all() and variance.isfinite().all() and (variance >= 0).all())
    ):
        raise InputError(
            f"{source} has observation statistics that cannot be used",
            f"mean and variance must be finite and of shape {tuple(x.shape[1:])}, variances not negative",
            "make it anew",
        )
    return mean, variance


def _plain(tensor: Tensor, source: Path) -> Tensor:
    """As float32 on the CPU.

    Raises:
        InputError: it is of a kind that cannot be.
    """
    odd = tensor.is_meta or tensor.is_quantized or tensor.is_complex() or tensor.dtype == torch.bool
    if odd or tensor.layout != torch.strided:
        raise InputError(
            f"{source} holds a tensor of {tensor.dtype}, {tensor.layout}, on {tensor.device}",
            "it must hold dense tensors of real numbers",
            "write them as float32",
        )
    return tensor.float()


def _read_encoder(content: Any, source: Path) -> Parameters:
    """Parameters of the first layers from any of the layouts: weight and bias of each, in order.

    Raises:
        InputError: if these are no such layers.
    """
    named = dict(content) if isinstance(content, Mapping) else {}
    # Ours go by their names, as containers of parameters may have sorted them; foreign ones by their order.
    own = [f"{kind}{i}" for i in range(len(NATURE_LAYERS)) for kind in ("weight", "bias")]
    if named.keys() <= set(own):
        named = {name: named[name] for name in own if name in named}
    tensors = [_plain(t, source) for t in named.values() if isinstance(t, Tensor)]
    encoder: Parameters = {}
    for i, (weight, bias) in enumerate(zip(tensors[::2], tensors[1::2], strict=False)):
        stacked = weight.ndim % 2 == 1  # ours is (1, ...) already
        turned = weight.T if weight.ndim == 2 else weight  # torch's linear layers are (outputs, inputs)
        encoder[f"weight{i}"] = weight if stacked else turned.unsqueeze(0)
        encoder[f"bias{i}"] = bias.reshape(1, -1)
    expected = {
        name: shape
        for i, layer in enumerate(NATURE_LAYERS[: len(encoder) // 2])
        for name, shape in ((f"weight{i}", (1, *layer.weight_shape)), (f"bias{i}", (1, layer.outputs)))
    }
    shapes = {name: tuple(t.shape) for name, t in encoder.items()}
    finite = all(tensor.isfinite().all() for tensor in encoder.values())
    if not encoder or len(tensors) != len(expected) or shapes != expected or not finite:
        raise InputError(
            f"{source} is no encoder",
            "it must hold the first layers of the Atari network, all finite",
            "give its encoder",
        )
    return encoder


def _copied(content: Any) -> Any:
    """Plain copies: a view would be saved with all of its storage, a parameter with its class."""
    if isinstance(content, Tensor):
        return content.detach().cpu().clone()
    if isinstance(content, Mapping):
        return {name: _copied(value) for name, value in content.items()}
    return content
