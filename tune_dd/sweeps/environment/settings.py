"""The settings of a sweep over environment distillations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from search_spaces import ENVIRONMENT_SPACES, EnvironmentContext, Space
from trainables.environment.choices import STATES_FOR_VECTORS
from trainables.environment.config import PARTS, EnvironmentConfig, SetConfig
from trainables.errors import InputError
from trainables.schema import from_flat, option
from tune_dd.environments.limits import check_target
from tune_dd.sweeps.plurals import counted
from tune_dd.sweeps.settings import Cell, SweepConfig, many

if TYPE_CHECKING:  # gymnasium takes a while to import: only once the flags are known to be good
    from trainables.environment.tasks import Task
    from tune_dd.sweeps.environment.kind import EnvironmentKind

RETURNS = ("probe_return", "greedy_return")
COMPACTNESS = "compactness"
SMALLEST_BATCH = "smallest_batch"
LARGEST_BATCH = 512


@dataclass(frozen=True)
class EnvironmentCell(Cell):
    """Trials that share task, seed and, where the space does not search it, the number of states."""

    SIZE_WORDS: ClassVar[str] = "states"

    env: str
    seed: int
    batch_size: int | None = None

    def __str__(self) -> str:
        return self.group + ("" if self.batch_size is None else f"/b{self.batch_size}")

    @property
    def source(self) -> str:
        return self.env

    @property
    def group(self) -> str:
        return f"{self.env}/seed{self.seed}"

    @property
    def size(self) -> int | None:
        return self.batch_size


@dataclass(frozen=True)
class EnvironmentSweep(SweepConfig):
    """The sweep: what is tried, how it is chosen, and what it may use."""

    KIND: ClassVar[str] = "environment"
    COMMAND: ClassVar[str] = "tune-dd search environment"
    DESCRIPTION: ClassVar[str] = (
        "Sweep distillations of reinforcement-learning tasks: Optuna proposes, ASHA stops the worse. "
        "Settings that are left out suit the task, or are searched; the defaults below are for CartPole-v1."
    )
    CELL: ClassVar[type[Cell]] = EnvironmentCell
    PASSED_ON: ClassVar[tuple[type, ...]] = PARTS
    OWN_SETTINGS: ClassVar[frozenset[str]] = frozenset({"env", "batch_size", "seed", "threads"})
    LISTS: ClassVar[str] = "--env, --batch-sizes and --seeds"
    COMPARED: ClassVar[tuple[type, ...]] = PARTS
    NEEDED: ClassVar[frozenset[str]] = frozenset({"env", "batch_size", "seed", "num_envs", "rollout_steps"})
    REPORTED: ClassVar[frozenset[str]] = frozenset(
        {*RETURNS, "probe_return_sem", "episode_return", "inner_lr", "env_steps"}
    )
    TIE_BREAKS: ClassVar[Mapping[str, str]] = {
        "probe_return": "greedy_return",
        "greedy_return": "probe_return",
        COMPACTNESS: "probe_return",
    }
    OTHER_SOURCE: ClassVar[str] = "another task, or other versions of what simulates it"
    WITHOUT_FLAG: ClassVar[frozenset[str]] = frozenset({"gpus_per_trial"})

    name: str = option("", "the sweep's folder in the storage (default: cartpole-v1-YYYYmmdd-HHMMSS)")
    space: str = option(
        "environment",
        f"the search space; {SMALLEST_BATCH} looks for the fewest states that reach --target-return",
        choices=tuple(ENVIRONMENT_SPACES),
    )
    objective: str | None = option(
        None,
        f"the score to maximise (default: probe_return; {COMPACTNESS} for {SMALLEST_BATCH}: the share of the "
        "way to --target-return, and there 1 + 1 / states)",
        choices=(*RETURNS, COMPACTNESS),
    )
    seeds: tuple[int, ...] = many(
        (0,), "seeds of distillation; trials of one are not compared with another's", int, at_least=0
    )
    env: tuple[str, ...] = many(
        ("CartPole-v1",), "tasks: CartPole-v1, CartPole<N>D-v1, Hopper-v5, Pong, ...", str, metavar="ID"
    )
    batch_sizes: tuple[int, ...] = many(
        (),
        "synthetic states, each number compared apart (default: half as many as there are actions, and one; "
        f"{STATES_FOR_VECTORS} where actions are vectors); for {SMALLEST_BATCH} the smallest and the largest "
        f"to try (default: from that number to {LARGEST_BATCH})",
        int,
        at_least=1,
    )

    def check_own(self) -> None:
        searched = self.space == SMALLEST_BATCH
        if searched and self.objective in RETURNS:
            raise InputError(
                f"--objective is {self.objective} with --space {SMALLEST_BATCH}",
                "more states reach more: it would look for the largest set",
                "leave --objective out",
            )
        if not searched and self.objective == COMPACTNESS:
            raise InputError(
                f"--objective is {COMPACTNESS} with --space {self.space}",
                "trials of a cell have equally many states there",
                f"choose --space {SMALLEST_BATCH}",
            )
        if searched and self.settings.get("target_return") is None:
            raise InputError(
                f"--space is {SMALLEST_BATCH} without --target-return",
                "it looks for the fewest states that reach a return",
                "name it: --target-return 475",
            )
        sizes = self.batch_sizes
        if searched and sizes and (len(sizes) != 2 or sizes[0] >= sizes[1]):
            raise InputError(
                f"--batch-sizes is {' '.join(map(str, sizes))} with --space {SMALLEST_BATCH}",
                "must be the smallest and the largest set to try",
                "give two numbers, the smaller one first",
            )
        if self.gpus_per_trial:
            raise InputError(
                f"the sweep gives {counted(self.gpus_per_trial, 'GPU')} to a trial",
                "environments are distilled on CPUs in this version",
                "leave it out",
            )
        for env in self.env:
            check_target(_opened(env), self.settings.get("target_return"))
        names = [_opened(env).env_id for env in self.env]
        if len(set(names)) < len(names):
            raise InputError(
                f"--env is {' '.join(self.env)}", "must name each task once", "drop the other names of one"
            )

    @property
    def cells(self) -> tuple[EnvironmentCell, ...]:
        """All cells, in the order in which they are asked for trials."""
        return tuple(
            EnvironmentCell(task.env_id, seed, batch_size)
            for task in map(_opened, self.env)
            for seed in self.seeds
            for batch_size in self._states(task)
        )

    def _states(self, task: Task) -> tuple[int | None, ...]:
        if self.space == SMALLEST_BATCH:
            return (None,)
        return self.batch_sizes or (self._usual(task.env_id)["batch_size"],)

    def _usual(self, env: str, batch_size: int | None = None) -> dict[str, Any]:
        """All settings of a run for which nothing is proposed."""
        states = {} if batch_size is None else {"batch_size": batch_size}
        return EnvironmentConfig.parse({**self.settings, "env": env, **states}).flat()

    @property
    def space_of_choice(self) -> Space[EnvironmentContext]:
        return ENVIRONMENT_SPACES[self.space]

    @property
    def metric(self) -> str:
        return self.objective or (COMPACTNESS if self.space == SMALLEST_BATCH else RETURNS[0])

    def context(self, cell: Cell) -> EnvironmentContext:
        assert isinstance(cell, EnvironmentCell)
        from trainables.environment.usual import smallest_sensible

        task = _opened(cell.env)
        low = min(self.batch_sizes, default=smallest_sensible(task))
        high = max(self.batch_sizes, default=max(low, LARGEST_BATCH))
        return EnvironmentContext(
            objective=self.metric,
            fixed=self.settings,
            env=task.env_id,
            usual=partial(self._usual, task.env_id),
            pictures=task.sees_pictures,
            families=len(from_flat(SetConfig, self.settings).family_names),
            batch_size=cell.batch_size,
            batch_sizes=(low, high),
        )

    def example(self, cell: Cell) -> Mapping[str, Any]:
        # The number of learners alone has to go with others, and the largest has most to ask for.
        return {} if "learners" in self.settings else {"learners": self.context(cell).learners[-1]}

    def trial_settings(self, cell: Cell, proposed: Mapping[str, Any]) -> dict[str, Any]:
        assert isinstance(cell, EnvironmentCell)
        own: dict[str, Any] = {"env": cell.env, "seed": cell.seed, "threads": self.cpus_per_trial}
        if cell.batch_size is not None:
            own["batch_size"] = cell.batch_size
        # Environments stay as many, whatever number of learners shares them.
        num_envs = self._usual(cell.env, cell.batch_size)["num_envs"]
        return EnvironmentConfig.parse({"num_envs": num_envs, **self.settings, **proposed, **own}).flat()

    def cell_of(self, settings: Mapping[str, Any]) -> EnvironmentCell:
        searched = self.space == SMALLEST_BATCH
        return EnvironmentCell(
            settings["env"], settings["seed"], None if searched else settings["batch_size"]
        )

    def other_source(self, source: str, former: str, found: str) -> InputError:
        return InputError(
            f"the task is now {found}",
            f"the sweep began with {former}, and returns in another simulation cannot be compared",
            "start a new sweep, or install those versions again",
        )

    def open(self) -> EnvironmentKind:
        from tune_dd.sweeps.environment.kind import EnvironmentKind

        return EnvironmentKind(self)

    @classmethod
    def default_name(cls, given: Mapping[str, Any]) -> str:
        env = str(given.get("env", ("CartPole-v1",))[0]).rpartition("/")[2].lower()
        return re.sub("[^a-z0-9]+", "-", env).strip("-") or cls.KIND


def _opened(env: str) -> Task:
    from trainables.environment.tasks import open_task

    return open_task(env)
