"""The contenders of the question about RL-Shaping: the same start, as many episodes, rewards that hold."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.latent.gaussians import gaussian_latents
from trainables.latent.distill_config import DistillConfig
from trainables.latent.latents import LatentData
from trainables.latent.methods import start_run
from trainables.latent.probe import fit_probe
from tune_dd.verdicts.contenders import Made
from tune_dd.verdicts.questions import QUESTIONS

QUESTION = QUESTIONS["shaping"]
EPISODES = 20


@pytest.fixture(scope="module")
def data() -> LatentData:
    return gaussian_latents(separation=1.5)


@pytest.fixture(scope="module")
def config() -> DistillConfig:
    return dataclasses.replace(
        QUESTION.configure(2, EPISODES), shape_decisions=3, shape_steps=5, proto_steps_base=15, seed=3
    )


@pytest.fixture(scope="module")
def made(config: DistillConfig, data: LatentData) -> dict[str, Made]:
    return {name: contender.make(config, data) for name, contender in QUESTION.contenders().items()}


def test_all_play_as_many_episodes_but_the_start(made: dict[str, Made]) -> None:
    assert next(iter(made)) == QUESTION.rl == "rl_shaping"
    assert made["start"].evaluations == 0 and made["start"].claimed_reward is None
    assert {one.evaluations for name, one in made.items() if name != "start"} == {EPISODES}


def test_the_start_is_what_the_implicit_method_trains(made: dict[str, Made], data: LatentData) -> None:
    config = dataclasses.replace(
        QUESTION.configure(2, EPISODES), method="implicit", proto_steps_base=15, seed=3
    )
    run = start_run(config, data)
    while not run.done:
        run.step()
    assert torch.equal(made["start"].distilled.x, run.distilled().x)


@pytest.mark.parametrize("name", ["untrained_policy", "linear_annealing", "population_based_training"])
def test_what_a_shared_start_spares_is_told_and_changes_nothing(
    name: str, config: DistillConfig, data: LatentData, made: dict[str, Made]
) -> None:
    contender = QUESTION.contenders()[name]
    other = dataclasses.replace(config, seed=4)
    elsewhere = contender.make(other, data)  # another start takes the place of the one that is kept
    alone = contender.make(config, data)
    assert elsewhere.spared_cpu_s == alone.spared_cpu_s == 0
    assert made[name].spared_cpu_s > 0
    assert torch.equal(alone.distilled.x, made[name].distilled.x)
    assert not torch.equal(alone.distilled.x, elsewhere.distilled.x)
    assert alone.claimed_reward == made[name].claimed_reward


def test_rewards_are_what_the_protocol_finds_of_the_round_trip(
    made: dict[str, Made], data: LatentData
) -> None:
    assert data.codec is not None
    for one in made.values():
        if one.claimed_reward is not None:
            points = data.codec.roundtrip(one.distilled.x)
            probe = fit_probe(points, one.distilled.targets(3), data.reward_x, data.reward_y)
            assert one.claimed_reward == pytest.approx(probe.reward_accuracy, abs=0.002)


def test_batches_are_an_eighth_of_the_episodes_within_bounds() -> None:
    sizes = {count: QUESTION.configure(1, count).shape_batch for count in (8, 64, 160, 1024)}
    assert sizes == {8: 4, 64: 8, 160: 20, 1024: 32}
    assert QUESTION.configure(1, QUESTION.count).shape_updates == 8
