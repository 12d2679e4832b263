"""One environment distillation: learned by RLlib, judged by fresh learners, resumed from a file."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.numpy import convert_to_numpy

from trainables.environment.config import EnvironmentConfig, task_of
from trainables.environment.distilled_set import DistilledSet
from trainables.environment.own_modules import digests
from trainables.environment.validation import Returns, untrained, validate
from trainables.errors import InputError
from trainables.ppmo.algorithm import algorithm_config
from trainables.ppmo.module import distilled_set
from trainables.seeds import derive_seed
from trainables.tensor_files import load_tensors, save_tensors

_METRICS = "learner/metrics_logger"
_STATE = {
    "iteration", "episode_return", "untrained_return", "reached", "learning_cpu_s", "learner_group"
}  # fmt: skip
_TELLING = ("averaged.", "stepped.")
SURE = 2.0
"""Standard errors by which a probe's mean must be above a target return."""


class PpmoRun:
    """Runs meta-iterations, and reports what fresh learners make of the set so far.

    A Ray session must exist. Close it after use.

    Args:
        settings: of everything.
        num_env_runners, num_learners: as :func:`~trainables.ppmo.algorithm.algorithm_config` takes them.

    Attributes:
        modules: digests of the user's own networks among the learners, as they were at the start.
        iteration: meta-iterations done.
        reached: whether the last probe was above ``target_return`` by :data:`SURE` standard errors, and one
            of other learners after it.
        learning_cpu_s: CPU seconds of this process spent on them, probes left out.
        probed: the set of the last report, the one before it where that diverged.
    """

    def __init__(self, settings: EnvironmentConfig, num_env_runners: int = 0, num_learners: int = 0) -> None:
        self.settings = settings
        self.task = task_of(settings.distilled)
        self.modules = digests(settings.distilled.family_names)
        self.iteration = 0
        self.reached = False
        self.learning_cpu_s = 0.0
        self.probed: DistilledSet | None = None
        self._algorithm = algorithm_config(settings, num_env_runners, num_learners).build_algo()
        probe, seed = settings.probe, derive_seed(settings.outer.seed, "untrained")
        start = untrained(self.task, probe.probe_learners, probe.probe_episodes, seed)
        self.untrained_return = self._episode_return = start.mean

    @property
    def done(self) -> bool:
        """Whether the target return is reached, or all meta-iterations have been made."""
        return self.reached or self.iteration >= self.settings.outer.iterations

    @property
    def env_steps(self) -> int:
        """Environment steps sampled."""
        return self.iteration * self.settings.outer.num_envs * self.settings.outer.rollout_steps

    @property
    def reports(self) -> int:
        """Reports made."""
        return math.ceil(self.iteration / self.settings.probe.iterations_per_report)

    def step(self) -> dict[str, float]:
        """Meta-iterations up to the next report, and a probe.

        Returns:
            Finite floats: ``probe_return`` and its standard error ``probe_return_sem`` (sampled actions),
            ``greedy_return``, ``episode_return`` (training learners; before an episode has ended, that of
            untrained ones), ``inner_lr``, ``env_steps``, ``diverged``; where a return is known that
            solves the task, and untrained learners are below, ``normalised_score``, the share of the way
            there; with a target return also ``compactness`` (see :func:`compactness`).
        """
        until = min(
            self.iteration + self.settings.probe.iterations_per_report, self.settings.outer.iterations
        )
        started = time.process_time()
        while self.iteration < until:
            sampled = self._algorithm.train()["env_runners"]
            self.iteration += 1
            self._episode_return = _finite(sampled.get("episode_return_mean"), self._episode_return)
        self.learning_cpu_s += time.process_time() - started
        return self.probe()

    def probe(self) -> dict[str, float]:
        """Scores of the set as it stands; see :meth:`step`."""
        state = self._module_state()
        distilled = distilled_set(state, self.settings.distilled)
        scores = {"env_steps": float(self.env_steps), "episode_return": self._episode_return}
        target = self.settings.probe.target_return
        # A set of huge numbers is finite, but its learners are not.
        if not all(np.isfinite(value).all() for name, value in state.items() if name.startswith(_TELLING)):
            worst = self.untrained_return
            scores |= {"probe_return": worst, "probe_return_sem": 0.0, "greedy_return": worst}
            return scores | {"inner_lr": 0.0, "diverged": 1.0} | self._relative(worst, worst)
        self.probed = distilled
        drawn, greedy = self._judge(distilled, "probe"), self._judge(distilled, "probe", greedy=True)
        self.reached = target is not None and _surely(drawn) >= target
        if target is not None and self.reached:
            # The first of many probes to get there may owe it to luck; what others say does not.
            drawn = self._judge(distilled, "second probe")
            self.reached = _surely(drawn) >= target
        return {
            **scores,
            "probe_return": drawn.mean,
            "probe_return_sem": drawn.sem,
            "greedy_return": greedy.mean,
            "inner_lr": float(distilled.inner_lr),
            "diverged": 0.0,
            **self._relative(drawn.mean, _surely(drawn)),
        }

    def _judge(self, distilled: DistilledSet, purpose: str, greedy: bool = False) -> Returns:
        """Returns of learners that are others at each probe: what is chosen by these must not be chosen for
        its luck with some."""
        probe = self.settings.probe
        seed = derive_seed(self.settings.outer.seed, purpose, self.iteration)
        return validate(
            distilled, self.task, probe.probe_learners, probe.probe_episodes, seed=seed, greedy=greedy
        )

    def _relative(self, probe_return: float, surely: float) -> dict[str, float]:
        """Scores that set a return beside those of untrained learners and of a goal."""
        start, solved, target = (
            self.untrained_return, self.task.solved_return, self.settings.probe.target_return
        )  # fmt: skip
        scores = {}
        if solved is not None and solved > start:
            scores["normalised_score"] = (probe_return - start) / (solved - start)
        if target is not None:
            states = self.settings.distilled.batch_size
            scores["compactness"] = compactness(surely, start, target, states)
        return scores

    def distilled(self) -> DistilledSet:
        """The set, averaged over the last iterations."""
        return distilled_set(self._module_state(), self.settings.distilled)

    def _module_state(self) -> dict[str, Any]:
        state = self._algorithm.learner_group.get_state(not_components=["learner/optimizer", _METRICS])
        content: dict[str, Any] = state["learner"]["rl_module"][DEFAULT_MODULE_ID]
        return content

    def save(self, path: Path) -> None:
        """Write all that :meth:`restore` needs, as tensors and plain values, whole or not at all.

        The episodes under way are left out: after a restore new ones begin.
        """
        content = {
            "iteration": self.iteration,
            "episode_return": self._episode_return,
            "untrained_return": self.untrained_return,
            "reached": self.reached,
            "learning_cpu_s": self.learning_cpu_s,
            "learner_group": _as_tensors(self._algorithm.learner_group.get_state(not_components=[_METRICS])),
        }
        save_tensors(path, content)

    def restore(self, path: Path) -> None:
        """Go on from a file of :meth:`save`, made with the same settings.

        Raises:
            InputError: the file is missing or damaged.
        """
        content = read_state(path)
        self.iteration = content["iteration"]
        self._episode_return, self.untrained_return = content["episode_return"], content["untrained_return"]
        self.learning_cpu_s, self.reached = content["learning_cpu_s"], content["reached"]
        learners, runners = self._algorithm.learner_group, self._algorithm.env_runner_group
        learners.set_state(convert_to_numpy(content["learner_group"]))
        runners.sync_weights(from_worker_or_learner_group=learners, inference_only=True)
        steps = self.env_steps
        # Their draws follow from it, so that new episodes are not the first ones again.
        runners.foreach_env_runner(lambda runner: setattr(runner, "num_env_steps_sampled_lifetime", steps))

    def close(self) -> None:
        """End the algorithm's processes and environments."""
        self._algorithm.stop()


def read_state(path: Path) -> dict[str, Any]:
    """What :meth:`PpmoRun.save` wrote.

    Raises:
        InputError: the file is missing, damaged or another one.
    """
    content = load_tensors(path)
    lacking = _STATE - set(content if isinstance(content, Mapping) else ())
    if lacking:
        raise InputError(
            f"{path} is no state of a distillation",
            f"it lacks {', '.join(sorted(lacking))}",
            "restore it from a copy, or begin anew",
        )
    return dict(content)


def compactness(probe_return: float, untrained_return: float, target_return: float, states: int) -> float:
    """One score for "reach the target, then by as few states as possible".

    Where the target is reached, ``1 + 1 / states``; elsewhere the share of the way to it from untrained
    learners, in [0, 1). Finite for finite returns.
    """
    if probe_return >= target_return:
        return 1.0 + 1.0 / states
    if probe_return <= untrained_return:
        return 0.0
    share = (probe_return - untrained_return) / (target_return - untrained_return)
    return min(share, math.nextafter(1.0, 0.0))


def _surely(returns: Returns) -> float:
    return returns.mean - SURE * returns.sem


def _as_tensors(state: Any) -> Any:
    if isinstance(state, np.ndarray):
        return torch.from_numpy(state.copy())
    if isinstance(state, np.generic):
        return state.item()
    if isinstance(state, Mapping):
        return {name: _as_tensors(value) for name, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(map(_as_tensors, state))
    return state


def _finite(value: Any, otherwise: float) -> float:
    return float(value) if value is not None and math.isfinite(value) else otherwise
