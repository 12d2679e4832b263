"""Sweep configurations with Optuna and ASHA; resume, extend or price a sweep."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainables.schema import flag_name
from tune_dd.flags import FlagParser, Flags, add_config, main_guard, parser
from tune_dd.sweeps.settings import OWN_SETTINGS, PASSED_ON, SweepConfig

PATHS = ("data_root", "custom_train_dir", "custom_test_dir", "features_train", "features_test")


@main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb.

    Returns:
        0 for a sweep that ended well (or whose time was spent), 1 where the disk is full, 130 after Ctrl-C.
    """
    flags = build_parser().parse(argv)
    config = _config(flags)

    # Ray and torch take seconds to import: only once the settings are known to be good.
    from tune_dd.sweeps.dry_run import dry_run
    from tune_dd.sweeps.ray_session import quiet_ray
    from tune_dd.sweeps.runner import run_sweep
    from tune_dd.sweeps.tables import print_outcome

    quiet_ray()
    if flags["dry_run"]:
        dry_run(config)
        return 0
    return print_outcome(run_sweep(config, resume=bool(flags["resume"])))


def build_parser() -> FlagParser:
    """The flags of ``tune-dd search``."""
    flags = parser(
        "tune-dd search", "Sweep latent dataset distillations: Optuna proposes, ASHA stops the worse."
    )
    group = flags.add_argument_group("The sweep")
    for field in dataclasses.fields(SweepConfig):
        if field.name == "settings":
            continue
        rule: dict[str, Any] = dict(field.metadata)
        kind = rule.pop("many", None)
        default = None if field.name == "name" else field.default
        flags.add_flag(
            flag_name(field.name),
            kind or _kind(field.name),
            rule.pop("help"),
            default=default,
            many=kind is not None,
            group=group,
            **rule,
        )
    flags.add_flag("--resume", bool, "go on with the sweep --name; needs no other flag", group=group)
    flags.add_flag(
        "--dry-run", bool, "show space, samples, resources and costs; start and write nothing", group=group
    )
    for part in PASSED_ON:
        add_config(flags, part, skip=OWN_SETTINGS)
    return flags


def _kind(field: str) -> type:
    from trainables.schema import value_type

    return value_type(SweepConfig, field)[0]


def _config(flags: Flags) -> SweepConfig:
    given = {name: value for name, value in flags.given.items() if name not in ("resume", "dry_run")}
    settings = {
        name: value for name, value in flags.given_for(*PASSED_ON).items() if name not in OWN_SETTINGS
    }
    for name in PATHS:
        if name in settings or name == "data_root":
            settings[name] = str(Path(settings.get(name, "data")).expanduser().absolute())
    for name in ("storage", "cache"):
        if given.get(name):
            given[name] = str(Path(given[name]).expanduser().absolute())
    own = {
        name: value
        for name, value in given.items()
        if name in {f.name for f in dataclasses.fields(SweepConfig)}
    }
    if flags["resume"]:
        from tune_dd.sweeps.resuming import resumed_config

        said = {**own, **{name: value for name, value in settings.items() if name in flags.given}}
        return resumed_config(flags["storage"], _name_to_resume(flags), said)
    own.setdefault("storage", str(Path("results").absolute()))
    if "warm_start" in own:
        former, former_settings = _inherited(own["storage"], own["warm_start"])
        own = {**former, **own}
        settings = {**former_settings, **{k: v for k, v in settings.items() if k in flags.given}}
    datasets = own.get("datasets", ("digits",))
    own.setdefault("name", f"{datasets[0]}-{time.strftime('%Y%m%d-%H%M%S')}")
    return SweepConfig(**own, settings=settings)


def _inherited(storage: str, old: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a warm-started sweep takes over from the old one, unless flags say otherwise: fields and settings.

    Not its budget, which is this sweep's own, nor the grid, which learns from no trial.
    """
    from tune_dd.runs.folder import check_name
    from tune_dd.sweeps.results import SWEEP_FILE, read_sweep, recorded_config, sweep_path

    folder = sweep_path(storage, check_name("--warm-start", old))
    recorded = recorded_config(folder / SWEEP_FILE, read_sweep(folder, "--warm-start"))
    own = {"name", "storage", "warm_start", "num_trials", "time_budget_s", "address", "settings"}
    if recorded.searcher == "grid":
        own |= {"searcher", "scheduler"}
    fields = {f.name: getattr(recorded, f.name) for f in dataclasses.fields(recorded) if f.name not in own}
    return fields, dict(recorded.settings)


def _name_to_resume(flags: Flags) -> str:
    from trainables.errors import InputError
    from tune_dd.runs.folder import check_name

    if flags["name"] is None:
        raise InputError("--resume is given without --name", "it must say which sweep", "add --name NAME")
    return check_name("--name", flags["name"])


if __name__ == "__main__":
    sys.exit(main())
