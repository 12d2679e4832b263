"""The space of latent distillation: a method, and what that method has to be told.

Parameters bear their method's name ("implicit.lr"), because the same setting has other good values
under another method, and because a model of the space should not mix them. The settings that come
out bear the plain names of ``DistillConfig``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.space import Space, SpaceContext, Suggests

# Adam's learning rate: where each method's good values lie, with room on both sides. Standardised
# latents have unit variance, so these carry over between encoders.
LEARNING_RATES = {
    "implicit": (0.01, 0.3),
    "unrolled": (0.01, 0.3),
    "gradient_matching": (0.005, 0.2),
    "kernel_ridge": (0.01, 0.3),
}
STEPS = (40, 120, 20)
UNROLL_STEPS = (10, 40, 10)
INNER_L2 = (1e-3, 1e-1)
ROUNDTRIP_WEIGHT = (0.05, 2.0)
INITIALISATIONS = ("random", "herding", "kmeans")
_NO_PENALTY = ("gradient_matching",)
# RL-Selection: what its policy learns by, and where it starts.
SELECTION = "rl_selection"
# RL-Shaping: what its actor-critic learns by, and how far prototypes go in an episode.
SHAPING = "rl_shaping"
METHODS = (*LEARNING_RATES, SELECTION, SHAPING)
ACTOR_LEARNING_RATES = (1e-3, 1e-1)
ACTOR_ENTROPIES = (1e-4, 1e-1)
BATCHES = (16, 32, 64)
SHAPED_LEARNING_RATES = (2e-3, 5e-2)
POLICY_LEARNING_RATES = (0.02, 0.5)
POLICY_ENTROPIES = (1e-4, 1e-1)
LOSS_WEIGHTS = (0.02, 10.0)
EPISODES = (4, 8, 16)
SELECTION_STARTS = ("herding", "kmeans_medoids")
SELECTION_POLICIES = ("sequential", "one_shot")


@dataclass(frozen=True)
class LatentContext(SpaceContext):
    """What the space is told about a cell.

    Attributes:
        methods: the methods among which it may choose.
        has_decoder: whether latents can be decoded, so that there is a round trip.
        budgets: real points per class among which RL-Selection may choose; empty: as many as prototypes.
        actor_lrs: learning rates of RL-Shaping's actor-critic to choose among; empty: a range.
        sizes: prototypes per class among which may be chosen; empty: it is given.
    """

    objective: str = "probe_accuracy"
    methods: tuple[str, ...] = METHODS
    has_decoder: bool = True
    budgets: tuple[int, ...] = ()
    actor_lrs: tuple[float, ...] = ()
    sizes: tuple[int, ...] = ()

    @property
    def where(self) -> str:
        return "" if self.has_decoder else "where there is no decoder"


def suggest(trial: Suggests, context: LatentContext) -> dict[str, Any]:
    """Settings for one run: method, learning rate, steps, initialisation, and the method's own."""
    method = trial.suggest_categorical("method", context.methods)
    if method == SELECTION:
        return {"method": method, **_selection(trial, context)}
    if method == SHAPING:
        return {"method": method, **_shaping(trial, context)}

    def name(setting: str) -> str:
        return f"{method}.{setting}"

    settings: dict[str, Any] = {"method": method}
    if context.sizes:
        settings["m_per_class"] = trial.suggest_categorical(name("m_per_class"), context.sizes)
    fixed = context.fixed
    if "lr" not in fixed:
        settings["lr"] = trial.suggest_float(name("lr"), *LEARNING_RATES[method], log=True)
    if "proto_steps_base" not in fixed:
        low, high, step = STEPS
        settings["proto_steps_base"] = trial.suggest_int(name("proto_steps_base"), low, high, step=step)
    if "init" not in fixed:
        settings["init"] = trial.suggest_categorical(name("init"), INITIALISATIONS)
    if method not in _NO_PENALTY and "inner_l2" not in fixed:
        settings["inner_l2"] = trial.suggest_float(name("inner_l2"), *INNER_L2, log=True)
    if method == "unrolled" and "unroll_steps" not in fixed:
        low, high, step = UNROLL_STEPS
        settings["unroll_steps"] = trial.suggest_int(name("unroll_steps"), low, high, step=step)
    if context.has_decoder and "roundtrip_weight" not in fixed:
        settings["roundtrip_weight"] = _roundtrip_weight(trial, context, name("roundtrip"))
    return settings


def _selection(trial: Suggests, context: LatentContext) -> dict[str, Any]:
    choices: dict[str, tuple[Any, ...]] = {
        "sel_policy": SELECTION_POLICIES,
        "sel_init": SELECTION_STARTS,
        "sel_episodes": EPISODES,
    }
    if context.budgets:
        choices["sel_budget_per_class"] = context.budgets
    elif context.sizes and context.fixed.get("sel_budget_per_class") is None:
        choices["m_per_class"] = context.sizes
    rates = {
        "sel_lr": POLICY_LEARNING_RATES,
        "sel_entropy": POLICY_ENTROPIES,
        "sel_loss_weight": LOSS_WEIGHTS,
    }
    chosen = _suggested(trial, SELECTION, choices, rates, context)
    if context.sizes:  # as many prototypes as points are what it is compared with
        budget = context.fixed.get("sel_budget_per_class") or chosen.get("sel_budget_per_class")
        chosen["m_per_class"] = budget or chosen["m_per_class"]
    return chosen


def _suggested(
    trial: Suggests,
    method: str,
    choices: Mapping[str, tuple[Any, ...]],
    rates: Mapping[str, tuple[float, float]],
    context: LatentContext,
) -> dict[str, Any]:
    """Choices, and ranges on a logarithmic scale, of a method's settings, but for those that are fixed."""
    chosen = {
        setting: trial.suggest_categorical(f"{method}.{setting}", values)
        for setting, values in choices.items()
        if setting not in context.fixed
    }
    for setting, (low, high) in rates.items():
        if setting not in context.fixed:
            chosen[setting] = trial.suggest_float(f"{method}.{setting}", low, high, log=True)
    return chosen


def _shaping(trial: Suggests, context: LatentContext) -> dict[str, Any]:
    """What is learned by. What episodes start from is the implicit method's, at its good point."""
    choices: dict[str, tuple[Any, ...]] = {"m_per_class": context.sizes} if context.sizes else {}
    rates = {"shape_lr": SHAPED_LEARNING_RATES}
    if context.has_decoder:
        rates["roundtrip_weight"] = ROUNDTRIP_WEIGHT
    if context.fixed.get("shape_schedule") is not None:  # then nothing is learned
        return _suggested(trial, SHAPING, choices, rates, context)
    choices["shape_batch"] = BATCHES
    rates["shape_entropy"] = ACTOR_ENTROPIES
    if context.actor_lrs:
        choices["proto_rl_lr"] = context.actor_lrs
    else:
        rates["proto_rl_lr"] = ACTOR_LEARNING_RATES
    return _suggested(trial, SHAPING, choices, rates, context)


def _roundtrip_weight(trial: Suggests, context: LatentContext, name: str) -> float:
    # Zero is a point of its own, which no logarithmic range reaches. For the round trip as the
    # objective it is known to lose.
    if context.objective != "roundtrip_accuracy" and not trial.suggest_categorical(name, (True, False)):
        return 0.0
    return trial.suggest_float(f"{name}_weight", *ROUNDTRIP_WEIGHT, log=True)


def good_points(context: LatentContext) -> list[dict[str, Any]]:
    """For each method one point without the cycle term and, where there is a decoder, one with it.

    All methods' first points come before all second ones, so that a short sweep holds each method. Where
    sizes are chosen, points take turns among them, so that it holds each size, too.
    """
    weights: tuple[float | None, ...] = (0.5, None) if context.has_decoder else (None,)
    if context.objective == "roundtrip_accuracy":
        weights = (0.5, 1.5)
    points = [
        _good_point(method, weight, context) | _size(method, first + second, context)
        for first, weight in enumerate(weights)
        for second, method in enumerate(context.methods)
    ]
    # Whoever names learning rates wants each of them tried, as the grid does.
    if SHAPING in context.methods and context.fixed.get("shape_schedule") is None:
        first = _good_shaping(context) | _size(SHAPING, 0, context)
        points += [{**first, f"{SHAPING}.proto_rl_lr": rate} for rate in context.actor_lrs[1:]]
    # With the cycle term fixed by hand, both points of a method are the same.
    return [point for place, point in enumerate(points) if point not in points[:place]]


def _size(method: str, place: int, context: LatentContext) -> dict[str, Any]:
    setting, choices = "m_per_class", context.sizes
    if method == SELECTION and context.sizes:
        if context.fixed.get("sel_budget_per_class") is not None:
            return {}
        if context.budgets:
            setting, choices = "sel_budget_per_class", context.budgets
    return {f"{method}.{setting}": choices[place % len(choices)]} if choices and context.sizes else {}


def _good_point(method: str, weight: float | None, context: LatentContext) -> dict[str, Any]:
    if method == SELECTION:
        return _good_selection(context)
    if method == SHAPING:
        return _good_shaping(context)
    point: dict[str, Any] = {
        "lr": {"implicit": 0.1, "unrolled": 0.03, "gradient_matching": 0.03, "kernel_ridge": 0.1}[method],
        "proto_steps_base": 60,
        "init": "kmeans",
    }
    if method not in _NO_PENALTY:
        point["inner_l2"] = 1e-2
    if method == "unrolled":
        point["unroll_steps"] = 20
    point = {setting: value for setting, value in point.items() if setting not in context.fixed}
    if context.has_decoder and "roundtrip_weight" not in context.fixed:
        if context.objective != "roundtrip_accuracy":
            point["roundtrip"] = weight is not None
        if weight is not None:
            point["roundtrip_weight"] = weight
    return {"method": method, **{f"{method}.{setting}": value for setting, value in point.items()}}


def _good_selection(context: LatentContext) -> dict[str, Any]:
    point: dict[str, Any] = {
        "sel_policy": "sequential",
        "sel_init": "herding",
        "sel_episodes": 8,
        "sel_lr": 0.1,
        "sel_entropy": 1e-3,
        "sel_loss_weight": 0.05,
    }
    if context.budgets:
        point["sel_budget_per_class"] = max(context.budgets)
    kept = {setting: value for setting, value in point.items() if setting not in context.fixed}
    return {"method": SELECTION, **{f"{SELECTION}.{setting}": value for setting, value in kept.items()}}


def _good_shaping(context: LatentContext) -> dict[str, Any]:
    point: dict[str, Any] = {"shape_lr": 0.01}
    if context.fixed.get("shape_schedule") is None:
        rate = context.actor_lrs[0] if context.actor_lrs else 0.01
        point |= {"shape_batch": 32, "shape_entropy": 1e-3, "proto_rl_lr": rate}
    if context.has_decoder:
        point["roundtrip_weight"] = 0.5
    kept = {setting: value for setting, value in point.items() if setting not in context.fixed}
    return {"method": SHAPING, **{f"{SHAPING}.{setting}": value for setting, value in kept.items()}}


LATENT = Space("latent", suggest, good_points)
