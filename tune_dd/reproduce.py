"""``tune-dd reproduce``: one trial of a sweep again, alone, and whether its scores come out the same."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tune_dd.flags import FlagParser, main_guard, parser


def build_parser() -> FlagParser:
    """The flags of ``tune-dd reproduce``."""
    made = parser(
        "tune-dd reproduce",
        "Run one trial of a sweep again in this process and compare every score, bit for bit. Exit code 0 "
        "where they are equal, 1 where they differ.",
    )
    made.add_word("results", "the sweep's folder, results/NAME")
    made.add_flag("--trial", str, "its id (default: the best of the sweep's last cell)", metavar="ID")
    made.add_flag(
        "--cache", str, "folder of encoders and latents (default: the one the sweep used)", metavar="DIR"
    )
    return made


@main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; returns the exit code."""
    flags = build_parser().parse(argv)

    import torch

    from trainables.latent.compute import trial_device
    from trainables.latent.config import LatentConfig
    from trainables.latent.latents import prepare_latents
    from trainables.latent.run import DistillationRun
    from tune_dd.sweeps.finished import open_sweep
    from tune_dd.sweeps.results import TIMINGS

    _, summary, cache = open_sweep(flags["results"], flags["cache"])
    trial = _choose(summary, flags["trial"])
    config = LatentConfig.parse(trial["config"])
    distill = config.distill
    print(f"trial {trial['trial_id']} of {summary['name']}: {trial['cell']}, {distill.method}", flush=True)
    device = trial_device(config.encoder.device, summary["config"]["gpus_per_trial"])
    data = prepare_latents(config.data, config.encoder, cache, _report, codec_device=device)
    torch.set_num_threads(distill.threads)
    run = DistillationRun(distill, data)
    scores: dict[str, float] = {}
    # A trial that was stopped early is followed as far as it went.
    while not run.done and run.iteration < trial["iterations"]:
        scores = run.step()
    found = {name: value for name, value in scores.items() if name not in TIMINGS}
    different = [name for name, value in trial["scores"].items() if found.get(name) != value]
    for name, value in trial["scores"].items():
        verdict = "again" if found.get(name) == value else f"now {found.get(name)!r}"
        print(f"  {name:<20} {value!r:<22} {verdict}")
    if not different:
        print(f"reproduced: all {len(found)} scores are equal after {run.iteration} iterations")
        return 0
    print(f"not reproduced: {', '.join(different)} differ; {_what_changed(summary, trial, data.provenance)}")
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


def _what_changed(summary: Mapping[str, Any], trial: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    """What is different from the sweep, among the things that scores depend on."""
    from tune_dd.runs.folder import versions
    from tune_dd.sweeps.sessions import all_versions, differing

    now, then = versions(), all_versions(summary)
    changed = [
        f"{name} was {' and '.join(dict.fromkeys(str(were.get(name)) for were in then))}, is {now.get(name)}"
        for name in differing([*then, now])
    ]
    encoder, _, _ = trial["cell"].rpartition("/")  # digits/conv/seed1/m10
    recorded: Mapping[str, Any] = summary["data"].get(encoder, {})
    for name in ("data_fingerprint", "split_digest", "code_version"):
        if name in recorded and recorded[name] != provenance.get(name):
            changed.append(f"{name} was {str(recorded[name])[:12]}, is {str(provenance.get(name))[:12]}")
    return "; ".join(changed) if changed else "versions, data and code are those of the sweep"


if __name__ == "__main__":
    sys.exit(main())
