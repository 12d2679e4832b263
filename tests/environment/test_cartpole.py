"""ND cart-pole: gymnasium's own in one dimension, a scalar reference in others."""

from __future__ import annotations

import itertools
import math

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode

from trainables.environment.cartpole import (
    REGISTERED_DIMENSIONS,
    CartPoleVectorEnv,
    dimensions_of,
    register,
)


def test_one_dimension_is_gymnasiums_to_the_bit() -> None:
    ours, theirs = CartPoleVectorEnv(1), gym.make("CartPole-v1")
    actions = np.random.default_rng(0)
    seen, expected = ours.reset(seed=7)[0], theirs.reset(seed=7)[0]
    episodes = cut_off = 0
    for step in range(4000):
        np.testing.assert_array_equal(seen[0], expected, err_msg=f"step {step}")
        # Mostly the sensible push, so that there are long episodes and some that end by time.
        sensible = int(expected[2] + expected[3] + 0.1 * expected[0] + 0.2 * expected[1] > 0)
        action = sensible if actions.random() < (0.5, 1.0)[episodes % 2] else 1 - sensible
        seen, rewards, terminated, truncated, infos = ours.step(np.array([action]))
        expected, reward, theirs_terminated, theirs_truncated, _ = theirs.step(action)
        assert (rewards[0], terminated[0], truncated[0]) == (reward, theirs_terminated, theirs_truncated)
        if terminated[0] or truncated[0]:
            np.testing.assert_array_equal(infos["final_obs"][0], expected)
            expected = theirs.reset()[0]
            episodes += 1
            cut_off += int(truncated[0])
    assert episodes > cut_off + 5 and cut_off > 2


def scalar_step(axis: list[float], force: float) -> list[float]:
    """One axis, from the equations of Florian, "Correct equations for the dynamics of the cart-pole"."""
    x, v, theta, omega = axis
    mass, pole, half = 1.1, 0.1, 0.5
    pull = (force + pole * half * omega**2 * math.sin(theta)) / mass
    alpha = (9.8 * math.sin(theta) - math.cos(theta) * pull) / (
        half * (4 / 3 - pole * math.cos(theta) ** 2 / mass)
    )
    a = pull - pole * half * alpha * math.cos(theta) / mass
    return [x + 0.02 * v, v + 0.02 * a, theta + 0.02 * omega, omega + 0.02 * alpha]


@pytest.mark.parametrize("dimensions", [2, 3, 7])
def test_more_dimensions_are_axes_of_their_own(dimensions: int) -> None:
    count, limit = 4, 25
    env = CartPoleVectorEnv(count, dimensions, max_episode_steps=limit)
    starts, _ = np_random(3)
    state = starts.uniform(-0.05, 0.05, (count, dimensions, 4)).tolist()
    age = [0] * count
    seen, _ = env.reset(seed=3)
    choices = np.random.default_rng(1)
    ends = {"terminated": 0, "truncated": 0}
    for _ in range(300):
        np.testing.assert_allclose(seen, np.reshape(state, (count, -1)), rtol=1e-5, atol=1e-6)
        # The first half push one axis to and fro; the others push at random and fall.
        actions = choices.integers(2 * dimensions, size=count)
        actions[: count // 2] = [age[i] % 2 for i in range(count // 2)]
        seen, rewards, terminated, truncated, infos = env.step(actions)
        assert (rewards == 1).all() and seen.dtype == np.float32
        for i, action in enumerate(actions):
            for axis in range(dimensions):
                force = (10.0 if action % 2 else -10.0) if action // 2 == axis else 0.0
                state[i][axis] = scalar_step(state[i][axis], force)
            age[i] += 1
        failed = [any(abs(x) > 2.4 or abs(t) > math.radians(12) for x, _, t, _ in axes) for axes in state]
        late = [steps >= limit and not fail for steps, fail in zip(age, failed, strict=True)]
        assert (terminated.tolist(), truncated.tolist()) == (failed, late)
        ended = terminated | truncated
        if ended.any():
            np.testing.assert_array_equal(infos["_final_obs"], ended)
            last = np.reshape(state, (count, -1))[ended]
            np.testing.assert_allclose(infos["final_obs"][ended], last, rtol=1e-5, atol=1e-6)
            fresh = starts.uniform(-0.05, 0.05, (int(ended.sum()), dimensions, 4)).tolist()
            for i in np.flatnonzero(ended):
                state[i], age[i] = fresh.pop(0), 0
        ends["terminated"] += terminated.sum()
        ends["truncated"] += truncated.sum()
    assert min(ends.values()) > 3


def test_every_step_of_the_batch_is_a_transition() -> None:
    # A pole that falls within n steps falls every n steps: gymnasium's own way of restarting in the next
    # step would need n + 1.
    env = CartPoleVectorEnv(5, 2, max_episode_steps=6)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    env.reset(seed=0)
    ended = [env.step(np.zeros(5, int))[3].all() for _ in range(24)]
    assert ended == [step % 6 == 5 for step in range(24)]


def balanced(seen: np.ndarray) -> np.ndarray:
    """Pushes that keep a pole up for as long as one likes."""
    return np.asarray(seen @ np.array([0.1, 0.3, 1.0, 1.0]) > 0, int)


def test_a_balanced_episode_is_cut_off_at_500_and_not_terminated() -> None:
    env = CartPoleVectorEnv(8)
    seen, _ = env.reset(seed=0)
    for step in range(1, 501):
        seen, _, terminated, truncated, _ = env.step(balanced(seen))
        assert not terminated.any() and (truncated == (step == 500)).all()


def test_a_fall_at_the_limit_is_a_fall() -> None:
    def fall(limit: int) -> tuple[int, bool, bool]:
        env = CartPoleVectorEnv(1, max_episode_steps=limit)
        env.reset(seed=0)
        for step in itertools.count(1):
            _, _, terminated, truncated, _ = env.step(np.array([1]))
            if terminated[0] or truncated[0]:
                return step, bool(terminated[0]), bool(truncated[0])
        raise AssertionError

    length, _, _ = fall(500)
    assert fall(length) == (length, True, False)
    assert fall(length - 1) == (length - 1, False, True)


@pytest.mark.parametrize("dimensions", [2, 5, REGISTERED_DIMENSIONS])
def test_gymnasium_makes_it_by_name(dimensions: int) -> None:
    env_id = f"CartPole{dimensions}D-v1"
    single, batch = gym.make(env_id), gym.make_vec(env_id, 3)
    assert isinstance(batch, CartPoleVectorEnv) and batch.num_envs == 3
    assert single.spec is not None and single.spec.max_episode_steps == batch.max_episode_steps == 500
    seen, _ = single.reset(seed=5)
    assert single.observation_space.contains(seen) and batch.reset(seed=5)[0].shape == (3, 4 * dimensions)
    assert single.action_space == batch.single_action_space == gym.spaces.Discrete(2 * dimensions)
    reference = CartPoleVectorEnv(1, dimensions)
    np.testing.assert_array_equal(seen, reference.reset(seed=5)[0][0])
    for action in itertools.cycle(range(2 * dimensions)):
        seen, reward, terminated, truncated, _ = single.step(action)
        theirs, _, ended, _, infos = reference.step(np.array([action]))
        last = infos["final_obs"] if ended[0] else theirs
        np.testing.assert_array_equal(seen, last[0])
        assert (reward, terminated, truncated) == (1.0, ended[0], False)
        if terminated:
            break


def test_a_plain_one_has_the_time_limit_of_the_wrapper() -> None:
    env = gym.make("CartPole1D-v1", max_episode_steps=700)
    seen, _ = env.reset(seed=0)
    for step in range(1, 701):
        seen, _, terminated, truncated, _ = env.step(int(balanced(seen)))
        assert (terminated, truncated) == (False, step == 700)


def test_any_number_of_dimensions_can_be_registered() -> None:
    env_id = register(31)
    assert env_id == register(31) == "CartPole31D-v1"
    assert gym.make(env_id).observation_space.shape == (124,)


@pytest.mark.parametrize(
    ("env_id", "dimensions"),
    [
        ("CartPole-v1", 1),
        ("CartPole1D-v1", 1),
        ("CartPole12D-v1", 12),
        ("CartPole0D-v1", None),
        ("CartPole02D-v1", None),
        ("CartPole-2D-v1", None),
        ("CartPoleD-v1", None),
        ("CartPole2D-v1x", None),
        ("CartPole-v0", None),
        ("Hopper-v5", None),
    ],
)
def test_dimensions_of_a_name(env_id: str, dimensions: int | None) -> None:
    assert dimensions_of(env_id) == dimensions
