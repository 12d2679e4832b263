"""Where runs of environment distillations lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # gymnasium takes a while to import
    from trainables.environment.tasks import Task


def place_of(task: Task) -> tuple[str, str]:
    """The folders of a run that say what it is about: task and network."""
    network = "mlp" if len(task.observation_shape) == 1 else "nature_cnn"
    return task.env_id.replace("/", "-"), network
