"""Settings: from flat names and back, and what is said of wrong ones."""

from __future__ import annotations

from typing import Any

import pytest

from trainables.environment.config import EnvironmentConfig
from trainables.errors import InputError


def test_defaults_make_a_whole_configuration() -> None:
    config = EnvironmentConfig.parse({})
    assert config == EnvironmentConfig()
    assert config.distilled.family_names == ("same",)


def test_flat_and_back() -> None:
    given = {
        "env": "Hopper-v5",
        "batch_size": 64,
        "learners": 5,
        "num_envs": 20,
        "probe_learners": 7,
        "normalise": True,
    }
    config = EnvironmentConfig.parse(given)
    flat = config.flat()
    assert {name: flat[name] for name in given} == given
    assert EnvironmentConfig.parse(flat) == config
    assert (config.distilled.batch_size, config.outer.learners, config.probe.probe_learners) == (64, 5, 7)


def test_no_setting_hides_another() -> None:
    config = EnvironmentConfig()
    parts = (config.distilled, config.outer, config.probe)
    assert len(config.flat()) == sum(len(vars(part)) for part in parts)


def test_families_are_joined() -> None:
    config = EnvironmentConfig.parse({"families": "xe+same+xe"})
    assert config.distilled.family_names == ("xe", "same", "xe")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown name": ({"batchsize": 2}, "'batchsize', but is not known: did you mean 'batch_size'"),
    "no batch": ({"batch_size": 0}, "--batch-size is 0, but must be at least 1"),
    "a fraction of a batch": ({"batch_size": 2.5}, "must be of type int"),
    "a rate of zero": ({"outer_lr": 0.0}, "--outer-lr is 0.0, but must be greater than 0"),
    "a rate that overflows in Adam": ({"outer_lr": 3e38}, "--outer-lr is 3e+38, but must be at most 1e+30"),
    "a rate that is not finite": ({"inner_lr": float("nan")}, "must be a finite number"),
    "a discount over 1": ({"gamma": 1.01}, "must be at most 1"),
    "an average that never moves": ({"ema_decay": 1.0}, "must be at most 0.9999"),
    "unknown targets": ({"targets": "softt"}, "did you mean 'soft'"),
    "an unknown level": ({"encoder_level": "l5"}, "--encoder-level is 'l5'"),
    "a scale of what is as it was": ({"learn_scale": True}, "--learn-scale is given without --normalise"),
    "a path with a plus": ({"families": "nets/c++/n.py:Net"}, "without a '+', which joins families"),
    "a flag that is a number": ({"normalise": 1}, "must be of type bool"),
    "an unknown family": ({"families": "same+tanh"}, "names 'tanh', but it is not known: choose one of"),
    "an empty family": ({"families": "same+"}, "names ''"),
    "learners that do not share out": ({"learners": 7, "num_envs": 50}, "give --num-envs 56"),
    "more learners than environments": ({"learners": 60, "num_envs": 50}, "give --num-envs 60"),
    "a minibatch of too few": ({"minibatch_size": 24}, "--minibatch-size is 24, but an outer step needs"),
    "a minibatch of too few of a group": (
        {"minibatch_size": 9, "env": "CartPole2D-v1"},
        "steps of 10 learners: give 10 or more",
    ),
    "one learner has no deviation": ({"probe_learners": 1}, "--probe-learners is 1, but must be at least 2"),
}


@pytest.mark.parametrize(("given", "words"), WRONG.values(), ids=WRONG)
def test_wrong_settings_get_one_line(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        EnvironmentConfig.parse(given)
    assert words in str(caught.value) and "\n" not in str(caught.value)
