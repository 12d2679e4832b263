"""The distilled cart-poles of ``examples/distilled``: learn them, judge them, write them.

    python benchmarks/distilled_cartpoles.py --dimensions 1 2 --out sets

For each number of dimensions the smallest batch, ceil(actions / 2) + 1 states, and 512; on each seed. One
line a set: CPU seconds of learning (imports, Ray's start and validation left out), in all and until a probe
of 100 fresh learners was above 475 by two standard errors; and the return of 100 others in 5 episodes each,
sampled actions. Written are ``cartpole_<N>d_b<B>.pt`` of the first seed, and a
JSON beside it with the command that makes it, seed, versions and scores.
"""

from __future__ import annotations

import argparse
import math
import shlex
from pathlib import Path
from typing import Any

import torch

from trainables.environment.config import EnvironmentConfig
from trainables.environment.distilled_set import DistilledSet
from trainables.environment.tasks import Task
from trainables.environment.validation import Returns, validate
from trainables.ppmo.run import SURE, PpmoRun
from trainables.schema import flag_name
from tune_dd.runs.folder import versions, write_json
from tune_dd.sweeps.ray_session import local_session

LARGE = 512
LEARNERS, EPISODES = 100, 5
GOAL, PROBES = 475, 40


def command_of(settings: dict[str, Any]) -> str:
    """The command that learns the same set."""
    words = [word for name, value in settings.items() for word in (flag_name(name), str(value))]
    return shlex.join(["tune-dd", "distill", "environment", *words])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dimensions", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--sizes", nargs="+", default=["minimal", "large"], choices=["minimal", "large"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, help="folder that the sets are written to", metavar="DIR")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"  N    B  seed  to {GOAL}  CPU s  return of fresh learners", flush=True)
    with local_session(cpus=1):
        for dimensions in args.dimensions:
            for size in args.sizes:
                batch_size = LARGE if size == "large" else dimensions + 1
                for seed in args.seeds:
                    settings = {"env": env_of(dimensions), "batch_size": batch_size, "seed": seed}
                    run, arrived_s = learn(settings)
                    found, distilled = judge(run.distilled(), run.task), run.distilled()
                    sizes = f"{dimensions:>3}{batch_size:>5}{seed:>6}"
                    print(f"{sizes}{arrived_s:>8.0f}{run.learning_cpu_s:>7.0f}  {told(found)}", flush=True)
                    if args.out and seed == args.seeds[0]:
                        write(
                            args.out, f"cartpole_{dimensions}d_b{batch_size}", distilled, settings, run, found
                        )
                    run.close()


def env_of(dimensions: int) -> str:
    return "CartPole-v1" if dimensions == 1 else f"CartPole{dimensions}D-v1"


def learn(settings: dict[str, Any]) -> tuple[PpmoRun, float]:
    """A run that has come to its end, and its CPU seconds to :data:`GOAL`, infinite where it never came."""
    iterations = EnvironmentConfig.parse(settings).outer.iterations
    every = -(-iterations // PROBES)
    run = PpmoRun(EnvironmentConfig.parse({**settings, "iterations_per_report": every}))
    arrived_s = math.inf
    while not run.done:
        scores = run.step()
        if scores["probe_return"] - SURE * scores["probe_return_sem"] >= GOAL:
            arrived_s = min(arrived_s, run.learning_cpu_s)
    return run, arrived_s


def judge(distilled: DistilledSet, task: Task, family: str = "same") -> Returns:
    """Fresh learners' returns."""
    return validate(distilled, task, LEARNERS, EPISODES, family=family)


def told(found: Returns) -> str:
    return f"{found.mean:.2f} ± {found.sem:.2f}, least {found.by_learner.min():.0f}"


def write(
    folder: Path, name: str, distilled: DistilledSet, settings: dict[str, Any], run: PpmoRun, found: Returns
) -> None:
    """The set, and where it comes from."""
    folder.mkdir(parents=True, exist_ok=True)
    distilled.save(folder / f"{name}.pt")
    greedy = validate(distilled, run.task, LEARNERS, EPISODES, greedy=True)
    write_json(
        folder / f"{name}.json",
        {
            "command": command_of(settings),
            "env": run.task.env_id,
            "seed": settings["seed"],
            "learning_cpu_s": round(run.learning_cpu_s, 1),
            "env_steps": run.env_steps,
            "validation": {
                "learners": LEARNERS,
                "episodes": EPISODES,
                "sampled": {"mean": found.mean, "sd": found.sd, "sem": found.sem},
                "greedy": {"mean": greedy.mean, "sd": greedy.sd, "sem": greedy.sem},
            },
            "versions": versions(),
        },
    )


if __name__ == "__main__":
    main()
