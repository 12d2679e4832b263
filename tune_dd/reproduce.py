"""``tune-dd reproduce``: one trial of a sweep again, alone, and whether its scores come out the same."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tune_dd.flags import FlagParser, add_sweep, main_guard, parser

if TYPE_CHECKING:
    from tune_dd.sweeps.kind import Kind

_FACT_LENGTH = 12
"""Letters by which digests are told apart."""


def build_parser() -> FlagParser:
    """The flags of ``tune-dd reproduce``."""
    made = parser(
        "tune-dd reproduce",
        "Run one trial of a sweep again in this process and compare every score, bit for bit. Exit code 0 "
        "where they are equal, 1 where they differ.",
    )
    add_sweep(made)
    made.add_flag("--trial", str, "its id (default: the best of the sweep's last cell)", metavar="ID")
    return made


@main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; returns the exit code."""
    flags = build_parser().parse(argv)

    from tune_dd.sweeps.finished import open_sweep
    from tune_dd.sweeps.plurals import counted
    from tune_dd.sweeps.ray_session import quiet_ray
    from tune_dd.sweeps.results import lasting

    quiet_ray()
    _, summary, config = open_sweep(flags["results"], flags["cache"])
    trial = _choose(summary, flags["trial"])
    kind = config.open()
    name = kind.trial_name(trial["config"])
    print(f"trial {trial['trial_id']} of {summary['name']}: {trial['cell']}, {name}", flush=True)
    # A trial that was stopped early is followed as far as it went.
    again = kind.rerun(trial["config"], trial["iterations"], _report)
    found = lasting(kind, again.scores)
    different = [name for name, value in trial["scores"].items() if found.get(name) != value]
    for name, value in trial["scores"].items():
        verdict = "again" if found.get(name) == value else f"now {found.get(name)!r}"
        print(f"  {name:<20} {value!r:<22} {verdict}")
    if not different:
        after = counted(again.iterations, "iteration")
        print(f"reproduced: {counted(len(found), 'score')} equal after {after}")
        return 0
    if trial.get("restored") and not kind.RESUMES_EXACTLY:
        why = "the trial was resumed, and episodes under way are not in its checkpoints"
    else:
        why = _what_changed(summary, kind, config.cell_of(trial["config"]).source, again.facts)
    print(f"not reproduced: {', '.join(different)} differ; {why}")
    return 1


def _choose(summary: Mapping[str, Any], trial_id: str | None) -> Mapping[str, Any]:
    from trainables.errors import InputError, nearest_name
    from tune_dd.sweeps.finished import no_scores

    trials = {trial["trial_id"]: trial for trial in summary["trials"] if trial["scores"]}
    if trial_id is None:
        best = [cell["best"] for cell in summary["cells"] if cell["best"] is not None]
        if not best:
            raise no_scores(summary, "reproduce")
        trial_id = best[-1]
    if trial_id not in trials:
        raise InputError(
            f"--trial is '{trial_id}'", "is no trial of this sweep", nearest_name(trial_id, trials)
        )
    chosen: Mapping[str, Any] = trials[trial_id]
    return chosen


def _report(line: str) -> None:
    print(f"  {line}", flush=True)


def _what_changed(summary: Mapping[str, Any], kind: Kind[Any], source: str, facts: Mapping[str, Any]) -> str:
    """What is different from the sweep, among the things that scores depend on."""
    from tune_dd.runs.folder import versions
    from tune_dd.sweeps.sessions import all_versions, differing

    now, then = versions(), all_versions(summary)
    changed = [
        f"{name} was {' and '.join(dict.fromkeys(str(were.get(name)) for were in then))}, is {now.get(name)}"
        for name in differing([*then, now])
    ]
    recorded: Mapping[str, Any] = summary["data"].get(source, {})
    for name in kind.CAUSES:
        if name in recorded and recorded[name] != facts.get(name):
            changed.append(f"{name} was {_short(recorded[name])}, is {_short(facts.get(name))}")
    return "; ".join(changed) if changed else "versions, data and code are those of the sweep"


def _short(fact: Any) -> str:
    return str(fact)[:_FACT_LENGTH]


if __name__ == "__main__":
    sys.exit(main())
