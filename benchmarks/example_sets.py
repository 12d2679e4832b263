"""What programs that make ``examples/distilled`` share: learn a set, judge it, write it with its origin."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainables.environment.config import EnvironmentConfig
from trainables.environment.validation import Returns, validate
from trainables.ppmo.run import SURE, PpmoRun
from trainables.schema import flag_name
from trainables.seeds import derive_seed
from tune_dd.runs.folder import versions, write_json

PROBES = 40


@dataclass
class Learned:
    """A run that has come to its end.

    Attributes:
        settings: those given; the others are usual for the task.
        curve: its reports, with ``iteration`` and ``learning_cpu_s``.
    """

    settings: Mapping[str, Any]
    run: PpmoRun
    curve: list[dict[str, float]] = field(default_factory=list)

    def cpu_s_to(self, goal: float) -> float:
        """CPU seconds until a probe was surely above a return, infinite where none was."""
        surely = (
            (report["probe_return"] - SURE * report["probe_return_sem"], report["learning_cpu_s"])
            for report in self.curve
        )
        return next((cpu_s for reached, cpu_s in surely if reached >= goal), math.inf)

    def judge(
        self,
        learners: int,
        episodes: int,
        family: str = "same",
        greedy: bool = False,
        inner_steps: int | None = None,
    ) -> Returns:
        """Returns of fresh learners, as :func:`validate` has them: those of no training or probe, and others
        for each seed."""
        return validate(
            self.run.distilled(),
            self.run.task,
            learners,
            episodes,
            family=family,
            greedy=greedy,
            inner_steps=inner_steps,
            seed=derive_seed(self.run.settings.outer.seed, "judges"),
        )

    def write(
        self,
        folder: Path,
        name: str,
        learners: int,
        episodes: int,
        sampled: Returns,
        unlike: Mapping[str, Returns] | None = None,
    ) -> None:
        """``<name>.pt``, and a JSON beside it with the command that makes it, all settings of the learning
        (for when defaults have changed), versions and scores.

        Args:
            unlike: returns of other families' learners, sampled actions.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.run.distilled().save(folder / f"{name}.pt")
        greedy = self.judge(learners, episodes, greedy=True)
        write_json(
            folder / f"{name}.json",
            {
                "command": command_of(self.settings),
                "env": self.run.task.env_id,
                "seed": self.settings["seed"],
                "config": learning_settings(self.run.settings),
                "learning_cpu_s": round(self.run.learning_cpu_s, 1),
                "env_steps": self.run.env_steps,
                "validation": {
                    "learners": learners,
                    "episodes": episodes,
                    "sampled": _numbers(sampled),
                    "greedy": _numbers(greedy),
                    **{family: _numbers(found) for family, found in (unlike or {}).items()},
                },
                "versions": versions(),
            },
        )


def _numbers(found: Returns) -> dict[str, float]:
    return {"mean": found.mean, "sd": found.sd, "sem": found.sem, "least": float(found.by_learner.min())}


def learning_settings(settings: EnvironmentConfig) -> dict[str, Any]:
    """What the set depends on: all but how it is probed."""
    return {**dataclasses.asdict(settings.distilled), **dataclasses.asdict(settings.outer)}


def learn(settings: Mapping[str, Any]) -> Learned:
    """Learn a set to the end; Ray must run."""
    iterations = EnvironmentConfig.parse(settings).outer.iterations
    every = -(-iterations // PROBES)
    learned = Learned(
        settings, PpmoRun(EnvironmentConfig.parse({**settings, "iterations_per_report": every}))
    )
    run = learned.run
    while not run.done:
        scores = run.step()
        learned.curve.append({"iteration": run.iteration, "learning_cpu_s": run.learning_cpu_s, **scores})
    return learned


def told(found: Returns) -> str:
    return f"{found.mean:.2f} ± {found.sem:.2f}, least {found.by_learner.min():.0f}"


def command_of(settings: Mapping[str, Any]) -> str:
    """The command that learns the same set."""
    words = [word for name, value in settings.items() for word in (flag_name(name), str(value))]
    return shlex.join(["tune-dd", "distill", "environment", *words])
