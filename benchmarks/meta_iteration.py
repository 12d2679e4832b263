"""What one meta-iteration of the reference's size costs, and who spends it.

    python benchmarks/meta_iteration.py

2,000 environment steps of 1D cart-pole, 16 outer steps, 512 states, one initialisation; CPU seconds of this
process, medians over iterations, imports and Ray's start not counted. Sampling is RLlib's environment runner
as a whole; learning is the inner step, the loss and the optimisers; RLlib is the rest. The last line is
the runner alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from trainables.environment.config import EnvironmentConfig
from trainables.ppmo.learner import PpmoLearner
from trainables.ppmo.run import PpmoRun
from tune_dd.sweeps.ray_session import local_session

WARM_UP = 5


class Stopwatch:
    """CPU seconds spent inside wrapped methods since the last look."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}

    def wrap(self, holder: Any, method: str, name: str) -> None:
        """Count what ``holder.method`` takes under ``name``."""
        inner: Callable[..., Any] = getattr(holder, method)

        def timed(*args: Any, **named: Any) -> Any:
            started = time.process_time()
            try:
                return inner(*args, **named)
            finally:
                self._spent[name] = self._spent.get(name, 0.0) + time.process_time() - started

        setattr(holder, method, timed)

    def look(self) -> dict[str, float]:
        """Seconds by name; counting starts again."""
        spent, self._spent = self._spent, {}
        return spent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--iterations", type=int, default=60, help="iterations to time (default: 60)")
    parser.add_argument("--batch-size", type=int, default=512, help="states in the set (default: 512)")
    parser.add_argument("--learners", type=int, default=1, help="initialisations (default: 1)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    settings = EnvironmentConfig.parse(
        {"batch_size": args.batch_size, "learners": args.learners, "iterations": args.iterations + WARM_UP}
    )
    outer = settings.outer
    with local_session(cpus=1):
        run = PpmoRun(settings)
        algorithm = run._algorithm
        watch = Stopwatch()
        watch.wrap(algorithm.env_runner, "sample", "sampling")
        watch.wrap(PpmoLearner, "_update", "learning")
        rows = []
        for _ in range(outer.iterations):
            started = time.process_time()
            algorithm.train()
            rows.append({"in all": time.process_time() - started, **watch.look()})
        seconds = {name: statistics.median(row[name] for row in rows[WARM_UP:]) for name in rows[0]}
        steps = outer.num_envs * outer.rollout_steps
        print(f"one meta-iteration of {steps:,} steps, batch {args.batch_size}, {args.learners} learners")
        for name in ("sampling", "learning"):
            print(f"  {name:<9}{seconds[name]:.4f} CPU s, {seconds[name] / seconds['in all']:.0%}")
        rest = seconds["in all"] - seconds["sampling"] - seconds["learning"]
        print(f"  {'RLlib':<9}{rest:.4f} CPU s, {rest / seconds['in all']:.0%}")
        print(f"  {'in all':<9}{seconds['in all']:.4f} CPU s")
        print(f"sampling alone: {steps / seconds['sampling']:,.0f} steps a CPU second")
        run.close()


if __name__ == "__main__":
    main()
