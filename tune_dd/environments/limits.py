"""What no learner can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.errors import InputError

if TYPE_CHECKING:  # gymnasium takes a while to import
    from trainables.environment.tasks import Task


def check_target(task: Task, target_return: float | None) -> None:
    """Refuse a target return above any that the task can give, as far as its rewards are known.

    Raises:
        InputError: it can never be reached.
    """
    from trainables.environment.cartpole import MAX_EPISODE_STEPS, dimensions_of

    if target_return is None or dimensions_of(task.env_id) is None:
        return
    if target_return > MAX_EPISODE_STEPS:  # a step gives 1
        raise InputError(
            f"--target-return is {target_return:g} with --env {task.env_id}",
            f"an episode gives {MAX_EPISODE_STEPS} at most",
            f"give {MAX_EPISODE_STEPS} or less",
        )
