"""Every search space proposes what its trainable accepts, and says what it is."""

from __future__ import annotations

import itertools

import optuna
import pytest
from optuna.trial import FixedTrial

from search_spaces import SPACES, Space, SpaceContext
from search_spaces.outline import outline
from trainables.latent.config import METHODS, LatentConfig

CONTEXTS = [
    SpaceContext(methods=methods, has_decoder=decoder, objective=objective)
    for methods, (decoder, objective) in itertools.product(
        [METHODS, ("unrolled",)],
        [(True, "probe_accuracy"), (True, "roundtrip_accuracy"), (False, "probe_accuracy")],
    )
]


def parse(settings: dict[str, object], context: SpaceContext) -> LatentConfig:
    data = {} if context.has_decoder else {"dataset": "features", "features_train": "f.npz"}
    return LatentConfig.parse({**settings, **data, **context.fixed})


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
class TestEverySpace:
    def test_200_samples_parse(self, space: Space) -> None:
        samplers = [optuna.samplers.RandomSampler(seed=seed) for seed in range(len(CONTEXTS))]
        studies = [optuna.create_study(sampler=sampler) for sampler in samplers]
        for number in range(200):
            context = CONTEXTS[number % len(CONTEXTS)]
            parsed = parse(space.suggest(studies[number % len(CONTEXTS)].ask(), context), context)
            assert parsed.distill.method in context.methods

    @pytest.mark.parametrize("context", CONTEXTS)
    def test_good_points_are_inside_and_cover_each_method(self, space: Space, context: SpaceContext) -> None:
        points = space.good_points(context)
        methods = []
        for point in points:
            trial = FixedTrial(point)
            methods.append(parse(space.suggest(trial, context), context).distill.method)
            assert set(trial.distributions) == set(point), "a parameter that the space does not ask for"
            for name, distribution in trial.distributions.items():
                assert distribution._contains(distribution.to_internal_repr(point[name])), name
        assert tuple(methods[: len(context.methods)]) == context.methods

    def test_fixed_settings_are_not_proposed(self, space: Space) -> None:
        fixed = {"lr": 0.07, "roundtrip_weight": 0.3, "init": "random"}
        context = SpaceContext(methods=METHODS, fixed=fixed)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
        for _ in range(20):
            assert not fixed.keys() & space.suggest(study.ask(), context).keys()
        for point in space.good_points(context):
            assert not any(name.partition(".")[2] in (*fixed, "roundtrip") for name in point)

    def test_outline_names_every_parameter(self, space: Space) -> None:
        for context in CONTEXTS:
            study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
            described = {parameter.name: parameter for parameter in outline(space, context)}
            for _ in range(30):
                trial = study.ask()
                space.suggest(trial, context)
                assert trial.params.keys() <= described.keys()


def test_outline_tells_conditions() -> None:
    described = {p.name: p for p in outline(SPACES["latent"], SpaceContext(methods=METHODS))}
    assert described["method"].condition == ""
    assert described["unrolled.unroll_steps"].condition == "method = unrolled"
    assert described["implicit.lr"].range == "0.01 to 0.3, logarithmic"
    weight = described["implicit.roundtrip_weight"]
    assert weight.condition == "method = implicit, implicit.roundtrip = True"


def test_no_round_trip_without_decoder() -> None:
    context = SpaceContext(methods=METHODS, has_decoder=False)
    assert not any("roundtrip" in parameter.name for parameter in outline(SPACES["latent"], context))


def test_round_trip_objective_always_weighs_the_round_trip() -> None:
    context = SpaceContext(methods=METHODS, objective="roundtrip_accuracy")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    for _ in range(30):
        assert SPACES["latent"].suggest(study.ask(), context)["roundtrip_weight"] > 0
