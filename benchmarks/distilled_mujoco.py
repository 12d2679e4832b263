"""MuJoCo's tasks distilled into 64 states, plain PPO in the same time, and the authors' sets.

    python benchmarks/distilled_mujoco.py --tasks Hopper HalfCheetah --out sets

Version 4 of each task, as the stored sets are of it. One line a task: returns of untrained learners, of plain
PPO (50 episodes of one learner), and of 10 fresh learners in 3 episodes each after one step on the set (mean
and standard error over learners, sampled actions); CPU seconds of learning by both, imports, Ray's start and
judging left out; by how many standard errors of the difference the set is above the authors'; and its share
of what plain PPO gains over untrained learners. With ``--out`` each set is written, with its JSON and curve.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from example_sets import learn

from trainables.environment.choices import STATES_FOR_VECTORS as STATES
from trainables.environment.tasks import MUJOCO
from trainables.environment.validation import Returns
from trainables.ppmo.direct import DirectRun, direct_settings
from tune_dd.environments.curves import draw_curves
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
        "task                     untrained    plain PPO  CPU s           distilled  CPU s  above  share",
        flush=True,
    )
    with local_session(cpus=1):
        for name in args.tasks:
            given = {} if args.iterations is None else {"iterations": args.iterations}
            learned = learn({"env": f"{name}-v4", "seed": args.seed, **given})
            found = learned.judge(LEARNERS, EPISODES)
            untrained = learned.judge(LEARNERS, EPISODES, inner_steps=0).mean
            spent_s = learned.run.learning_cpu_s
            if args.out:
                learned.write(args.out, f"{name.lower()}_v4_b{STATES}", LEARNERS, EPISODES, found)
                draw_curves(
                    learned.curve, untrained, learned.run.task.env_id, args.out / f"{name.lower()}.png"
                )
            learned.run.close()
            direct, direct_s = plain_ppo(name, spent_s, args.seed)
            authors, error = AUTHORS[name]
            above = (found.mean - authors) / math.hypot(found.sem, error)
            share = (found.mean - untrained) / (direct.mean - untrained)
            print(
                f"{name:<24}{untrained:>10,.1f}{direct.mean:>13,.1f}{direct_s:>7.0f}"
                f"{found.mean:>12,.1f} ±{found.sem:>6,.1f}{spent_s:>7.0f}{above:>7.1f}{share:>7.2f}",
                flush=True,
            )


def plain_ppo(name: str, cpu_s: float, seed: int) -> tuple[Returns, float]:
    """What one learner reaches in about as many CPU seconds, its rate annealed over just these; and in how
    many it did."""
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
    while not run.done:
        run.step()
    found = run.returns(PPO_EPISODES), run.learning_cpu_s
    run.close()
    return found


if __name__ == "__main__":
    main()
