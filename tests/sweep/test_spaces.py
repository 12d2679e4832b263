"""Every search space proposes what its trainable accepts, and says what it is."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
import pytest
from optuna.trial import FixedTrial

from search_spaces import (
    ENVIRONMENT_SPACES,
    LATENT_SPACES,
    EnvironmentContext,
    LatentContext,
    Space,
)
from search_spaces.outline import outline
from trainables.environment.config import EnvironmentConfig
from trainables.latent.config import LatentConfig
from trainables.latent.distill_config import METHODS, PROTOTYPE_METHODS

LATENT_CONTEXTS = [
    LatentContext(methods=methods, has_decoder=decoder, objective=objective)
    for methods, (decoder, objective) in itertools.product(
        [METHODS, ("unrolled",)],
        [(True, "probe_accuracy"), (True, "roundtrip_accuracy"), (False, "probe_accuracy")],
    )
]
LATENT_CONTEXTS += [LatentContext(sizes=(1, 5, 10)), LatentContext(sizes=(1, 5), budgets=(2, 20))]


def environment(env: str, **named: Any) -> EnvironmentContext:
    """What a sweep tells the spaces; without ``batch_size`` states are searched."""
    settings = {name: named.pop(name) for name in ("num_envs", "families") if name in named}
    return EnvironmentContext(
        env=env,
        usual=lambda states: EnvironmentConfig.parse({"env": env, "batch_size": states, **settings}).flat(),
        pictures=env == "Pong",
        families=len(settings.get("families", "same").split("+")),
        **named,
    )


ENVIRONMENT_CONTEXTS = [
    environment("CartPole-v1", batch_size=2),
    environment("CartPole5D-v1", batch_size=512),
    environment("Pong", batch_size=4),
    environment("Hopper-v5", num_envs=7, batch_size=64),
    environment("CartPole2D-v1", families="same+xe+random_size", batch_size=512),
    environment("CartPole-v1", num_envs=12, families="same+xe+random_size", batch_sizes=(3, 3)),
    environment("CartPole3D-v1", batch_sizes=(4, 512)),
]


def parse_latent(settings: Mapping[str, Any], context: LatentContext) -> None:
    data = {} if context.has_decoder else {"dataset": "features", "features_train": "f.npz"}
    parsed = LatentConfig.parse({**settings, **data, **context.fixed})
    assert parsed.distill.method in context.methods
    if context.sizes:
        budgets = context.budgets if parsed.distill.selects else ()
        assert parsed.distill.m_per_class in (budgets or context.sizes)
        assert not parsed.distill.selects or parsed.distill.selection_budget == parsed.distill.m_per_class


def parse_environment(settings: Mapping[str, Any], context: EnvironmentContext) -> None:
    own = {} if context.batch_size is None else {"batch_size": context.batch_size}
    num_envs = context.usual(2)["num_envs"]
    given = {"env": context.env, "num_envs": num_envs, **own}
    parsed = EnvironmentConfig.parse({**settings, **given, **context.fixed})
    assert parsed.outer.num_envs == num_envs
    assert parsed.outer.learners >= context.families
    low, high = context.batch_sizes
    assert low <= settings.get("batch_size", low) <= high


@dataclass(frozen=True)
class Contract:
    """A space, cells it may be asked for, what parses its samples, and settings that hands may fix."""

    space: Space[Any]
    contexts: list[Any]
    parse: Callable[[Mapping[str, Any], Any], None]
    fixed: dict[str, Any]


LATENT_FIXED = {"lr": 0.07, "roundtrip_weight": 0.3, "init": "random"}
ENVIRONMENT_FIXED = {"outer_lr": 0.02, "learners": 1, "entropy": 0.01, "ema_decay": 0.5}
CONTRACTS = {
    **{
        name: Contract(space, LATENT_CONTEXTS, parse_latent, LATENT_FIXED)
        for name, space in LATENT_SPACES.items()
    },
    **{
        name: Contract(space, ENVIRONMENT_CONTEXTS, parse_environment, ENVIRONMENT_FIXED)
        for name, space in ENVIRONMENT_SPACES.items()
    },
}


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
class TestEverySpace:
    def contexts(self, contract: Contract) -> list[Any]:
        """The cells that the space is for: one that searches states needs a cell that leaves them open."""
        if "batch_size" in {p.name for p in outline(contract.space, contract.contexts[0])}:
            return [context for context in contract.contexts if context.batch_size is None]
        return contract.contexts

    def test_200_samples_parse(self, contract: Contract) -> None:
        contexts = self.contexts(contract)
        samplers = [optuna.samplers.RandomSampler(seed=seed) for seed in range(len(contexts))]
        studies = [optuna.create_study(sampler=sampler) for sampler in samplers]
        for number in range(200):
            place = number % len(contexts)
            contract.parse(contract.space.suggest(studies[place].ask(), contexts[place]), contexts[place])

    def test_good_points_are_inside_and_differ(self, contract: Contract) -> None:
        for context in self.contexts(contract):
            points = contract.space.good_points(context)
            assert points
            assert all(points.count(point) == 1 for point in points)
            for point in points:
                trial = FixedTrial(point)
                contract.parse(contract.space.suggest(trial, context), context)
                assert set(trial.distributions) == set(point), "a parameter that the space does not ask for"
                for name, distribution in trial.distributions.items():
                    assert distribution._contains(distribution.to_internal_repr(point[name])), name

    def test_fixed_settings_are_not_proposed(self, contract: Contract) -> None:
        context = dataclasses.replace(self.contexts(contract)[0], fixed=contract.fixed)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
        for _ in range(20):
            assert not contract.fixed.keys() & contract.space.suggest(study.ask(), context).keys()
        for point in contract.space.good_points(context):
            trial = FixedTrial(point)
            contract.space.suggest(trial, context)
            assert set(trial.distributions) == set(point)

    def test_outline_names_every_parameter(self, contract: Contract) -> None:
        for context in self.contexts(contract):
            study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
            described = {parameter.name: parameter for parameter in outline(contract.space, context)}
            for _ in range(30):
                trial = study.ask()
                contract.space.suggest(trial, context)
                assert trial.params.keys() <= described.keys()


@pytest.mark.parametrize("context", LATENT_CONTEXTS)
def test_good_points_cover_each_method(context: LatentContext) -> None:
    methods = [point["method"] for point in LATENT_SPACES["latent"].good_points(context)]
    assert tuple(methods[: len(context.methods)]) == context.methods


def test_learners_share_environments_evenly() -> None:
    assert environment("CartPole-v1", batch_size=2).learners == (1, 2, 5, 10, 25, 50)
    assert environment("CartPole-v1", num_envs=7, batch_size=2).learners == (1, 7)
    three = environment("CartPole-v1", num_envs=60, families="same+xe+ortho1", batch_size=512)
    assert three.learners == (5, 10, 15, 20)
    assert environment("Pong", batch_size=4).learners == (1, 2, 4)


@pytest.mark.parametrize("context", ENVIRONMENT_CONTEXTS, ids=lambda context: context.env)
def test_what_is_usual_is_tried_first(context: EnvironmentContext) -> None:
    space = ENVIRONMENT_SPACES["environment" if context.batch_size else "smallest_batch"]
    usual = context.usual(context.batch_size or context.batch_sizes[0])
    first = space.suggest(FixedTrial(space.good_points(context)[0]), context)
    assert first == {name: usual[name] for name in first}


def test_the_smallest_batch_is_looked_for_between_the_sizes_given() -> None:
    context = environment("CartPole-v1", batch_sizes=(2, 512))
    space = ENVIRONMENT_SPACES["smallest_batch"]
    described = {p.name: p.range for p in outline(space, context)}
    assert described["batch_size"] == "2 to 512, logarithmic"
    assert [point["batch_size"] for point in space.good_points(context)] == [2, 4, 32, 512]


def test_outline_tells_conditions() -> None:
    described = {p.name: p for p in outline(LATENT_SPACES["latent"], LatentContext(methods=METHODS))}
    assert described["method"].condition == ""
    assert described["unrolled.unroll_steps"].condition == "method = unrolled"
    assert described["implicit.lr"].range == "0.01 to 0.3, logarithmic"
    weight = described["implicit.roundtrip_weight"]
    assert weight.condition == "method = implicit, implicit.roundtrip = True"


def test_no_round_trip_without_decoder() -> None:
    context = LatentContext(methods=METHODS, has_decoder=False)
    assert not any("roundtrip" in parameter.name for parameter in outline(LATENT_SPACES["latent"], context))


def test_round_trip_objective_always_weighs_the_round_trip() -> None:
    context = LatentContext(methods=PROTOTYPE_METHODS, objective="roundtrip_accuracy")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    for _ in range(30):
        assert LATENT_SPACES["latent"].suggest(study.ask(), context)["roundtrip_weight"] > 0
