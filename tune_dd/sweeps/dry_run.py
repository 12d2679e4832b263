"""What a sweep would do: its space, a few proposals, resources and costs. Starts and writes nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna

from search_spaces import SPACES
from search_spaces.outline import outline
from trainables.latent.config import LatentConfig
from trainables.latent.latents import KIND, cached_key
from trainables.seeds import derive_seed
from tune_dd.sweeps.live_display import clock
from tune_dd.sweeps.preflight import Plan, check_sweep
from tune_dd.sweeps.proposals import Proposals, fixed_list
from tune_dd.sweeps.results import encoder_name, encoder_of
from tune_dd.sweeps.settings import Cell, SweepConfig

SAMPLES = 5
# On two cores, from benchmarks/sweep_overhead.py: what starting costs, and one trial on one CPU. The
# trials of other data differ by up to a few times; the estimate says so.
START_S = 15.0
TRIAL_S = {"digits": 1.0, "features": 2.0}
OTHER_TRIAL_S = 4.0


def dry_run(config: SweepConfig) -> None:
    """Print all that can be said without starting anything.

    Data that no sweep has read are read for the checks, and forgotten.

    Raises:
        InputError: as the sweep would.
    """
    with _view_of(config.cache_folder) as cache:
        plan = check_sweep(config, resume=False, cache=cache, report=print, fetch=False)
        _print_plan(config, plan)


@contextlib.contextmanager
def _view_of(cache: Path) -> Iterator[Path]:
    """A temporary folder in which the cache's entries are found; what is written stays out of the cache."""
    with tempfile.TemporaryDirectory(prefix="tune-dd-dry-run-") as view:
        for entry in cache.glob("*/*"):
            shown = Path(view) / entry.relative_to(cache)
            if entry.is_dir():
                shown.parent.mkdir(exist_ok=True)
                shown.symlink_to(entry)
        yield Path(view)


def _print_plan(config: SweepConfig, plan: Plan) -> None:
    total = Proposals(config).total
    print(f"sweep {config.name}, not started (--dry-run)\n")
    for decoder in sorted({config.context(cell).has_decoder for cell in config.cells}, reverse=True):
        cell = next(cell for cell in config.cells if config.context(cell).has_decoder == decoder)
        _print_space(config, cell)
    print("cells, compared and modelled apart")
    for cell in config.cells:
        print(f"  {cell}")
    _print_samples(config)
    fitted = f"{config.cpus_per_trial} CPU" + ("s" if config.cpus_per_trial > 1 else "")
    if config.gpus_per_trial:
        fitted += f" and {config.gpus_per_trial:g} GPU"
    print(f"\nresources\n  {plan.workers} trials at a time with {fitted} each, of {plan.available.cpus} CPUs")
    _print_costs(config, plan, total)


def _print_space(config: SweepConfig, cell: Cell) -> None:
    context, space = config.context(cell), SPACES[config.space]
    print(f"space {space.name}" + ("" if context.has_decoder else ", where there is no decoder"))
    parameters = outline(space, context)
    width = max(len(parameter.name) for parameter in parameters)
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
        print(f"\nthe first {min(SAMPLES, len(listed))} of the grid's {len(listed)} configurations")
        for proposal in listed[:SAMPLES]:
            print(f"  {proposal.cell}: {_words(_proposed(config, proposal.settings))}")
        return
    cell = config.cells[0]
    points = SPACES[config.space].good_points(config.context(cell))
    print(f"\neach cell tries its {len(points)} known good points first; then for example")
    sampler = optuna.samplers.RandomSampler(seed=derive_seed(config.seed, "dry run") % 2**32)
    study = optuna.create_study(sampler=sampler)
    for number in range(SAMPLES):
        cell = config.cells[number % len(config.cells)]
        settings = SPACES[config.space].suggest(study.ask(), config.context(cell))
        config.trial_settings(cell, settings)
        print(f"  {cell}: {_words(settings)}")


def _proposed(config: SweepConfig, settings: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {name for name, value in LatentConfig().flat().items() if settings[name] == value}
    hidden = defaults | set(config.settings) | {field.name for field in dataclasses.fields(Cell)}
    hidden |= {"encoder_seed", "threads", "labels"}
    shown = {name: value for name, value in settings.items() if name not in hidden}
    return {"method": settings["method"], **shown}


def _words(settings: Mapping[str, Any]) -> str:
    return " ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in settings.items()
    )


def _print_costs(config: SweepConfig, plan: Plan, total: int) -> None:
    print("\ncosts")
    seen = set()
    for cell in config.cells:
        if encoder_of(cell) in seen:
            continue
        seen.add(encoder_of(cell))
        print(f"  encoder {encoder_name(*encoder_of(cell))}: {_encoder_state(config, cell, plan.cache)}")
    per_trial = sum(TRIAL_S.get(cell.dataset, OTHER_TRIAL_S) for cell in config.cells) / len(config.cells)
    seconds = START_S + total * per_trial / plan.workers
    if config.time_budget_s is not None:
        seconds = min(seconds, START_S + config.time_budget_s)
    print(
        f"  {total} trials of roughly {per_trial:.0f} s: about {clock(seconds)} on {plan.workers} workers, "
        "encoders not counted"
    )


def _encoder_state(config: SweepConfig, cell: Cell, cache: Path) -> str:
    parsed = LatentConfig.parse(config.trial_settings(cell, {"method": config.methods[0]}))
    key = cached_key(parsed.data, parsed.encoder, cache, print)
    return "in the cache" if (cache / KIND / key).exists() else "to be trained first"
