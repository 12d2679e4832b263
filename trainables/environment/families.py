"""Families of learners: those a set is trained for, and unlike ones that it is judged by.

The families are those of Wilhelm and Ventura's validation; which fits a task follows from what it shows:
a multi-layer perceptron for vectors, the convolutional network of Mnih et al. (2015) for pictures.
"""

from __future__ import annotations

import dataclasses

import torch

from trainables.environment.choices import LEVELS, is_module
from trainables.environment.learners import (
    Dense,
    Initialisation,
    Layer,
    Learner,
    NetworkLearner,
    mlp_layers,
)
from trainables.environment.own_modules import module_learner
from trainables.environment.perception import NATURE_LAYERS
from trainables.environment.tasks import Task
from trainables.errors import InputError

HIDDEN = (64, 64)
EXTRA_LAYERS = range(6)
WIDTHS = (32, 256)

_INITIALISATIONS = {
    "ortho1": Initialisation("orthogonal", 1.0, 1.0),
    "xe": Initialisation("xavier", 2**0.5, 0.01),
}


def learners(family: str, task: Task, level: str = "none") -> tuple[Learner, ...]:
    """The architectures of a family; a draw from it is one of these, each as likely.

    Args:
        family: one of :data:`~trainables.environment.choices.FAMILIES`, or a network of the user's own.
        level: the part of the network that is the set's encoder (see
            :data:`~trainables.environment.choices.LEVELS`).

    Raises:
        InputError: if the task's learners have nothing that the family varies, or as :func:`module_learner`.
    """
    if is_module(family):
        return (module_learner(family, task, level),)
    own = _own_learner(task, level)
    if family in _INITIALISATIONS:
        return (dataclasses.replace(own, initialisation=_INITIALISATIONS[family]),)
    if family == "random_size":
        return tuple(_deeper(own, extra) for extra in EXTRA_LAYERS)
    if family == "random_hidden":
        if len(own.layers) < 2 or not all(isinstance(layer, Dense) for layer in own.layers):
            raise InputError(
                f"the learners of {task.env_id} at encoder level {level} cannot be of family 'random_hidden'",
                "it needs hidden layers, and dense ones alone",
                "choose another family",
            )
        return (_wider(own),)
    return (own,)


def draw_architectures(
    family: str, task: Task, level: str, count: int, generator: torch.Generator
) -> list[tuple[Learner, int]]:
    """``count`` learners of a family, as architectures and how many of each."""
    among = learners(family, task, level)
    chosen = torch.randint(len(among), (count,), generator=generator)
    numbers = torch.bincount(chosen, minlength=len(among)).tolist()
    return [(learner, number) for learner, number in zip(among, numbers, strict=True) if number]


def _own_learner(task: Task, level: str) -> NetworkLearner:
    if not task.sees_pictures:
        layers: tuple[Layer, ...] = mlp_layers((*task.observation_shape, *HIDDEN, task.actions))
        return NetworkLearner(layers, "tanh", log_std=not task.discrete)
    whole = (*NATURE_LAYERS, Dense(NATURE_LAYERS[-1].outputs, task.actions))
    return NetworkLearner(whole[LEVELS[level] :], "relu", log_std=not task.discrete)


def _deeper(own: NetworkLearner, extra: int) -> NetworkLearner:
    # As the method's authors have it: nothing else between the first hidden layer and the last layer.
    *first, last = own.layers
    between = Dense(last.inputs, last.inputs)
    kept = first[:-1] if len(first) > 1 and first[-1] == between else first
    return dataclasses.replace(own, layers=(*kept, *(between,) * extra, last), activation="none")


def _wider(own: NetworkLearner) -> NetworkLearner:
    layers = [Dense(WIDTHS[1], WIDTHS[1])] * len(own.layers)
    layers[0] = Dense(own.layers[0].inputs, WIDTHS[1])
    layers[-1] = Dense(WIDTHS[1], own.layers[-1].outputs)
    return dataclasses.replace(own, layers=tuple(layers), widths=WIDTHS)
