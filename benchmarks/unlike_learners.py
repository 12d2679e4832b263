"""How one distilled set teaches learners of several families, and one that it was not made for.

    python benchmarks/unlike_learners.py --dimensions 1 2 3 --out sets
    python benchmarks/unlike_learners.py --dimensions 1 2 3 --leave-out
    python benchmarks/unlike_learners.py --dimensions 3 --leave-out xe

512 states of ND cart-pole, learned for all families of learners at once. Prints the return of 100 fresh
learners of each family in 5 episodes each, sampled actions, and the CPU seconds of learning (imports, Ray's
start and validation left out). With ``--leave-out`` a set is learned without each family that it names (or
each but the task's own learners), and that family alone judges it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from distilled_cartpoles import EPISODES, LARGE, LEARNERS, env_of
from example_sets import learn, told

from trainables.environment.choices import FAMILIES
from tune_dd.sweeps.ray_session import local_session

SHARES = {"ortho1": 2, "xe": 5}
"""Of the networks whose draws differ most, Xavier's above all; others have one."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dimensions", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--leave-out",
        nargs="*",
        choices=FAMILIES[1:],
        metavar="FAMILY",
        help="keep the judged family out of training: each of these, or each but the task's own",
    )
    parser.add_argument("--out", type=Path, help="folder that the sets are written to", metavar="DIR")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with local_session(cpus=1):
        for dimensions in args.dimensions:
            if args.leave_out is not None:
                for family in args.leave_out or FAMILIES[1:]:
                    one(dimensions, tuple(f for f in FAMILIES if f != family), (family,), args.seed, None)
            else:
                one(dimensions, FAMILIES, FAMILIES, args.seed, args.out)


def one(
    dimensions: int, families: tuple[str, ...], judges: tuple[str, ...], seed: int, out: Path | None
) -> None:
    """Learn a set for some families and judge it by others."""
    named = [family for family in families for _ in range(SHARES.get(family, 1))]
    settings: dict[str, Any] = {
        "env": env_of(dimensions), "batch_size": LARGE, "families": "+".join(named), "seed": seed
    }  # fmt: skip
    learned = learn(settings)
    cpu_s = learned.run.learning_cpu_s
    print(f"{dimensions}D, learned for {', '.join(families)} in {cpu_s:.0f} CPU s", flush=True)
    found = {}
    for family in judges:
        found[family] = learned.judge(LEARNERS, EPISODES, family)
        print(f"  {family:<14} {told(found[family])}", flush=True)
    if out:
        name = f"cartpole_{dimensions}d_b{LARGE}_families"
        learned.write(out, name, LEARNERS, EPISODES, found.pop("same"), found)
    learned.run.close()


if __name__ == "__main__":
    main()
