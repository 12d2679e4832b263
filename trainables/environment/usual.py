"""What suits a task where nobody says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainables.environment import cartpole
from trainables.environment.choices import STATES_FOR_VECTORS
from trainables.environment.tasks import Task, open_task

MANY_STATES = 64
"""From so many states on, further initialisations cost more than they bring."""
# Several axes need episodes of more learners, which live to see where they drift.
_AXES = {"num_envs": 100, "epochs": 2, "learner_groups": 5, "critic_lr": 3e-3}
# Not for cart-poles and learners of one family: few of these drift out, and slowly, so that what happens
# after some 400 steps has to count.
_SHORTER_HORIZON = {"gamma": 0.99}
# Learners of several families must agree on what the set says: where observations are of like sizes, or of
# those that serve them best, what their random weights add to it is smaller. The inner steps of many
# learners take the time, so few of them.
# Where weights spoil a policy, poles fall soon: learners of 3D cart-pole do better with the shorter horizon.
_FAMILIES = {
    **_SHORTER_HORIZON,
    "epochs": 2,
    "minibatch_size": 1024,
    "learner_groups": 5,
    "critic_lr": 3e-3,
    "learner_life": 5,
    "normalise": True,
}
_OF_A_FAMILY, _ENVS_EACH = 5, 3
# Episodes outlive a meta-iteration, numbers have no natural size, and simulating is what takes the time:
# probes of more learners would take longer than learning.
_VECTORS = {
    "rollout_steps": 80,
    "outer_lr": 2e-2,
    "critic_lr": 3e-3,
    "iterations": 800,
    "iterations_per_report": 20,
    "normalise": True,
    "scale_values": True,
    "probe_learners": 20,
}
# Convolutions are dear: few learners, few passes. Pixels are many, so that a step goes far; and most never
# change, so that without normalising them all states look alike.
_PICTURES = {
    "learners": 4,
    "num_envs": 16,
    "rollout_steps": 64,
    "epochs": 3,
    "minibatch_size": 256,
    "inner_lr": 0.02,
    "critic_lr": 5e-4,
    "learner_life": 5,
    "clip": 0.1,
    "entropy": 0.01,
    "iterations": 400,
    "iterations_per_report": 20,
    "probe_learners": 10,
    "normalise": True,
}


def usual_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that go with those given; the defaults of the dataclasses are for what is not among them.

    Args:
        given: flat, and perhaps wrong: then so is what is returned, and their check tells.

    Raises:
        InputError: as :func:`~trainables.environment.tasks.open_task`.
    """
    if not isinstance(given.get("env", ""), str):
        return {}
    task = open_task(given.get("env", "CartPole-v1"))
    usual: dict[str, Any] = {"batch_size": smallest_sensible(task), "num_envs": 50, "learners": 25}
    if given.get("targets") == "hard":
        usual["batch_size"] = task.actions  # each action must be some state's
    dimensions = cartpole.dimensions_of(task.env_id)
    large = _number(given, "batch_size", usual["batch_size"]) >= MANY_STATES
    if dimensions is None:
        usual |= _SHORTER_HORIZON
    if dimensions == 1 and large:
        usual |= {"learners": 1, "learner_life": 1, "iterations": 200}
    elif dimensions is not None and dimensions > 1:
        usual |= {**_AXES, "learners": 5 if large else 50, "learner_life": 2 if large else 5}
        usual["iterations"] = (200 if large else 400) * dimensions
    elif task.sees_pictures:
        usual |= _PICTURES
    elif not task.discrete:
        usual |= {**_VECTORS, "batch_size": STATES_FOR_VECTORS}
    named = str(given.get("families", "same")).split("+")
    if len(set(named)) > 1:
        learners = _OF_A_FAMILY * len(named)
        usual |= {**_FAMILIES, "learners": learners, "num_envs": _ENVS_EACH * learners}
        # Of pixels none matters by itself.
        usual["learn_scale"] = not task.sees_pictures and given.get("normalise", True) is True
        if dimensions is not None and large:
            usual["iterations"] = 100 * (dimensions + 1)
    usual |= {name: value for name, value in _shared_out({**usual, **given}).items() if name not in given}
    return usual


def smallest_sensible(task: Task) -> int:
    """The minimal size of Wilhelm and Ventura (2025): half as many states as there are actions, and one."""
    return -(-task.actions // 2) + 1


def _shared_out(settings: Mapping[str, Any]) -> dict[str, int]:
    """Environments and learners near those wanted, so that each learner has as many environments."""
    num_envs, learners = _number(settings, "num_envs", 1), _number(settings, "learners", 1)
    return {
        "num_envs": learners * -(-num_envs // learners),
        "learners": next(n for n in range(min(learners, num_envs), 0, -1) if num_envs % n == 0),
    }


def _number(settings: Mapping[str, Any], name: str, otherwise: int) -> int:
    value = settings.get(name, otherwise)
    return value if isinstance(value, int) and value > 0 else otherwise
