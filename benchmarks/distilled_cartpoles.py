"""The distilled cart-poles of ``examples/distilled``: learn them, judge them, write them.

    python benchmarks/distilled_cartpoles.py --dimensions 1 2 --out sets

For each number of dimensions the smallest batch, ceil(actions / 2) + 1 states, and 512; on each seed. One
line a set: CPU seconds of learning (imports, Ray's start and validation left out), in all and until a probe
of 100 fresh learners was above 475 by two standard errors; and the return of 100 others in 5 episodes each,
sampled actions. Written are ``cartpole_<N>d_b<B>.pt`` of the first seed, and a JSON beside it with the
command that makes it, seed, versions and scores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from example_sets import learn, told

from tune_dd.sweeps.ray_session import local_session

LARGE = 512
LEARNERS, EPISODES = 100, 5
GOAL = 475


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
                    learned = learn({"env": env_of(dimensions), "batch_size": batch_size, "seed": seed})
                    found = learned.judge(LEARNERS, EPISODES)
                    times = f"{learned.cpu_s_to(GOAL):>8.0f}{learned.run.learning_cpu_s:>7.0f}"
                    print(f"{dimensions:>3}{batch_size:>5}{seed:>6}{times}  {told(found)}", flush=True)
                    if args.out and seed == args.seeds[0]:
                        name = f"cartpole_{dimensions}d_b{batch_size}"
                        learned.write(args.out, name, LEARNERS, EPISODES, found)
                    learned.run.close()


def env_of(dimensions: int) -> str:
    return "CartPole-v1" if dimensions == 1 else f"CartPole{dimensions}D-v1"


if __name__ == "__main__":
    main()
