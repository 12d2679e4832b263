"""Cart-pole in N dimensions: N carts with a pole each, pushed one at a time; all of a batch in one step.

N = 1 is gymnasium's ``CartPole-v1``, to the bit. For other N the axes do not touch each other: an action
pushes one cart to the left or right, the others roll on, and the episode ends when any of them fails.
This is the task of Wilhelm and Ventura, "Distilling Reinforcement Learning into Single-Batch Datasets",
ECAI 2025.
"""

from __future__ import annotations

import math
import re
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

MAX_EPISODE_STEPS = 500
SOLVED_RETURN = 475.0
"""Of CartPole-v1, as gymnasium has it; here of any number of axes."""
REGISTERED_DIMENSIONS = 10
"""Up to this N gymnasium knows ``CartPole<N>D-v1`` from import on; :func:`register` is for more."""

# The constants of gymnasium's CartPoleEnv (Barto, Sutton and Anderson, 1983), in SI units.
_GRAVITY = 9.8
_CART_MASS = 1.0
_POLE_MASS = 0.1
_TOTAL_MASS = _CART_MASS + _POLE_MASS
_HALF_LENGTH = 0.5
_POLE_MOMENT = _POLE_MASS * _HALF_LENGTH
_FORCE = 10.0
_SECONDS_PER_STEP = 0.02
_MAX_POSITION = 2.4
_MAX_ANGLE = 12 * 2 * math.pi / 360
_START_RANGE = 0.05


Batch = VectorEnv[np.ndarray, np.ndarray, np.ndarray]
"""A batch of environments whose observations and actions are arrays."""


class CartPoleVectorEnv(Batch):
    """``num_envs`` cart-poles of ``dimensions`` axes, stepped as arrays.

    Observations are float32 of shape (num_envs, 4 * dimensions): position, velocity, angle and angular
    velocity of the first axis, then of the next. Action ``a`` of 2 * dimensions pushes axis ``a // 2``, to
    the right if ``a`` is odd. Each step gives a reward of 1; an episode is cut off at ``max_episode_steps``.

    An episode that ends is replaced by a new one in the same step: the observation returned is the new
    episode's first, and ``infos["final_obs"]`` (num_envs, 4 * dimensions) holds the ended ones' last where
    ``infos["_final_obs"]`` is true. So there is no step without a transition.
    """

    def __init__(
        self, num_envs: int = 1, dimensions: int = 1, max_episode_steps: int = MAX_EPISODE_STEPS
    ) -> None:
        self.num_envs, self.dimensions, self.max_episode_steps = num_envs, dimensions, max_episode_steps
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = observation_space(dimensions)
        self.single_action_space = spaces.Discrete(2 * dimensions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rows = np.arange(num_envs)
        self._state = np.zeros((4, num_envs, dimensions))
        self._steps = np.zeros(num_envs, np.int64)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start every episode anew; one seed serves the whole batch."""
        super().reset(seed=seed if isinstance(seed, int) or seed is None else seed[0])
        self._state = self._starts(self.num_envs)
        self._steps[:] = 0
        return self._observations(), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every episode; ``actions`` is an integer array of shape (num_envs,)."""
        push = np.zeros((self.num_envs, self.dimensions))
        push[self._rows, actions >> 1] = np.where(actions & 1, _FORCE, -_FORCE)
        self._state = advance(self._state, push)
        self._steps += 1
        terminated = fallen(self._state)
        truncated = (self._steps >= self.max_episode_steps) & ~terminated
        ended = terminated | truncated
        infos: dict[str, Any] = {}
        if ended.any():
            infos = {"final_obs": self._observations(), "_final_obs": ended}
            self._state[:, ended] = self._starts(int(ended.sum()))
            self._steps[ended] = 0
        return self._observations(), np.ones(self.num_envs), terminated, truncated, infos

    def _starts(self, count: int) -> np.ndarray:
        # The axes of one episode are drawn together, so that a batch of one draws as CartPoleEnv does.
        drawn = self.np_random.uniform(-_START_RANGE, _START_RANGE, (count, self.dimensions, 4))
        return np.ascontiguousarray(drawn.transpose(2, 0, 1))

    def _observations(self) -> np.ndarray:
        return self._state.transpose(1, 2, 0).reshape(self.num_envs, -1).astype(np.float32)


class CartPoleEnv(gym.Env[np.ndarray, int]):
    """One cart-pole of ``dimensions`` axes, for whoever wants a plain ``gymnasium.make``.

    It never ends an episode by time: ``gymnasium.make`` wraps it in a time limit.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  the name and kind gymnasium asks for

    def __init__(self, dimensions: int = 1, render_mode: str | None = None) -> None:
        self.observation_space = observation_space(dimensions)
        self.action_space = spaces.Discrete(2 * dimensions)
        self.render_mode = render_mode
        self._batch = CartPoleVectorEnv(1, dimensions, max_episode_steps=np.iinfo(np.int64).max)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        observations, infos = self._batch.reset(seed=seed)
        return observations[0], infos

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step of the episode; after its end it has to be reset."""
        observations, rewards, terminated, _, infos = self._batch.step(np.array([action]))
        last = infos["final_obs"] if terminated[0] else observations
        return last[0], float(rewards[0]), bool(terminated[0]), False, {}


def observation_space(dimensions: int) -> spaces.Box:
    """Twice the bounds within which an episode goes on, as gymnasium's; (4 * dimensions,) float32."""
    high = np.array([2 * _MAX_POSITION, np.inf, 2 * _MAX_ANGLE, np.inf], np.float32)
    return spaces.Box(np.tile(-high, dimensions), np.tile(high, dimensions), dtype=np.float32)


def advance(state: np.ndarray, push: np.ndarray) -> np.ndarray:
    """One explicit Euler step.

    Args:
        state: (4, ...) float64: position (m), velocity, angle (rad) and angular velocity.
        push: (...) force on each cart (N).

    Returns:
        The next state, (4, ...).
    """
    position, velocity, angle, spin = state
    cosine, sine = np.cos(angle), np.sin(angle)
    thrust = (push + _POLE_MOMENT * np.square(spin) * sine) / _TOTAL_MASS
    angular = (_GRAVITY * sine - cosine * thrust) / (
        _HALF_LENGTH * (4.0 / 3.0 - _POLE_MASS * np.square(cosine) / _TOTAL_MASS)
    )
    linear = thrust - _POLE_MOMENT * angular * cosine / _TOTAL_MASS
    following = np.empty_like(state)
    following[0] = position + _SECONDS_PER_STEP * velocity
    following[1] = velocity + _SECONDS_PER_STEP * linear
    following[2] = angle + _SECONDS_PER_STEP * spin
    following[3] = spin + _SECONDS_PER_STEP * angular
    return following


def fallen(state: np.ndarray) -> np.ndarray:
    """Whether any axis has left its bounds; ``state`` is (4, num_envs, dimensions)."""
    lost = (np.abs(state[0]) > _MAX_POSITION) | (np.abs(state[2]) > _MAX_ANGLE)
    gone: np.ndarray = lost.any(-1)
    return gone


def dimensions_of(env_id: str) -> int | None:
    """N for ``CartPole-v1`` (1) and ``CartPole<N>D-v1``, ``None`` for any other id."""
    if env_id == "CartPole-v1":
        return 1
    found = re.fullmatch(r"CartPole([1-9]\d{0,2})D-v1", env_id)
    return int(found[1]) if found else None


def register(dimensions: int) -> str:
    """Make ``CartPole<N>D-v1`` known to gymnasium, if it is not yet, and return that id."""
    env_id = f"CartPole{dimensions}D-v1"
    if env_id not in gym.registry:
        gym.register(
            env_id,
            entry_point=f"{__name__}:CartPoleEnv",
            vector_entry_point=f"{__name__}:CartPoleVectorEnv",
            max_episode_steps=MAX_EPISODE_STEPS,
            reward_threshold=SOLVED_RETURN,
            kwargs={"dimensions": dimensions},
        )
    return env_id


for _dimensions in range(1, REGISTERED_DIMENSIONS + 1):
    register(_dimensions)
