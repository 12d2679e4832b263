"""Reinforcement-learning tasks by name, each as one batched environment with the same manners.

Every batch that :meth:`Task.make` gives restarts an ended episode in the same step (gymnasium's
``AutoresetMode.SAME_STEP``), so each step is a transition; ``infos["final_obs"]`` has the last observation
of the ended ones.
"""

from __future__ import annotations

import functools
import os
import warnings
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs import registration
from gymnasium.vector import AutoresetMode

from trainables.environment import atari, cartpole
from trainables.environment.cartpole import Batch
from trainables.errors import InputError, nearest_name

MUJOCO = (
    "Ant",
    "HalfCheetah",
    "Hopper",
    "Humanoid",
    "HumanoidStandup",
    "InvertedDoublePendulum",
    "Reacher",
    "Walker2d",
)
"""The tasks of the reference; any other of gymnasium's with vectors to see and one action does as well."""
PICTURES = (4, 84, 84)
"""The one shape of pictures that the convolutional network takes."""
_EXAMPLES = ("CartPole-v1", "CartPole5D-v1", *(f"{name}-v5" for name in MUJOCO), *atari.REFERENCE_GAMES)


@dataclass(frozen=True)
class Task:
    """What a learner must know of a task.

    Attributes:
        env_id: its name, spelt one way.
        observation_shape: of one observation.
        observation_scale: what observations are multiplied by before a learner sees them.
        actions: how many there are to choose from, or how many numbers make one.
        discrete: whether an action is a choice; otherwise it is a vector.
        low, high: bounds of each number of an action, (actions,) float32; empty for choices.
    """

    env_id: str
    observation_shape: tuple[int, ...]
    observation_scale: float
    actions: int
    discrete: bool
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @property
    def solved_return(self) -> float | None:
        """The return at which gymnasium calls the task solved, or a human's in games, where it is known."""
        if cartpole.dimensions_of(self.env_id) is not None:
            return cartpole.SOLVED_RETURN
        if self.env_id.startswith(atari.PREFIX):
            return atari.HUMAN_RETURNS.get(atari.title_of(self.env_id))
        spec = gym.registry.get(self.env_id)
        return None if spec is None else spec.reward_threshold

    @property
    def sees_pictures(self) -> bool:
        """Whether observations are pictures, not vectors."""
        return len(self.observation_shape) > 1

    def make(self, num_envs: int, pictures: bool = False) -> Batch:
        """A batch of ``num_envs`` episodes.

        Args:
            pictures: with ``render`` (cart-poles and games have none: there observations say it all).
        """
        return _make(self.env_id, num_envs, pictures)

    def learning_rewards(self, rewards: np.ndarray) -> np.ndarray:
        """What learning takes for rewards: of Atari's only the sign (Mnih et al., 2015)."""
        return np.sign(rewards) if self.env_id.startswith(atari.PREFIX) else rewards

    def clip(self, actions: np.ndarray) -> np.ndarray:
        """Actions as the environment takes them; (n,) int or (n, actions) float."""
        if self.discrete:
            return actions
        low, high = (np.array(bound, actions.dtype) for bound in (self.low, self.high))
        # A learner that diverged still acts.
        clipped: np.ndarray = np.nan_to_num(np.clip(actions, low, high))
        return clipped


@functools.cache
def open_task(env_id: str) -> Task:
    """Look a task up by name; it is opened once.

    Args:
        env_id: ``CartPole-v1``, ``CartPole<N>D-v1``, ``Hopper-v5`` or any other id that gymnasium knows,
            ``ALE/Pong-v5`` or just ``Pong``.

    Raises:
        InputError: if there is no such task, or learners of this project cannot take part in it.
    """
    env_id = atari.canonical_id(env_id) or _latest(env_id)
    if cartpole.dimensions_of(env_id) == 1:
        env_id = "CartPole-v1"
    env = _make(env_id, 1)
    try:
        seen, acted = env.single_observation_space, env.single_action_space
    finally:
        env.close()
    if not isinstance(seen, spaces.Box) or (len(seen.shape) != 1 and seen.shape != PICTURES):
        raise InputError(
            f"--env is {env_id}",
            f"what it shows is {seen}",
            f"choose one that shows a vector, or pictures of shape {PICTURES} as Atari games do here",
        )
    scale = 1 / 255 if seen.dtype == np.uint8 else 1.0
    if isinstance(acted, spaces.Discrete) and acted.start == 0:
        return Task(env_id, seen.shape, scale, int(acted.n), discrete=True)
    if isinstance(acted, spaces.Box) and len(acted.shape) == 1:
        low, high = (tuple(map(float, bound)) for bound in (acted.low, acted.high))
        return Task(env_id, seen.shape, scale, acted.shape[0], discrete=False, low=low, high=high)
    raise InputError(
        f"--env is {env_id}", f"its actions are {acted}", "choose one with numbered actions or a vector"
    )


def _latest(env_id: str) -> str:
    """``Hopper`` -> ``Hopper-v5``, the version that gymnasium would take; other names stay."""
    try:
        namespace, name, version = registration.parse_env_id(env_id)
    except gym.error.Error:
        return env_id
    highest = registration.find_highest_version(namespace, name) if version is None else None
    return env_id if highest is None else registration.get_env_id(namespace, name, highest)


def _make(env_id: str, num_envs: int, pictures: bool = False) -> Batch:
    dimensions = cartpole.dimensions_of(env_id)
    if dimensions is not None:
        return cartpole.CartPoleVectorEnv(num_envs, dimensions)
    if env_id.startswith(atari.PREFIX):
        return atari.make(env_id, num_envs)
    _hear_mujoco(env_id)
    drawn: dict[str, Any] = {"render_mode": "rgb_array"} if pictures else {}
    try:
        with warnings.catch_warnings():
            # The stored sets are of MuJoCo's v4, so whoever asks for those means it.
            warnings.filterwarnings("ignore", ".*is out of date")
            return gym.make_vec(
                env_id,
                num_envs,
                vectorization_mode="sync",
                vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
                **drawn,
            )
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        raise InputError(
            f"--env is '{env_id}'",
            f"it cannot be loaded: {error}",
            "take its latest version, or install what it names",
        ) from error
    except gym.error.Error as error:
        raise InputError(
            f"--env is '{env_id}'", "there is no such task", nearest_name(env_id, _EXAMPLES)
        ) from error


@functools.cache
def _hear_mujoco(env_id: str) -> None:
    """Have MuJoCo's warnings as Python's; left alone it writes a log into the current folder.

    Raises:
        InputError: if it is needed, and the renderer that ``MUJOCO_GL`` names cannot be loaded.
    """
    try:
        import mujoco
    except ImportError:
        return
    except Exception as error:  # whatever the renderer's library raises; it is loaded even to draw nothing
        spec = gym.registry.get(env_id)
        if spec is None or "mujoco" not in str(spec.entry_point):
            return
        raise InputError(
            f"MUJOCO_GL is '{os.environ.get('MUJOCO_GL', '')}'",
            f"MuJoCo cannot be loaded with it ({error})",
            "install that renderer (EGL or OSMesa), or unset MUJOCO_GL",
        ) from error

    def warn(message: str) -> None:
        if "settotalmass" not in message:  # gymnasium's own models say so for every environment made
            warnings.warn(f"MuJoCo: {message}", RuntimeWarning, stacklevel=2)

    mujoco.set_mju_user_warning(warn)
