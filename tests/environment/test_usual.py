"""Settings that nobody gave: they go with the task and with what was given."""

from __future__ import annotations

from typing import Any

import pytest

from trainables.environment.config import EnvironmentConfig
from trainables.environment.usual import usual_settings
from trainables.errors import InputError


def parsed(**given: Any) -> dict[str, Any]:
    return EnvironmentConfig.parse(given).flat()


def test_the_dataclasses_hold_what_suits_the_first_example() -> None:
    default = EnvironmentConfig().flat()
    assert usual_settings({}).items() <= default.items()
    assert parsed(env="CartPole1D-v1") == {**default, "env": "CartPole1D-v1"}


@pytest.mark.parametrize(
    ("env", "states"),
    [("CartPole-v1", 2), ("CartPole5D-v1", 6), ("Hopper-v5", 64), ("Pong", 4), ("Acrobot-v1", 3)],
)
def test_every_kind_of_task_has_a_size(env: str, states: int) -> None:
    assert parsed(env=env)["batch_size"] == states


def test_more_axes_are_learned_longer_and_with_more_learners() -> None:
    small, large = parsed(env="CartPole3D-v1"), parsed(env="CartPole3D-v1", batch_size=512)
    assert (small["iterations"], small["learners"], small["num_envs"]) == (1200, 50, 100)
    assert (large["iterations"], large["learners"], large["num_envs"]) == (600, 5, 100)
    assert parsed(env="CartPole5D-v1")["iterations"] == 2000


def test_cart_poles_look_far_ahead() -> None:
    one, three, hopper = (parsed(env=e)["gamma"] for e in ("CartPole-v1", "CartPole3D-v1", "Hopper-v5"))
    assert one == three > hopper, "a slow drift must count"
    assert parsed(env="Hopper-v5", gamma=0.9)["gamma"] == 0.9


def test_tasks_of_vectors_are_normalised() -> None:
    hopper = parsed(env="Hopper-v5")
    assert hopper["normalise"] and hopper["scale_values"]
    assert not parsed(env="Hopper-v5", normalise=False)["normalise"]


def test_games_are_learned_with_few_convolutional_learners() -> None:
    pong = parsed(env="Pong")
    assert (pong["learners"], pong["num_envs"], pong["epochs"]) == (4, 16, 3)
    assert pong["normalise"]
    assert parsed(env="Pong", learners=8)["num_envs"] == 16


def test_several_families_get_learners_each() -> None:
    settings = parsed(env="CartPole2D-v1", batch_size=512, families="same+xe+xe")
    assert (settings["num_envs"], settings["learners"], settings["normalise"]) == (45, 15, True)
    of_one = parsed(env="CartPole2D-v1", batch_size=512)
    assert settings["learn_scale"] and not of_one["learn_scale"]
    plain = parsed(env="CartPole2D-v1", batch_size=512, families="same+xe", normalise=False)
    assert not plain["learn_scale"], "there is nothing normalised to scale"
    alike = parsed(env="CartPole2D-v1", batch_size=512, families="same+same")
    assert {**alike, "families": "same"} == of_one
    assert settings["gamma"] < of_one["gamma"]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"num_envs": 20}, (20, 20)),
        ({"num_envs": 30}, (30, 30)),
        ({"num_envs": 120}, (120, 40)),
        ({"learners": 8}, (104, 8)),
        ({"learners": 200}, (200, 200)),
        ({"num_envs": 40, "learners": 4}, (40, 4)),
    ],
)
def test_learners_and_environments_go_together(given: dict[str, int], found: tuple[int, int]) -> None:
    settings = parsed(env="CartPole2D-v1", **given)
    assert (settings["num_envs"], settings["learners"]) == found


@pytest.mark.parametrize(
    "given",
    [{"num_envs": 0}, {"learners": -1}, {"batch_size": "many"}, {"env": "CartPole2D-v1", "learners": 1.5}],
)
def test_wrong_values_are_left_to_their_check(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(reversed(given)).replace("_", "-")):
        EnvironmentConfig.parse(given)


def test_what_was_settled_stays() -> None:
    settled = parsed(env="Hopper-v5", learners=5)
    assert parsed(**settled) == settled


def test_each_action_is_some_hard_targets() -> None:
    assert EnvironmentConfig.parse({"env": "CartPole3D-v1", "targets": "hard"}).distilled.batch_size == 6
    given = {"env": "CartPole3D-v1", "targets": "hard", "batch_size": 4}
    assert EnvironmentConfig.parse(given).distilled.batch_size == 4
