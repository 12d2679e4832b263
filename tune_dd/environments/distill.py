"""``tune-dd distill environment``: one set from noise to a learning curve, in this process."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.environment.config import (
    PARTS,
    EnvironmentConfig,
    OuterConfig,
    ProbeConfig,
    SetConfig,
    task_of,
)
from tune_dd.environments.limits import check_target
from tune_dd.environments.places import place_of
from tune_dd.flags import INTERRUPTED, FlagParser, add_config, parser
from tune_dd.runs.folder import check_writable, refuse_existing, run_path
from tune_dd.runs.places import refuse_bucket
from tune_dd.sweeps.live_display import clock
from tune_dd.sweeps.plurals import counted
from tune_dd.threads import check_threads

if TYPE_CHECKING:  # Ray takes seconds to import: only once the flags are known to be good
    from trainables.ppmo.run import PpmoRun


def build_parser() -> FlagParser:
    """The flags of ``tune-dd distill environment``."""
    made = parser(
        "tune-dd distill environment",
        "Distil a reinforcement-learning task into one batch, and write "
        "results/<name>/<task>/<network>/<run>/. Settings that are left out suit the task; the defaults "
        "below are those of CartPole-v1, two states and one family.",
        siblings=_siblings,
    )
    made.add_flag("--name", str, "folder of runs that belong together", default="runs")
    made.add_flag("--run-name", str, "this run's folder (default: batch size and seed)")
    made.add_flag("--storage", str, "folder of all results", default="results", metavar="DIR")
    for part in (SetConfig, OuterConfig, ProbeConfig):
        add_config(made, part)
    return made


def _siblings() -> list[FlagParser]:
    from tune_dd import distill  # which imports this module

    return [distill.build_parser()]


def distill_environment(argv: Sequence[str]) -> int:
    """Run one distillation; returns the exit code."""
    flags = build_parser().parse(argv)
    settings = EnvironmentConfig.parse(flags.given_for(*PARTS))

    check_threads(settings.probe.threads)
    task = task_of(settings.distilled)
    check_target(task, settings.probe.target_return)
    refuse_bucket("--storage", flags["storage"])
    name = flags["run_name"] or f"b{settings.distilled.batch_size}-s{settings.outer.seed}"
    folder = run_path(Path(flags["storage"]), flags["name"], *place_of(task), name)
    refuse_existing(folder)
    check_writable("--storage", Path(flags["storage"]))
    print(describe(settings, task.env_id), flush=True)

    import torch

    from tune_dd.environments.outputs import write_run
    from tune_dd.sweeps.ray_session import local_session

    torch.set_num_threads(settings.probe.threads)
    started_s = time.monotonic()
    with local_session(cpus=1):
        from trainables.ppmo.run import PpmoRun

        distillation = PpmoRun(settings)
        try:
            curve = learn(distillation)
            write_run(folder, distillation, curve, time.monotonic() - started_s)
        finally:
            distillation.close()
    print(f"\n{_shortest(folder)}")
    for path in sorted(folder.iterdir()):
        print(f"  {path.name}")
    if curve[-1]["diverged"]:
        kept = [report["iteration"] for report in curve if not report["diverged"]]
        told = f"the set is that of {kept[-1]:.0f} meta-iterations" if kept else "there is no set"
        print(f"\n{told}: try a lower --outer-lr, --inner-lr-lr or --inner-lr")
        return 1
    print(f"\nnext: tune-dd validate {_shortest(folder)}/distilled_set.pt --env {task.env_id}")
    return 0 if distillation.done else INTERRUPTED


def learn(distillation: PpmoRun) -> list[dict[str, float]]:
    """All meta-iterations, told as they go; Ctrl-C ends them early once there is a report.

    Returns:
        One report after the other, with ``iteration`` and ``learning_cpu_s``.
    """
    print(f"untrained learners reach {distillation.untrained_return:.1f}\n", flush=True)
    curve: list[dict[str, float]] = []
    started_s, in_place = time.monotonic(), sys.stdout.isatty()
    total = distillation.settings.outer.iterations
    try:
        while not distillation.done:
            scores = distillation.step()
            done, passed_s = distillation.iteration, time.monotonic() - started_s
            curve.append({"iteration": done, "learning_cpu_s": distillation.learning_cpu_s, **scores})
            line = f"{_told(curve[-1], total)}  {clock(passed_s / done * (total - done))} left"
            last = distillation.done or bool(scores["diverged"])
            end = "" if in_place and not last else "\n"
            print(f"\r\x1b[K{line}" if in_place else line, end=end, flush=True)
            if scores["diverged"]:
                print("  it diverged: the set is no longer finite")
                break
    except KeyboardInterrupt:
        if not curve:
            raise
        print(f"\n  interrupted: what is kept is the set of {curve[-1]['iteration']:.0f} meta-iterations")
    return curve


def _told(report: Mapping[str, float], total: int) -> str:
    return (
        f"  {report['iteration']:.0f}/{total}"
        f"  fresh learners {report['probe_return']:.1f} ± {report['probe_return_sem']:.1f}"
        f", greedy {report['greedy_return']:.1f}  inner lr {report['inner_lr']:.3g}"
        f"  {report['env_steps'] / report['learning_cpu_s']:,.0f} steps a CPU s"
    )


def describe(settings: EnvironmentConfig, env_id: str) -> str:
    """What is about to run, one line a part; then every setting that differs from its default."""
    distilled, outer = settings.distilled, settings.outer
    default = EnvironmentConfig().flat()
    told = {"env", "batch_size", "targets", "learners", "num_envs", "rollout_steps", "seed", "iterations"}
    changed = {k: v for k, v in settings.flat().items() if v != default[k] and k not in told}
    lines = [
        f"task      {env_id}",
        f"set       {counted(distilled.batch_size, 'state')}, {distilled.targets} targets",
        f"learn     {counted(outer.iterations, 'meta-iteration')} of {outer.num_envs} x "
        f"{counted(outer.rollout_steps, 'step')} with {counted(outer.learners, 'learner')} each, "
        f"seed {outer.seed}",
    ]
    if changed:
        lines.append("also      " + ", ".join(f"{key} {value}" for key, value in changed.items()))
    return "\n".join(lines)


def _shortest(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
