"""What a sweep would do: its space, a few proposals, resources and costs. Starts and writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import optuna
from optuna.trial import FixedTrial

from search_spaces.outline import outline
from trainables.seeds import derive_seed
from tune_dd.sweeps.kind import Kind
from tune_dd.sweeps.live_display import clock
from tune_dd.sweeps.plurals import counted
from tune_dd.sweeps.preflight import Plan, check_sweep
from tune_dd.sweeps.proposals import STARTUP_TRIALS, Proposals, fixed_list
from tune_dd.sweeps.settings import Cell, SweepConfig
from tune_dd.sweeps.warm_start import warm_start

SAMPLES = 5
# On two cores, from benchmarks/sweep_overhead.py: what starting costs.
START_S = 15.0


def dry_run(config: SweepConfig) -> None:
    """Print all that can be said without starting anything.

    Data that no sweep has read are read for the checks, and forgotten.

    Raises:
        InputError: as the sweep would.
    """
    with config.open().looking_only() as kind:
        plan = check_sweep(kind, resume=False, report=print, fetch=False)
        proposals = Proposals(config)
        print(f"sweep {config.name}, not started (--dry-run)")
        if config.warm_start is not None:
            print(warm_start(config, config.warm_start, proposals, kind.known_facts(print)))
        print()
        _print_plan(config, plan)
        _print_costs(kind, plan, proposals)


def _print_plan(config: SweepConfig, plan: Plan) -> None:
    shown = []
    for cell in config.cells:
        where = config.context(cell).where
        if where not in shown:
            shown.append(where)
            _print_space(config, cell)
    print("cells, compared and modelled apart")
    for cell in config.cells:
        print(f"  {cell}")
    _print_samples(config)
    fitted = counted(config.cpus_per_trial, "CPU")
    if config.gpus_per_trial:
        fitted += f" and {counted(config.gpus_per_trial, 'GPU')}"
    at_a_time, there_are = counted(plan.workers, "trial"), counted(plan.available.cpus, "CPU")
    print(f"\nresources\n  {at_a_time} at a time with {fitted} each, of {there_are}")


def _print_space(config: SweepConfig, cell: Cell) -> None:
    context, space = config.context(cell), config.space_of_choice
    print(f"space {space.name}" + (f", {context.where}" if context.where else ""))
    parameters = outline(space, context)
    if not parameters:
        print("  nothing is left to search: all of it is fixed, so that all trials of a cell are alike")
    width = max((len(parameter.name) for parameter in parameters), default=0)
    for condition in dict.fromkeys(parameter.condition for parameter in parameters):
        if condition:
            print(f"  where {condition}")
        for parameter in parameters:
            if parameter.condition == condition:
                print(f"    {parameter.name:<{width}}  {parameter.range}")
    if context.fixed:
        print(f"  fixed: {_words(context.fixed)}")
    print()


def _print_samples(config: SweepConfig) -> None:
    if config.searcher == "grid":
        listed = fixed_list(config)
        shown = min(SAMPLES, len(listed))
        print(f"\nthe first {shown} of the grid's {counted(len(listed), 'configuration')}")
        for proposal in listed[:SAMPLES]:
            context = config.context(proposal.cell)
            settings = config.space_of_choice.suggest(FixedTrial(proposal.params), context)
            print(f"  {proposal.cell}: {_words(settings)}")
        return
    cell = config.cells[0]
    points = config.space_of_choice.good_points(config.context(cell))
    known = counted(len(points), "known good point")
    print(f"\neach cell tries its {known} first; then for example")
    sampler = optuna.samplers.RandomSampler(seed=derive_seed(config.seed, "dry run") % 2**32)
    studies = {cell: optuna.create_study(sampler=sampler) for cell in config.cells}
    for number in range(SAMPLES):
        cell = config.cells[number % len(config.cells)]
        settings = config.space_of_choice.suggest(studies[cell].ask(), config.context(cell))
        config.trial_settings(cell, settings)
        print(f"  {cell}: {_words(settings)}")


def _words(settings: Mapping[str, Any]) -> str:
    return " ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in settings.items()
    )


def _print_costs(kind: Kind[Any], plan: Plan, proposals: Proposals) -> None:
    config: SweepConfig = kind.config
    print("\ncosts")
    for line in kind.preparations():
        print(f"  {line}")
    priced = [kind.trial_s(settings) for settings in _first_settings(config, proposals)]
    per_trial = sum(priced) / len(priced)
    seconds = START_S + proposals.total * per_trial / plan.workers
    if config.time_budget_s is not None:
        seconds = min(seconds, START_S + config.time_budget_s)
    print(
        f"  {counted(proposals.total, 'trial')} of roughly {per_trial:.0f} s: about {clock(seconds)} on "
        f"{counted(plan.workers, 'worker')}, an estimate"
        + (" (trials that are stopped early take less)" if config.early_stopping else "")
    )


def _first_settings(config: SweepConfig, proposals: Proposals) -> Iterator[Mapping[str, Any]]:
    """Of as many trials as are proposed before models of results take over: good points, then chance."""
    number = proposals.total
    if config.searcher != "grid":
        number = min(number, STARTUP_TRIALS * len(config.cells))
    for place in range(number):
        proposal = proposals.propose(place, str(place))
        assert proposal is not None  # there are so many
        yield proposal.settings
