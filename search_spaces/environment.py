"""The spaces of environment distillation: how the set is learned, and how many states it may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from search_spaces.space import Space, SpaceContext, Suggests

OUTER_LR = (2e-3, 5e-2)
INNER_LR = (0.01, 3.0)
CRITIC_LR = (5e-4, 2e-2)
LEARNERS = (1, 2, 5, 10, 20, 25, 50)
MOST_CONVOLUTIONAL = 5
LEARNER_LIVES = (1, 2, 5, 10)
EPOCHS = (1, 6)
MINIBATCH_SIZES = (256, 512, 1024)
ENTROPY = (1e-4, 3e-2)
FINAL_LR_FACTORS = (3e-3, 1.0)
CLIP = (0.1, 0.4)
EMA_DECAYS = (0.0, 0.8, 0.9, 0.95)
FEW_LEARNERS = 5
_POINT = (
    *("outer_lr", "inner_lr", "critic_lr", "learner_life", "epochs", "minibatch_size", "final_lr_factor"),
    *("clip", "ema_decay"),
)


@dataclass(frozen=True, kw_only=True)
class EnvironmentContext(SpaceContext):
    """What the spaces are told about a cell.

    Attributes:
        env: the task's name.
        usual: all settings of a run that are usual for the task and so many states.
        pictures: whether learners see pictures, so that they are large.
        families: families of learners, each of which needs one at least.
        batch_size: states of the set; ``None`` where they are searched.
        batch_sizes: smallest and largest set to search.
    """

    env: str
    usual: Callable[[int], Mapping[str, Any]]
    pictures: bool = False
    families: int = 1
    batch_size: int | None = None
    batch_sizes: tuple[int, int] = (2, 512)

    @property
    def where(self) -> str:
        return f"for {self.env}"

    @cached_property
    def learners(self) -> tuple[int, ...]:
        """Numbers of initialisations that share the environments out evenly."""
        ends = self.batch_sizes if self.batch_size is None else (self.batch_size,)
        known = [self.usual(states) for states in ends]
        num_envs = known[0]["num_envs"]
        most = max(MOST_CONVOLUTIONAL, self.families) if self.pictures else num_envs
        fitting = {n for n in LEARNERS if num_envs % n == 0 and self.families <= n <= most}
        return tuple(sorted(fitting | {settings["learners"] for settings in known}))

    def nearest_learners(self, wanted: int) -> int:
        """The closest of :attr:`learners`."""
        return min(self.learners, key=lambda number: abs(number - wanted))


def suggest(trial: Suggests, context: EnvironmentContext) -> dict[str, Any]:
    """Settings for one run: rates and their annealing, learners, PPO's own, and the average's decay."""
    fixed = context.fixed
    settings: dict[str, Any] = {}
    for name, bounds in (("outer_lr", OUTER_LR), ("inner_lr", INNER_LR), ("critic_lr", CRITIC_LR)):
        if name not in fixed:
            settings[name] = trial.suggest_float(name, *bounds, log=True)
    if "learners" not in fixed:
        settings["learners"] = trial.suggest_categorical("learners", context.learners)
    if "learner_life" not in fixed:
        settings["learner_life"] = trial.suggest_categorical("learner_life", LEARNER_LIVES)
    if "epochs" not in fixed:
        settings["epochs"] = trial.suggest_int("epochs", *EPOCHS)
    if "minibatch_size" not in fixed:
        settings["minibatch_size"] = trial.suggest_categorical("minibatch_size", MINIBATCH_SIZES)
    if "entropy" not in fixed:
        # Zero is a point of its own, which no logarithmic range reaches.
        weighed = trial.suggest_categorical("with_entropy", (False, True))
        settings["entropy"] = trial.suggest_float("entropy", *ENTROPY, log=True) if weighed else 0.0
    if "final_lr_factor" not in fixed:
        settings["final_lr_factor"] = trial.suggest_float("final_lr_factor", *FINAL_LR_FACTORS, log=True)
    if "clip" not in fixed:
        settings["clip"] = trial.suggest_float("clip", *CLIP)
    if "ema_decay" not in fixed:
        settings["ema_decay"] = trial.suggest_categorical("ema_decay", EMA_DECAYS)
    return settings


def good_points(context: EnvironmentContext) -> list[dict[str, Any]]:
    """What is usual, then the same with few learners, and with higher rates."""
    return _points(context, context.batch_size or context.batch_sizes[0])


def _points(context: EnvironmentContext, states: int) -> list[dict[str, Any]]:
    usual = context.usual(states)
    point: dict[str, Any] = {name: usual[name] for name in _POINT}
    point |= {"learners": context.nearest_learners(usual["learners"]), "with_entropy": usual["entropy"] > 0}
    if point["with_entropy"]:
        point["entropy"] = usual["entropy"]
    others = (
        point,
        {**point, "learners": context.nearest_learners(FEW_LEARNERS)},
        {
            **point,
            "outer_lr": 2 * usual["outer_lr"],
            "final_lr_factor": min(1.0, 10 * usual["final_lr_factor"]),
        },
    )
    asked = [_unless_fixed(other, context.fixed) for other in others]
    return [found for place, found in enumerate(asked) if found not in asked[:place]]


def _unless_fixed(point: dict[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    setting = {"with_entropy": "entropy"}
    return {name: value for name, value in point.items() if setting.get(name, name) not in fixed}


def suggest_with_states(trial: Suggests, context: EnvironmentContext) -> dict[str, Any]:
    """As :func:`suggest`, and the number of states."""
    states = trial.suggest_int("batch_size", *context.batch_sizes, log=True)
    return {"batch_size": states, **suggest(trial, context)}


def good_points_with_states(context: EnvironmentContext) -> list[dict[str, Any]]:
    """The best known way with the fewest states, with the most, and with some between."""
    low, high = context.batch_sizes
    found = []
    for states in dict.fromkeys((low, min(2 * low, high), round((low * high) ** 0.5), high)):
        found.append({"batch_size": states, **_points(context, states)[0]})
    return found


ENVIRONMENT = Space("environment", suggest, good_points)
SMALLEST_BATCH = Space("smallest_batch", suggest_with_states, good_points_with_states)
