"""What distilled sets are worth: returns and costs of everything else that makes a learner act.

    python benchmarks/environment_controls.py
    python benchmarks/environment_controls.py --env CartPole2D-v1 --batch-sizes 3 --ppo-iterations 75

Prints, over seeds, means and their standard errors, and median CPU seconds (imports, Ray's start and judging
left out): those spent once, and those spent on each learner.

- plain PPO: one learner of the same network, on the parts that distil; its curve stands below the table.
- expert's states: as many real ones as the set has, labelled by that learner, in one step; the rate of the
  step is the best of a grid on learners of their own.
- cloned: Adam on an expert's states, twice as many each time until the clones are as good as the expert.
- distilled: one step on a set that is learned here, or read from --set.

Flags of distillation that mean something to plain PPO (environments, epochs, discount, the critic's rate)
hold for it, too; its iterations and rate have flags of their own. Below the table: from how many learners on
distillation is the cheaper way.
"""

from __future__ import annotations

import itertools
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import torch

from trainables.environment.config import EnvironmentConfig, OuterConfig, SetConfig
from trainables.environment.distilled_set import DistilledSet, load_distilled_set
from trainables.environment.imitation import Policy, clone, demonstrate, labelled_set, returns_of
from trainables.environment.tasks import Task, open_task
from trainables.environment.validation import Returns, stepped_learners, validate
from trainables.ppmo.direct import DirectRun, direct_settings
from trainables.ppmo.run import PpmoRun
from tune_dd.flags import Flags, add_config, main_guard, parser
from tune_dd.runs.folder import read_json
from tune_dd.runs.score_table import aligned
from tune_dd.sweeps.ray_session import local_session

LEARNERS, EPISODES = 100, 5
CLONING_STEPS = 500
MOST_STATES = 2**16
# Means are noisy: these shares of the way up from untrained learners count as the whole of it.
AS_GOOD = 0.99
"""For clones on the way to their experts."""
SAME = 0.95
"""For plain PPO on the way to the distilled set's learners."""
EVALUATIONS, EVALUATED, SHOWN = 25, 50, 12
"""Points of plain PPO's curve, episodes of each, and how many points are shown."""
Given = ParamSpec("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Line:
    """A row of the table: one return a seed, CPU seconds once and for each learner."""

    name: str
    states: int
    returns: Sequence[float]
    once_s: float
    each_s: float

    @property
    def mean(self) -> float:
        return statistics.mean(self.returns)

    def cells(self) -> list[str]:
        """As the table shows them."""
        found = Returns(np.array(self.returns))
        error = f" ± {found.sem:,.1f}" if len(self.returns) > 1 else ""
        once = "-" if math.isnan(self.once_s) else f"{self.once_s:.1f}"
        each = f"{self.each_s:.2g}" if self.each_s < 1 else f"{self.each_s:.1f}"
        states = f"{self.states:,}" if self.states else ""
        return [self.name, states, f"{found.mean:,.1f}{error}", once, each]


@dataclass(frozen=True)
class Expert:
    """A learner of plain PPO; its curve is CPU seconds and returns."""

    policy: Policy
    cpu_s: float
    curve: list[tuple[float, float]]

    def cpu_s_to(self, target: float) -> float:
        """CPU seconds to the first evaluation at a return; infinite where there is none."""
        return next((cpu_s for cpu_s, reached in self.curve if reached >= target), math.inf)


@main_guard
def main(argv: Sequence[str] | None = None) -> int:
    flags = parser("environment_controls", "Compare distilled sets with their controls.")
    flags.add_flag("--env", str, "the task", default="CartPole-v1")
    flags.add_flag("--batch-sizes", int, "states in the sets", default=(2, 512), many=True, at_least=1)
    flags.add_flag("--seeds", int, "of everything", default=(0, 1, 2), many=True, at_least=0)
    flags.add_flag(
        "--set", str, "sets to take in place of learning some; a JSON beside one tells its learning_cpu_s",
        many=True, metavar="FILE",
    )  # fmt: skip
    flags.add_flag("--ppo-iterations", int, "iterations of plain PPO", default=40, at_least=1)
    flags.add_flag("--ppo-lr", float, "Adam's learning rate of plain PPO's learner", default=3e-3, above=0.0)
    add_config(flags, SetConfig, skip=("env", "batch_size"))
    add_config(flags, OuterConfig, skip=("seed",))
    given = flags.parse(argv)
    torch.set_num_threads(1)
    task, seeds = open_task(given["env"]), given["seeds"]
    with local_session(cpus=1):
        sets = [_read(Path(name), seeds) for name in given["set"] or ()]
        for batch_size in () if sets else given["batch_sizes"]:
            sets.append([_distil(given, task, batch_size, seed) for seed in seeds])
        experts = [_train(given, task, seed) for seed in seeds]
    some = sets[0][0][0]
    idle = [validate(some, task, LEARNERS, EPISODES, inner_steps=0, seed=seed).mean for seed in seeds]
    untrained, direct = Line("untrained", 0, idle, 0.0, 0.0), _direct(task, experts, seeds)
    lines = [untrained, direct]
    lines += [_labelled(task, experts, seeds, len(made[0][0].x)) for made in sets]
    lines += _clones(task, experts, seeds, _on_the_way(AS_GOOD, untrained, direct))
    distilled = [_distilled(task, made, seeds) for made in sets]
    heading = ["", "states", "return", "CPU s once", "CPU s each"]
    cells = [line.cells() for line in (*lines, *distilled)]
    print(f"{task.env_id}, {LEARNERS} fresh learners x {EPISODES} episodes on each of {len(seeds)} seeds\n")
    print("\n".join(aligned([heading, *cells])) + "\n")
    print(f"plain PPO, return by CPU s: {_curve(experts)}")
    for line in distilled:
        _tell_break_even(line, lines[-1], experts, _on_the_way(SAME, untrained, line))
    return 0


def _distil(given: Flags, task: Task, batch_size: int, seed: int) -> tuple[DistilledSet, float]:
    """A set, and the CPU seconds that it took."""
    settings = {**given.given_for(SetConfig, OuterConfig), "env": task.env_id, "batch_size": batch_size}
    once = {"iterations_per_report": given["iterations"], "seed": seed}
    run = PpmoRun(EnvironmentConfig.parse({**settings, **once}))
    while not run.done:
        run.step()
    _progress(f"distilled {batch_size} states, seed {seed}: {run.learning_cpu_s:.1f} CPU s")
    distilled = run.distilled()
    run.close()
    return distilled, run.learning_cpu_s


def _read(path: Path, seeds: Sequence[int]) -> list[tuple[DistilledSet, float]]:
    """A set from a file, for each seed of its judges the same."""
    beside = path.with_suffix(".json")
    cpu_s = read_json(beside, "provenance").get("learning_cpu_s", math.nan) if beside.exists() else math.nan
    return [(load_distilled_set(path), cpu_s)] * len(seeds)


def _train(given: Flags, task: Task, seed: int) -> Expert:
    # What only distillation has does nothing there; all else, as the discount, is the same.
    shared = given.given_for(SetConfig, OuterConfig)
    own = {"iterations": given["ppo_iterations"], "outer_lr": given["ppo_lr"], "seed": seed}
    run = DirectRun(direct_settings({**shared, "env": task.env_id, **own}))
    every = max(1, given["ppo_iterations"] // EVALUATIONS)
    curve = []
    while not run.done:
        run.step()
        if run.iteration % every == 0 or run.done:
            curve.append((run.learning_cpu_s, run.returns(EVALUATED).mean))
    _progress(f"plain PPO, seed {seed}: {curve[-1][1]:.1f} after {run.learning_cpu_s:.1f} CPU s")
    policy = run.policy()
    run.close()
    return Expert(policy, run.learning_cpu_s, curve)


def _direct(task: Task, experts: Sequence[Expert], seeds: Sequence[int]) -> Line:
    returns = [
        returns_of(task, expert.policy, LEARNERS * EPISODES, seed).mean
        for expert, seed in zip(experts, seeds, strict=True)
    ]
    return Line("plain PPO", 0, returns, 0.0, statistics.median(expert.cpu_s for expert in experts))


def _labelled(task: Task, experts: Sequence[Expert], seeds: Sequence[int], states: int) -> Line:
    made = []
    for expert, seed in zip(experts, seeds, strict=True):
        shown, shown_s = _timed(demonstrate, task, expert.policy, states, seed)
        labelled, labelled_s = _timed(labelled_set, task, shown, seed)
        made.append((labelled, expert.cpu_s + shown_s + labelled_s))
    line = _distilled(task, made, seeds)
    _progress(f"{states} states of experts in one step: {line.cells()[2]}")
    return Line("expert's states, one step", states, line.returns, line.once_s, line.each_s)


def _clones(task: Task, experts: Sequence[Expert], seeds: Sequence[int], goal: float) -> Iterator[Line]:
    """Lines of ever more states, up to clones that reach a return."""
    for states in itertools.takewhile(lambda n: n <= MOST_STATES, (2**i for i in itertools.count(1))):
        returns, once_s, each_s = [], [], []
        for expert, seed in zip(experts, seeds, strict=True):
            shown, shown_s = _timed(demonstrate, task, expert.policy, states, seed)
            cloned, cloned_s = _timed(clone, task, shown, LEARNERS, seed, CLONING_STEPS)
            returns.append(returns_of(task, cloned, EPISODES, seed).mean)
            once_s.append(expert.cpu_s + shown_s)
            each_s.append(cloned_s / LEARNERS)
        line = Line("cloned", states, returns, statistics.median(once_s), statistics.median(each_s))
        _progress(f"cloned from {states} states: {line.cells()[2]}")
        yield line
        if line.mean >= goal:
            return


def _distilled(task: Task, made: Sequence[tuple[DistilledSet, float]], seeds: Sequence[int]) -> Line:
    returns, each_s = [], []
    for (distilled, _), seed in zip(made, seeds, strict=True):
        returns.append(validate(distilled, task, LEARNERS, EPISODES, seed=seed).mean)
        _, stepped_s = _timed(_stepped, distilled, task, seed)
        each_s.append(stepped_s / LEARNERS)
    once_s = statistics.median(cpu_s for _, cpu_s in made)
    return Line("distilled, one step", len(made[0][0].x), returns, once_s, statistics.median(each_s))


def _on_the_way(share: float, start: Line, end: Line) -> float:
    return start.mean + share * (end.mean - start.mean)


def _curve(experts: Sequence[Expert]) -> str:
    points = list(zip(*(expert.curve for expert in experts), strict=True))
    some = points[-1 :: -math.ceil(len(points) / SHOWN)]
    medians = [[statistics.median(values) for values in zip(*point, strict=True)] for point in some]
    return ", ".join(f"{reached:,.0f} at {cpu_s:.1f}" for cpu_s, reached in reversed(medians))


def _tell_break_even(distilled: Line, cloned: Line, experts: Sequence[Expert], target: float) -> None:
    if math.isnan(distilled.once_s):
        print(f"what the {distilled.states:,} distilled states cost is not known")
        return
    direct_s = statistics.median(expert.cpu_s_to(target) for expert in experts)
    print(f"{distilled.states:,} distilled states, {distilled.once_s:.1f} CPU s, are the cheaper way")
    for other, once_s, each_s in (
        (f"plain PPO to a return of {target:,.0f}, {direct_s:.2f} CPU s each", 0.0, direct_s),
        (f"cloning from {cloned.states:,} states of an expert", cloned.once_s, cloned.each_s),
    ):
        if math.isinf(each_s):
            print(f"  anyhow: plain PPO does not come to a return of {target:,.0f}")
            continue
        saved_s = each_s - distilled.each_s
        learners = max(1, math.floor((distilled.once_s - once_s) / saved_s) + 1) if saved_s > 0 else None
        print(f"  from {learners:,} learners on: {other}" if learners else f"  never: {other}")


def _stepped(distilled: DistilledSet, task: Task, seed: int) -> int:
    return len(list(stepped_learners(distilled, task, LEARNERS, "same", None, seed)))


def _timed(work: Callable[Given, Made], *given: Given.args, **named: Given.kwargs) -> tuple[Made, float]:
    """What it gives, and its CPU seconds."""
    started = time.process_time()
    made = work(*given, **named)
    return made, time.process_time() - started


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
