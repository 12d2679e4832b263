"""Sweep configurations with Optuna and ASHA; resume, extend or price a sweep."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainables.errors import InputError
from trainables.schema import flag_name, value_type
from trainables.whole_files import sha256_if_readable
from tune_dd.flags import FlagParser, Flags, add_config, main_guard, parser
from tune_dd.runs.folder import check_name
from tune_dd.runs.places import absolute
from tune_dd.sweeps.copies import bring_sweep
from tune_dd.sweeps.latent.settings import LatentSweep
from tune_dd.sweeps.results import (
    KINDS,
    SWEEP_FILE,
    check_kind,
    read_sweep,
    recorded_config,
    sweep_path,
)
from tune_dd.sweeps.resuming import resumed_config
from tune_dd.sweeps.settings import SweepConfig


@main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; its first word may say what is swept.

    Returns:
        0 for a sweep that ended well (or whose time was spent), 1 where the disk is full, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    kind = KINDS[words.pop(0)] if words and words[0] in KINDS else LatentSweep
    flags = build_parser(kind).parse(words)
    config = _config(kind, flags)

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


def build_parser(kind: type[SweepConfig] = LatentSweep) -> FlagParser:
    """The flags of ``tune-dd search``, or of ``tune-dd search environment``."""
    others = [other for other in KINDS.values() if other is not kind]
    flags = parser(kind.COMMAND, kind.DESCRIPTION, siblings=lambda: list(map(build_parser, others)))
    group = flags.add_argument_group("The sweep")
    for field in dataclasses.fields(kind):
        if field.name == "settings" or field.name in kind.WITHOUT_FLAG:
            continue
        rule: dict[str, Any] = dict(field.metadata)
        many = rule.pop("many", None)
        flags.add_flag(
            flag_name(field.name),
            many or value_type(kind, field.name)[0],
            rule.pop("help"),
            default=None if field.name == "name" else field.default,
            many=many is not None,
            group=group,
            **rule,
        )
    flags.add_flag("--resume", bool, "go on with the sweep --name; needs no other flag", group=group)
    flags.add_flag(
        "--dry-run", bool, "show space, samples, resources and costs; start and write nothing", group=group
    )
    for part in kind.PASSED_ON:
        add_config(flags, part, skip=kind.OWN_SETTINGS)
    return flags


def _config(kind: type[SweepConfig], flags: Flags) -> SweepConfig:
    if flags["resume"] and flags["dry_run"]:
        raise InputError(
            "--dry-run is given with --resume",
            "it tells of a sweep that has not begun",
            "leave one of them out",
        )
    fields = {field.name for field in dataclasses.fields(kind)}
    own = {name: value for name, value in flags.given.items() if name in fields}
    settings = {
        name: value
        for name, value in flags.given_for(*kind.PASSED_ON).items()
        if name not in kind.OWN_SETTINGS and name not in fields
    }
    given = set(settings)
    for name in kind.PATHS:
        if name in settings or name == "data_root":
            settings[name] = _absolute(settings.get(name, "data"))
    for name, words in kind.PATHS_OR_WORDS.items():
        if name in settings and settings[name] not in words:
            settings[name] = _absolute(settings[name])
    for name, digest in kind.PINNED.items():
        found = sha256_if_readable(Path(settings[name])) if name in settings else None
        if found is not None:
            settings.setdefault(digest, found)
            given.add(digest)  # a sweep that is warm-started has the former schedule's
    if own.get("storage"):
        own["storage"] = absolute(own["storage"])
    if own.get("cache"):
        own["cache"] = _absolute(own["cache"])
    if flags["resume"]:
        said = {**own, **{name: settings[name] for name in given}}
        return resumed_config(flags["storage"], _name_to_resume(flags), said)
    own.setdefault("storage", _absolute("results"))
    if "warm_start" in own:
        former, former_settings = _inherited(kind, own["storage"], own["warm_start"])
        own = {**former, **own}
        settings = {**kind.still_meant(former_settings, own), **{name: settings[name] for name in given}}
    own.setdefault("name", f"{kind.default_name(own)}-{time.strftime('%Y%m%d-%H%M%S')}")
    made = kind(**own, settings=settings)
    made.refuse_unread(flags.given)
    return made


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def _inherited(kind: type[SweepConfig], storage: str, old: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a warm-started sweep takes over from the old one, unless flags say otherwise: fields and settings.

    Not its budget, which is this sweep's own, nor the grid, which learns from no trial.
    """
    folder = sweep_path(storage, check_name("--warm-start", old))
    bring_sweep(folder)
    content = read_sweep(folder, "--warm-start")
    check_kind(kind, folder / SWEEP_FILE, content, "--warm-start")
    recorded = recorded_config(folder / SWEEP_FILE, content)
    own = {"name", "storage", "warm_start", "num_trials", "time_budget_s", "address", "settings"}
    if recorded.searcher == "grid":
        own |= {"searcher", "scheduler"}
    fields = {f.name: getattr(recorded, f.name) for f in dataclasses.fields(recorded) if f.name not in own}
    return fields, dict(recorded.settings)


def _name_to_resume(flags: Flags) -> str:
    if flags["name"] is None:
        raise InputError("--resume is given without --name", "it must say which sweep", "add --name NAME")
    return check_name("--name", flags["name"])


if __name__ == "__main__":
    sys.exit(main())
