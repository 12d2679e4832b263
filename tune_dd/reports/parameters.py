"""Searched parameters of trials: which there are, for whom, and how much the score owes to each."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_dd.reports.sweep_data import Trial

LEAST_TRIALS = 8
"""Fewer complete trials say nothing of which parameter matters."""
_LOGARITHMIC = 20
_SHARED = ""


@dataclass(frozen=True)
class Parameter:
    """One searched parameter, of all trials or of one method's.

    Attributes:
        name: what the space calls it (``implicit.lr``).
        group: the method that it belongs to, empty for all trials'.
        values: by trial id, of the trials that have it.
        numeric: whether its values are numbers; others are choices.
        logarithmic: whether they are numbers that span a factor of 20 or more.
    """

    name: str
    group: str
    values: Mapping[str, Any]
    numeric: bool
    logarithmic: bool

    @property
    def words(self) -> str:
        """Its name without the method's."""
        return self.name.removeprefix(f"{self.group}.")

    def place(self, value: Any) -> float:
        """Where a value lies among all, in [0, 1]: numbers by size, choices in alphabetical order."""
        if not self.numeric:
            choices = self.choices
            return choices.index(str(value)) / max(len(choices) - 1, 1)
        low, high = (function(self.values.values()) for function in (min, max))
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return float((value - low) / (high - low)) if high > low else 0.5

    @property
    def choices(self) -> list[str]:
        """Those that were tried."""
        return sorted({str(value) for value in self.values.values()})


def parameters_of(trials: Sequence[Trial]) -> list[Parameter]:
    """All that took more than one value among trials."""
    found: dict[str, dict[str, Any]] = {}
    for trial in trials:
        for name, value in trial["params"].items():
            found.setdefault(name, {})[trial["trial_id"]] = value
    made = []
    for name, values in found.items():
        if len({str(value) for value in values.values()}) < 2:
            continue
        every = list(values.values())
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in every)
        wide = numeric and min(every) > 0 and max(every) >= _LOGARITHMIC * min(every)
        group, dot, _ = name.partition(".")
        made.append(Parameter(name, group if dot else _SHARED, values, numeric, wide))
    return made


def groups(parameters: Sequence[Parameter]) -> dict[str, list[Parameter]]:
    """Parameters by method, those of all trials under the empty name."""
    found: dict[str, list[Parameter]] = {}
    for parameter in parameters:
        found.setdefault(parameter.group, []).append(parameter)
    return found


def importances(trials: Sequence[Trial], parameters: Sequence[Parameter], metric: str) -> dict[str, float]:
    """How much of the score's variance each of a group's parameters explains; their sum is one.

    Args:
        trials: of these, complete ones that have all the parameters are used.

    Returns:
        By the parameters' names; empty where fewer than :data:`LEAST_TRIALS` trials can tell, all have one
        score, or there is one parameter alone.

    Paper: Hutter, Hoos, Leyton-Brown, "An efficient approach for assessing hyperparameter importance", ICML
    2014.
    """
    complete = [
        trial
        for trial in trials
        if trial["status"] == "completed" and all(trial["trial_id"] in one.values for one in parameters)
    ]
    tried = [one for one in parameters if len({str(one.values[t["trial_id"]]) for t in complete}) > 1]
    if len(complete) < LEAST_TRIALS or len(tried) < 2 or len({t["scores"][metric] for t in complete}) < 2:
        return {}
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    study = optuna.create_study(direction="maximize")
    distributions = {one.name: _distribution(one, complete) for one in tried}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={one.name: _value(one, trial) for one in tried},
                    distributions=distributions,
                    value=trial["scores"][metric],
                )
                for trial in complete
            ]
        )
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def _value(parameter: Parameter, trial: Trial) -> Any:
    value = parameter.values[trial["trial_id"]]
    return float(value) if parameter.numeric else str(value)


def _distribution(parameter: Parameter, trials: Sequence[Trial]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    values = [_value(parameter, trial) for trial in trials]
    if not parameter.numeric:
        return CategoricalDistribution(sorted(set(values)))
    return FloatDistribution(min(values), max(values), log=parameter.logarithmic)
