"""What is tried next: one Optuna study per cell, asked in turn. Knows nothing of Ray.

A proposal depends on the sweep's seed, its number and the trials known so far, never on the state of
a random generator: a sweep that is resumed needs its records and nothing else.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FixedTrial, Trial, TrialState, create_trial

from search_spaces import SpaceContext
from trainables.errors import InputError
from trainables.schema import flag_name
from trainables.seeds import derive_seed
from tune_dd.sweeps.axes import Axis
from tune_dd.sweeps.settings import DEFAULT_TRIALS, Cell, SweepConfig

# Trials of a cell before its model takes over from chance; known good points count.
STARTUP_TRIALS = 8
STATES = {
    "completed": TrialState.COMPLETE,
    "diverged": TrialState.COMPLETE,
    "stopped_early": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}

# Settings that two trials need not share to be comparable: they change the last digits of sums.
_INCIDENTAL = ("threads",)

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Proposal:
    """One trial to run: its cell, the parameters the space was asked for, and all its settings."""

    cell: Cell
    params: dict[str, Any]
    settings: dict[str, Any]


class Record(Protocol):
    """What is known of an earlier trial (see :class:`tune_dd.sweeps.journal.TrialRecord`)."""

    @property
    def params(self) -> Mapping[str, Any]: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    @property
    def status(self) -> str | None: ...

    def values(self, metric: str) -> dict[int, float]: ...


class MismatchError(ValueError):
    """Parameters that the space, as it is now, cannot have proposed."""


class CellStudy:
    """The trials of one cell, and a sampler that proposes from them."""

    def __init__(self, config: SweepConfig, cell: Cell) -> None:
        self._config, self._cell = config, cell
        self.space = config.space_of_choice
        self.context: SpaceContext = config.context(cell)
        self._searcher, self._seed = config.searcher, derive_seed(config.seed, "searcher", str(cell))
        self._metric = config.metric
        self._axes = config.axes or (Axis(config.metric),)
        self._study = optuna.create_study(directions=[axis.direction for axis in self._axes])
        self._live: dict[str, Trial] = {}
        self._asked = 0
        self._known: list[Mapping[str, Any]] = []

    def propose(self, trial_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """New parameters, and the settings that follow from them."""
        self._study.sampler = self._sampler(self._asked)
        self._asked += 1
        untried = [point for point in self.space.good_points(self.context) if point not in self._known]
        if untried:
            self._study.enqueue_trial(untried[0])
        trial = self._study.ask()
        settings = self.space.suggest(trial, self.context)
        self._live[trial_id] = trial
        self._known.append(dict(trial.params))
        return dict(trial.params), settings

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        seed = derive_seed(self._seed, number) % 2**32
        if self._searcher == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # Conditional parameters are modelled together with those they depend on, and trials that
            # still run count as poor ones, so that two workers do not try the same.
            return optuna.samplers.TPESampler(
                n_startup_trials=STARTUP_TRIALS, multivariate=True, group=True, constant_liar=True, seed=seed
            )

    def recall(self, trial_id: str, record: Record) -> None:
        """Take in a trial of this sweep that was proposed before it was interrupted.

        Raises:
            MismatchError: if this space cannot have proposed it.
        """
        distributions, _ = self.replay(record.params)
        self._study.add_trial(
            create_trial(state=TrialState.RUNNING, params=dict(record.params), distributions=distributions)
        )
        # Not `trials`, which copies all of them.
        self._live[trial_id] = Trial(self._study, self._study.get_trials(deepcopy=False)[-1]._trial_id)
        self._asked += 1
        self._known.append(dict(record.params))
        if record.status is not None:
            self.finish(trial_id, record)

    def learn(self, record: Record) -> None:
        """Take in a finished trial of another sweep.

        Raises:
            MismatchError: if this space cannot have proposed it, if it would run with other settings here,
                or if it has not ended with a result.
        """
        try:
            reports = [record.values(axis.metric) for axis in self._axes]
        except KeyError as missing:
            raise MismatchError(f"no {missing.args[0]}") from None
        values = reports[0]
        if record.status not in STATES or not values:
            raise MismatchError("it has not ended with a score")
        distributions, settings = self.replay(record.params)
        self._check_same_settings(record.settings, self._config.trial_settings(self._cell, settings))
        pruned = STATES[record.status] is TrialState.PRUNED
        if pruned and len(self._axes) > 1:
            raise MismatchError("stopped early")
        complete = STATES[record.status] is TrialState.COMPLETE
        self._study.add_trial(
            create_trial(
                state=STATES[record.status],
                values=self._last(record) if complete else None,
                params=dict(record.params),
                distributions=distributions,
                intermediate_values=values if len(self._axes) == 1 else None,
            )
        )
        self._known.append(dict(record.params))
        self._asked += 1  # or chance would draw the old sweep's points again

    def _check_same_settings(self, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
        names = [name for name in self._config.compared if name not in _INCIDENTAL]
        other = [flag_name(name) for name in names if theirs.get(name) != ours[name]]
        if other:
            raise MismatchError(f"other {', '.join(other)}")

    def replay(self, params: Mapping[str, Any]) -> tuple[dict[str, BaseDistribution], dict[str, Any]]:
        """The ranges of the parameters, and the settings that follow: found by asking the space again.

        Raises:
            MismatchError: if the space asks for others, or a value lies outside its range.
        """
        fixed = FixedTrial(dict(params))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a value outside its range is found below, by name
                settings = self.space.suggest(fixed, self.context)
        except ValueError as error:
            raise MismatchError(str(error)) from error
        found = fixed.distributions
        if set(found) != set(params):
            raise MismatchError(f"it does not ask for {', '.join(sorted(set(params) - set(found)))}")
        for name, distribution in found.items():
            if not distribution._contains(distribution.to_internal_repr(params[name])):
                raise MismatchError(f"{name} = {params[name]} lies outside its range")
        return found, settings

    def finish(self, trial_id: str, record: Record) -> None:
        """Tell the study how a trial ended."""
        assert record.status is not None
        trial = self._live.pop(trial_id)
        if len(self._axes) == 1:  # Optuna takes no reports on the way of two scores
            for iteration, value in record.values(self._metric).items():
                trial.report(value, iteration)
        state = STATES[record.status]
        self._study.tell(trial, self._last(record) if state is TrialState.COMPLETE else None, state=state)

    def _last(self, record: Record) -> list[float]:
        """What the study is told of a trial that has ended with a result."""
        reports = [(axis, record.values(axis.metric)) for axis in self._axes]
        return [axis.scaled(values[max(values)]) for axis, values in reports]

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """The study's trials, for those who want to look."""
        return self._study.get_trials(deepcopy=True)


class Proposals:
    """The whole sweep's proposals: cells take turns, and each has a study of its own."""

    def __init__(self, config: SweepConfig) -> None:
        self._config = config
        self.studies = {cell: CellStudy(config, cell) for cell in config.cells}
        self._cell_of: dict[str, Cell] = {}
        self._grid = fixed_list(config) if config.searcher == "grid" else None
        self.total = len(self._grid) if self._grid is not None else config.num_trials or DEFAULT_TRIALS

    def propose(self, number: int, trial_id: str) -> Proposal | None:
        """Trial ``number`` of the sweep (from 0), or ``None`` where there are no more."""
        if number >= self.total:
            return None
        if self._grid is not None:
            return self._grid[number]
        cell = self._config.cells[number % len(self._config.cells)]
        params, settings = self.studies[cell].propose(trial_id)
        self._cell_of[trial_id] = cell
        return Proposal(cell, params, self._config.trial_settings(cell, settings))

    def recall(self, trial_id: str, cell: Cell, record: Record) -> None:
        """Take in a trial that this sweep proposed before it was interrupted.

        Raises:
            InputError: if the space, as it is now, cannot have proposed it.
        """
        if self._grid is not None:
            return
        self._cell_of[trial_id] = cell
        try:
            self.studies[cell].recall(trial_id, record)
        except MismatchError as error:
            raise InputError(
                f"trial {trial_id} on record is of another space '{self._config.space}' ({error})",
                "a sweep goes on in the space it began with",
                "use the version of tune-dd that its sweep.json names, "
                f"or start a new sweep with --warm-start {self._config.name}",
            ) from error

    def finish(self, trial_id: str, record: Record) -> None:
        """Tell how a trial ended."""
        if self._grid is None:
            self.studies[self._cell_of[trial_id]].finish(trial_id, record)

    def learn(self, cell: Cell, record: Record) -> None:
        """Take in a finished trial of another sweep.

        Raises:
            MismatchError: if it is not one that this sweep could run.
        """
        if cell not in self.studies:
            raise MismatchError(f"there is no cell {cell} here")
        self.studies[cell].learn(record)


def fixed_list(config: SweepConfig) -> Sequence[Proposal]:
    """The grid: every known good point in every cell."""
    space, proposals = config.space_of_choice, []
    for cell in config.cells:
        context = config.context(cell)
        for point in space.good_points(context):
            settings = config.trial_settings(cell, space.suggest(FixedTrial(point), context))
            proposals.append(Proposal(cell, point, settings))
    return proposals
