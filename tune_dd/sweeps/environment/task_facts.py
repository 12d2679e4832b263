"""What returns depend on beside the settings: the task and the versions of what simulates it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from trainables.environment.tasks import Task

# By what an environment's entry point names.
_SIMULATORS = {"mujoco": "mujoco", "ale_py": "ale-py"}
_SHOWN = 12
"""Digits of a file's digest."""


def task_facts(task: Task, modules: Mapping[str, str]) -> dict[str, Any]:
    """The facts of a task, with a ``key`` in words that is equal where returns can be compared.

    Args:
        modules: digests of the user's own networks among the learners, by family.
    """
    packages = ["gymnasium", *(name for word, name in _SIMULATORS.items() if word in _entry_point(task))]
    versions = {name: importlib.metadata.version(name) for name in packages}
    actions = f"{task.actions} actions" if task.discrete else f"actions of {task.actions} numbers"
    # By names without paths: a file may lie elsewhere, as long as it is the same.
    own = {family.rpartition(":")[2]: digest[:_SHOWN] for family, digest in modules.items()}
    words = ", ".join(f"{name} {version}" for name, version in {**versions, **own}.items())
    return {
        "key": f"{task.env_id} with observations {task.observation_shape} and {actions}, {words}",
        "env": task.env_id,
        "observation_shape": list(task.observation_shape),
        "actions": task.actions,
        "simulated_by": versions,
        "modules": dict(modules),
    }


def _entry_point(task: Task) -> str:
    spec = gym.registry.get(task.env_id)  # cart-poles of several dimensions are our own
    return "" if spec is None else str(spec.entry_point)
