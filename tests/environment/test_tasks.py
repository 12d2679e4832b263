"""Tasks by name: what they show, what they take, and what is said of those that cannot be had."""

from __future__ import annotations

from pathlib import Path

import ale_py
import gymnasium as gym
import numpy as np
import pytest
from ale_py.roms import get_rom_path
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from tests.conftest import run_python
from trainables.environment.tasks import MUJOCO, open_task
from trainables.errors import InputError

# Observations in v4 and v5, numbers of an action, its bound.
MUJOCO_SIZES = {
    "Ant": (27, 105, 8, 1.0),
    "HalfCheetah": (17, 17, 6, 1.0),
    "Hopper": (11, 11, 3, 1.0),
    "Humanoid": (376, 348, 17, 0.4),
    "HumanoidStandup": (376, 348, 17, 0.4),
    "InvertedDoublePendulum": (11, 9, 1, 1.0),
    "Reacher": (11, 10, 2, 1.0),
    "Walker2d": (17, 17, 6, 1.0),
}


def test_all_tasks_of_the_reference_are_tried() -> None:
    assert set(MUJOCO_SIZES) == set(MUJOCO)


@pytest.mark.parametrize("name", MUJOCO)
def test_mujoco_sizes_of_both_versions(name: str, recwarn: pytest.WarningsRecorder) -> None:
    v4, v5, actions, bound = MUJOCO_SIZES[name]
    for env_id, size in ((f"{name}-v4", v4), (f"{name}-v5", v5)):
        task = open_task(env_id)
        assert (task.env_id, task.observation_shape, task.observation_scale) == (env_id, (size,), 1.0)
        assert (task.actions, task.discrete) == (actions, False)
        np.testing.assert_allclose((task.low, task.high), [[-bound] * actions, [bound] * actions], rtol=1e-6)
        env = task.make(2)
        env.reset(seed=0)
        seen, rewards, *_ = env.step(task.clip(np.full((2, actions), 9.0, np.float32)))
        assert seen.shape == (2, size) and np.isfinite(rewards).all()
        env.close()
    assert [str(warning.message) for warning in recwarn] == []


def test_mujoco_leaves_no_log_and_says_nothing(tmp_path: Path) -> None:
    # In a process of its own, as what MuJoCo says goes past Python unless it is told not to.
    play = (
        "from trainables.environment.tasks import open_task\n"
        "import numpy as np\n"
        "for name in ('HalfCheetah-v4', 'HalfCheetah-v5', 'Humanoid-v4'):\n"
        "    task = open_task(name)\n"
        "    env = task.make(2)\n"
        "    env.reset(seed=0)\n"
        "    env.step(np.zeros((2, task.actions), np.float32))\n"
    )
    done = run_python("-W", "default", "-c", play, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_mujoco_warnings_are_pythons(tmp_path: Path) -> None:
    # A state that has blown up: MuJoCo resets it, and that must be heard.
    play = (
        "from trainables.environment.tasks import open_task\n"
        "import numpy as np\n"
        "task = open_task('Hopper-v5')\n"
        "env = task.make(1)\n"
        "env.reset(seed=0)\n"
        "inner = env.envs[0].unwrapped\n"
        "inner.set_state(inner.data.qpos * np.nan, inner.data.qvel)\n"
        "env.step(np.zeros((1, 3), np.float32))\n"
    )
    done = run_python("-c", play, cwd=tmp_path)
    assert "RuntimeWarning: MuJoCo: Nan" in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_mujoco_restarts_in_the_same_step() -> None:
    env = open_task("InvertedDoublePendulum-v5").make(3)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    env.reset(seed=0)
    for _ in range(100):
        seen, _, terminated, _, infos = env.step(np.ones((3, 1), np.float32))
        if terminated.any():
            break
    ended = np.flatnonzero(terminated)
    np.testing.assert_array_equal(infos["_final_obs"], terminated)
    for row in ended:
        assert abs(seen[row, 0]) < 0.2 < abs(infos["final_obs"][row][0])  # a cart pushed all the time
    env.close()


@pytest.mark.parametrize("dimensions", [1, 4])
def test_cart_pole(dimensions: int) -> None:
    task = open_task(f"CartPole{dimensions}D-v1")
    assert task.env_id == ("CartPole-v1" if dimensions == 1 else "CartPole4D-v1")
    assert (task.observation_shape, task.actions, task.discrete) == ((4 * dimensions,), 2 * dimensions, True)
    actions = np.array([0, 1])
    assert task.clip(actions) is actions
    assert task.make(3).reset(seed=0)[0].shape == (3, 4 * dimensions)


def test_a_name_without_version_is_the_latest() -> None:
    found = {name: open_task(name).env_id for name in ("CartPole", "Hopper", "Hopper-v4")}
    assert found == {"CartPole": "CartPole-v1", "Hopper": "Hopper-v5", "Hopper-v4": "Hopper-v4"}


SPELLINGS = {
    "Pong": "ALE/Pong-v5",
    "pong": "ALE/Pong-v5",
    "PongNoFrameskip-v4": "ALE/Pong-v5",
    "ALE/Pong-v5": "ALE/Pong-v5",
    "ALE/Pong": "ALE/Pong-v5",
    "Pong-v5": "ALE/Pong-v5",
    "SpaceInvaders": "ALE/SpaceInvaders-v5",
    "spaceinvaders": "ALE/SpaceInvaders-v5",
    "MsPacmanNoFrameskip-v4": "ALE/MsPacman-v5",
    "Centipede": "ALE/Centipede-v5",
}


@pytest.mark.parametrize(("name", "env_id"), SPELLINGS.items())
def test_atari_in_every_spelling(name: str, env_id: str) -> None:
    task = open_task(name)
    assert task.env_id == env_id and task.discrete
    assert (task.observation_shape, task.observation_scale) == ((4, 84, 84), 1 / 255)
    full = {"ALE/Centipede-v5": 18, "ALE/MsPacman-v5": 9}
    assert task.actions == full.get(env_id, 6)


def test_returns_that_solve_a_task() -> None:
    known = {"CartPole-v1": 475, "CartPole3D-v1": 475, "Hopper-v5": 3800, "Reacher-v4": -3.75, "Pong": 9.3}
    assert {name: open_task(name).solved_return for name in known} == known
    assert open_task("Walker2d-v5").solved_return is None and open_task("Breakout").solved_return is None


def test_learning_goes_by_the_sign_of_atari_rewards_alone() -> None:
    rewards = np.array([30.0, 0.0, -2.0, 1.0])
    assert open_task("SpaceInvaders").learning_rewards(rewards).tolist() == [1.0, 0.0, -1.0, 1.0]
    assert open_task("CartPole-v1").learning_rewards(rewards) is rewards


def by_hand(game: ale_py.ALEInterface, noops: int, actions: list[int]) -> tuple[np.ndarray, list[int]]:
    """Newest picture at the start and after each action, (steps + 1, 84, 84), and the rewards."""
    game.reset_game()
    legal = game.getMinimalActionSet()
    screen = game.getScreenGrayscale
    for _ in range(noops):
        game.act(legal[0])
    seen, rewards = [screen()], []
    for action in actions:
        frames = []
        rewards.append(0)
        for _ in range(4):
            rewards[-1] += game.act(legal[action])
            frames.append(screen())
        seen.append(np.maximum(*frames[2:]))
    tall, wide = (shares(size) for size in seen[0].shape)
    return tall @ np.stack(seen) @ wide.T, rewards


def shares(size: int) -> np.ndarray:
    """How much of each of ``size`` pixels goes into each of 84, (84, size): by area."""
    scale = size / 84
    starts, pixels = np.arange(84)[:, None] * scale, np.arange(size)
    overlap = np.minimum(starts + scale, pixels + 1) - np.maximum(starts, pixels)
    return np.asarray(overlap.clip(0) / scale, np.float32)


def test_atari_is_preprocessed_as_the_field_does() -> None:
    env = open_task("SpaceInvaders").make(1)
    actions = np.random.default_rng(0).integers(6, size=40).tolist()
    stacks, rewards = [env.reset(seed=3)[0][0]], []
    for action in actions:
        observations, reward, *_ = env.step(np.array([action]))
        stacks.append(observations[0])
        rewards.append(int(reward[0]))
    env.close()
    newest = np.stack([stack[-1] for stack in stacks])
    # Of the starts that are possible, one leads to these very pictures and rewards.
    game = ale_py.ALEInterface()
    game.setFloat("repeat_action_probability", 0.0)
    game.loadROM(get_rom_path("space_invaders"))
    played = [by_hand(game, noops, actions) for noops in range(31)]
    apart = [np.abs(seen - newest).max() for seen, _ in played]
    assert min(apart) <= 1 and sorted(apart)[1] > 50  # to the rounding
    assert played[int(np.argmin(apart))][1] == rewards and sum(rewards) > 0
    # The newest picture is the last; an episode's first stack is filled up with black.
    for i, stack in enumerate(stacks):
        before = [newest[i - back] if i >= back else np.zeros((84, 84)) for back in (3, 2, 1, 0)]
        np.testing.assert_array_equal(stack, before)


WRONG_NAMES = {
    "Hopperr-v5": "did you mean 'Hopper-v5'",
    "Hopper-v9": "did you mean 'Hopper-v5'",
    "hopper-v5": "did you mean 'Hopper-v5'",
    "CartPole0D-v1": "did you mean 'CartPole-v1'",
    "CartPole05D-v1": "did you mean 'CartPole5D-v1'",
    "Pongg": "did you mean 'Pong'",
    "ALE/Pongg-v5": "did you mean 'Pong'",
    "ALE/Zzz-v5": "as in Pong or SpaceInvaders",
    "xyz": "choose one of",
    "": "choose one of",
    "not a name": "choose one of",
    "nowhere:Task-v0": "cannot be loaded",
    "Ant-v3": "cannot be loaded",
}


@pytest.mark.parametrize(("name", "words"), WRONG_NAMES.items())
def test_wrong_names_get_one_line(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        open_task(name)
    assert f"'{name}'" in str(caught.value) and "\n" not in str(caught.value)


class Fake(gym.Env[np.ndarray, np.ndarray]):
    """A task of any spaces."""

    def __init__(self, seen: spaces.Space, acted: spaces.Space) -> None:  # type: ignore[type-arg]
        self.observation_space, self.action_space = seen, acted


VECTOR = spaces.Box(-1, 1, (3,), np.float32)
TWO = spaces.Discrete(2)
UNSUPPORTED = {
    "numbers to see": (spaces.Discrete(5), TWO, "what it shows is Discrete"),
    "several things to see": (spaces.Tuple((TWO, TWO)), TWO, "what it shows is Tuple"),
    "a matrix": (spaces.Box(0, 1, (3, 3)), TWO, "what it shows is Box"),
    "other pictures": (spaces.Box(0, 255, (210, 160, 3), np.uint8), TWO, r"pictures of shape \(4, 84, 84\)"),
    "several choices": (VECTOR, spaces.MultiDiscrete([2, 2]), "its actions are MultiDiscrete"),
    "choices from 1": (VECTOR, spaces.Discrete(2, start=1), "its actions are Discrete"),
    "a matrix of actions": (VECTOR, spaces.Box(-1, 1, (2, 2)), "its actions are Box"),
}


@pytest.mark.parametrize(("seen", "acted", "words"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_unsupported_spaces_are_named(
    seen: spaces.Space,
    acted: spaces.Space,
    words: str,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[type-arg]
) -> None:
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    gym.register("Fake-v0", entry_point=lambda: Fake(seen, acted), disable_env_checker=True)
    with pytest.raises(InputError, match=words):
        open_task("Fake-v0")


def test_actions_are_clipped_to_their_own_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    acted = spaces.Box(np.array([-1, 0], np.float32), np.array([1, np.inf], np.float32))
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    gym.register("Fake-v0", entry_point=lambda: Fake(VECTOR, acted), disable_env_checker=True)
    clipped = open_task("Fake-v0").clip(np.array([[-3, -3], [3, 3]], np.float32))
    np.testing.assert_array_equal(clipped, [[-1, 0], [1, 3]])
    assert clipped.dtype == np.float32
