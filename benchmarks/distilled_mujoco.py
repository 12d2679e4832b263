"""MuJoCo's tasks distilled into 64 states, plain PPO in the same time, and the authors' sets.

    python benchmarks/distilled_mujoco.py --tasks Hopper HalfCheetah --out sets

Version 4 of each task, as the stored sets are of it. One line a task: returns of untrained learners, of plain
PPO (50 episodes of one learner), and of 10 fresh learners in 3 episodes each after one step on the set (mean
and standard error over learners, sampled actions); CPU seconds of learning, imports, Ray's start and judging
left out; by how many standard errors of the difference the set is above the authors'; and its share of what
plain PPO gains over untrained learners. With ``--out`` each set, its settings and its curve get a folder.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch

from trainables.environment.config import EnvironmentConfig
from trainables.environment.tasks import MUJOCO
from trainables.environment.validation import Returns, validate
from trainables.ppmo.direct import DirectRun, direct_settings
from trainables.ppmo.run import PpmoRun
from tune_dd.environments.outputs import write_run
from tune_dd.sweeps.ray_session import local_session

LEARNERS, EPISODES, PPO_EPISODES = 10, 3, 50
# Mean and standard error of 10 learners x 2 or 3 episodes, measured on their files.
AUTHORS = {
    "Hopper": (332.0, 116.0),
    "HalfCheetah": (1101.0, 69.0),
    "Walker2d": (33.0, 16.0),
    "InvertedDoublePendulum": (124.0, 6.0),
    "Reacher": (-11.9, 0.6),
    "Ant": (415.0, 50.0),
    "Humanoid": (380.0, 21.0),
    "HumanoidStandup": (70_759.0, 6_874.0),
}
PPO = {"outer_lr": 1e-3, "minibatch_size": 500}
WARM_UP, TIMED = 3, 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", default=list(MUJOCO), choices=MUJOCO)
    parser.add_argument("--iterations", type=int, help="meta-iterations (default: as many as is usual)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder that the sets are written to", metavar="DIR")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "task                     untrained    plain PPO          distilled  CPU s  above  share", flush=True
    )
    with local_session(cpus=1):
        for name in args.tasks:
            found, untrained, spent_s = distil(name, args.iterations, args.seed, args.out)
            direct = plain_ppo(name, spent_s, args.seed)
            authors, error = AUTHORS[name]
            above = (found.mean - authors) / math.hypot(found.sem, error)
            share = (found.mean - untrained) / (direct.mean - untrained)
            print(
                f"{name:<24}{untrained:>10,.1f}{direct.mean:>13,.1f}{found.mean:>11,.1f} ±{found.sem:>6,.1f}"
                f"{spent_s:>7.0f}{above:>7.1f}{share:>7.2f}",
                flush=True,
            )


def distil(name: str, iterations: int | None, seed: int, out: Path | None) -> tuple[Returns, float, float]:
    """Returns of fresh learners, of untrained ones, and CPU seconds of learning."""
    given = {"env": f"{name}-v4", "seed": seed, "probe_learners": LEARNERS, "iterations_per_report": 20}
    if iterations is not None:
        given["iterations"] = iterations
    started = time.monotonic()
    run = PpmoRun(EnvironmentConfig.parse(given))
    curve = []
    while not run.done:
        scores = run.step()
        curve.append({"iteration": run.iteration, "learning_cpu_s": run.learning_cpu_s, **scores})
    if out:
        write_run(out / name, run, curve, time.monotonic() - started)
    found = validate(run.distilled(), run.task, LEARNERS, EPISODES, seed=seed)
    untrained, spent_s = run.untrained_return, run.learning_cpu_s
    run.close()
    return found, untrained, spent_s


def plain_ppo(name: str, cpu_s: float, seed: int) -> Returns:
    """What one learner reaches in as many CPU seconds, its rate annealed over just these."""
    shared = {"env": f"{name}-v4", "seed": seed, **PPO}
    trial = DirectRun(direct_settings({**shared, "iterations": WARM_UP + TIMED}))
    while trial.iteration < WARM_UP:
        trial.step()
    before = trial.learning_cpu_s
    while not trial.done:
        trial.step()
    each_s = (trial.learning_cpu_s - before) / TIMED
    trial.close()
    run = DirectRun(direct_settings({**shared, "iterations": max(1, round(cpu_s / each_s))}))
    while not run.done and run.learning_cpu_s < cpu_s:
        run.step()
    found = run.returns(PPO_EPISODES)
    run.close()
    return found


if __name__ == "__main__":
    main()
