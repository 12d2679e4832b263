"""What a sweep over environment distillations does beside what all sweeps do."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

import torch

from trainables.environment.config import EnvironmentConfig, task_of
from trainables.environment.distilled_set import SET_FILE, load_distilled_set
from trainables.environment.own_modules import digests
from trainables.environment.tasks import open_task
from trainables.environment_distillation import PROGRESS_FILE, STATE_FILE, EnvironmentDistillation
from trainables.errors import InputError
from trainables.ppmo.run import PpmoRun, read_state
from tune_dd.environments.outputs import write_curve, write_summary
from tune_dd.environments.places import place_of
from tune_dd.sweeps.environment.controls import control_returns
from tune_dd.sweeps.environment.costs import distillation_s, simulated_s
from tune_dd.sweeps.environment.settings import COMPACTNESS, EnvironmentCell, EnvironmentSweep
from tune_dd.sweeps.environment.task_facts import task_facts
from tune_dd.sweeps.journal import TrialRecord
from tune_dd.sweeps.kind import Kind, Report, Rerun, Scores
from tune_dd.sweeps.plurals import counted
from tune_dd.sweeps.ray_session import local_session
from tune_dd.sweeps.results import lasting
from tune_dd.sweeps.settings import Cell

# On two cores: starting a trial in a worker that has run one before.
START_S = 1.0


class EnvironmentKind(Kind[EnvironmentSweep]):
    """Environment distillations: each trial plays its own episodes, so trials share nothing."""

    # Episodes under way are not in a checkpoint: after it new ones begin.
    RESUMES_EXACTLY: ClassVar[bool] = False
    CAUSES: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: EnvironmentSweep) -> None:
        super().__init__(config)
        self._controls: dict[str, dict[str, dict[str, float]]] = {}
        self._step_s: dict[str, float] = {}

    @property
    def trainable(self) -> type[EnvironmentDistillation]:
        return EnvironmentDistillation

    def check(self, report: Report, *, fetch: bool = True) -> None:
        for cell in self.config.cells:
            task_of(self._parsed(cell).distilled)

    def _parsed(self, cell: Cell) -> EnvironmentConfig:
        return EnvironmentConfig.parse(self.config.trial_settings(cell, self.config.example(cell)))

    def prepare(self, report: Report) -> None:
        self.facts |= self.known_facts(report)

    def known_facts(self, report: Report) -> Mapping[str, Mapping[str, Any]]:
        modules = digests(self._parsed(self.config.cells[0]).distilled.family_names)
        return {cell.source: task_facts(open_task(cell.env), modules) for cell in self.config.cells}

    def check_checkpoint(self, checkpoint: Path) -> None:
        load_distilled_set(checkpoint / SET_FILE)
        read_state(checkpoint / STATE_FILE)
        json.loads((checkpoint / PROGRESS_FILE).read_text())

    def run_place(self, record: TrialRecord) -> tuple[str, str, str]:
        settings = record.settings
        name = f"b{settings['batch_size']}-seed{settings['seed']}-{record.trial_id}"
        return *place_of(open_task(settings["env"])), name

    def fill_run(
        self, place: Path, record: TrialRecord, checkpoint: Path | None, more: Mapping[str, Any]
    ) -> None:
        untrained_return = None
        if checkpoint is not None:
            untrained_return = _untrained_return(checkpoint)
            _take_set(checkpoint, place)
        if record.reports:
            write_curve(place, _curve(record), untrained_return, record.settings["env"])
        timings = {name: record.scores[name] for name in self.TIMINGS if name in record.scores}
        write_summary(
            place,
            config=record.settings,
            scores=lasting(self, record.scores),
            untrained_return=untrained_return,
            timings={**timings, "busy_s": record.busy_s},
            data=self.facts[record.cell.source],
            **more,
        )

    def controls(self, cell: Cell) -> dict[str, dict[str, float]]:
        if cell.group not in self._controls:
            self._controls[cell.group] = control_returns(self._parsed(cell))
        return self._controls[cell.group]

    def rerun(self, settings: Mapping[str, Any], iterations: int, report: Report) -> Rerun:
        parsed = EnvironmentConfig.parse(settings)
        torch.set_num_threads(parsed.probe.threads)
        scores: dict[str, float] = {}
        with local_session(cpus=1):
            run = PpmoRun(parsed)
            try:
                while not run.done and run.reports < iterations and not scores.get("diverged"):
                    scores = run.step()
            finally:
                run.close()
        return Rerun(scores, run.reports, task_facts(run.task, run.modules))

    def score_words(self, record: TrialRecord) -> str:
        scores, metric = record.scores, self.config.metric
        if metric == "greedy_return":
            return f"{scores[metric]:,.1f}"
        words = _return_words(scores)
        return f"{words} with {_states(record.settings)}" if metric == COMPACTNESS else words

    def heading(self, cell: Cell) -> str:
        assert isinstance(cell, EnvironmentCell)
        words = f"{cell.env}, seed {cell.seed}"
        if cell.batch_size is None:
            return f"{words}, as few states as reach {self.config.settings['target_return']:g}"
        return f"{words}, {_states({'batch_size': cell.batch_size})}"

    def columns(self, cell: Cell) -> list[str]:
        target = ["target"] if "target_return" in self.config.settings else []
        return ["set", "fresh learners", "greedy", *target, "inner lr", "CPU s"]

    def trial_name(self, settings: Mapping[str, Any]) -> str:
        return _states(settings)

    def row(self, cell: Cell, name: str, scores: Scores) -> list[str]:
        cells = [name, _return_words(scores), _number(scores.get("greedy_return"), ",.1f")]
        if "target_return" in self.config.settings:
            way = scores.get(COMPACTNESS)
            cells.append("" if way is None else "reached" if way >= 1 else f"{100 * way:.0f}% of the way")
        return [*cells, _number(scores.get("inner_lr"), ".3g"), _number(scores.get("cpu_s"), ".1f")]

    @property
    def scores_are(self) -> str:
        probe = self._parsed(self.config.cells[0]).probe
        each = "an episode" if probe.probe_episodes == 1 else f"{probe.probe_episodes} episodes"
        return (
            f"Scores: mean return ± standard error of {probe.probe_learners} fresh learners, {each} each; "
            "others at each report,\nthe same for all trials of a seed. The best of many trials owes a part "
            "of its score to luck,\nof which other learners are free."
        )

    def next_commands(self, folder: Path, summary: Mapping[str, Any]) -> dict[str, str]:
        runs = {trial["trial_id"]: trial["run"] for trial in summary["trials"]}
        for entry in reversed(summary["cells"]):
            if runs.get(entry["best"]):
                file = folder / runs[entry["best"]] / SET_FILE
                return {
                    "the best on other learners": f"tune-dd validate {quote(str(file))} --env {entry['env']}"
                }
        return {}

    def preparations(self) -> Sequence[str]:
        tasks = dict.fromkeys(cell.env for cell in self.config.cells)
        return [f"task {env}: simulates {1 / self._simulated_s(env):,.0f} steps a CPU s" for env in tasks]

    def trial_s(self, settings: Mapping[str, Any]) -> float:
        parsed = EnvironmentConfig.parse(settings)
        env = parsed.distilled.env
        return START_S + distillation_s(parsed, open_task(env), self._simulated_s(env))

    def _simulated_s(self, env: str) -> float:
        if env not in self._step_s:
            self._step_s[env] = simulated_s(open_task(env))
        return self._step_s[env]


def _untrained_return(checkpoint: Path) -> float | None:
    """What the trial's untrained learners reached, for its curve."""
    try:
        found: float = json.loads((checkpoint / PROGRESS_FILE).read_text())["untrained_return"]
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return found


def _take_set(checkpoint: Path, place: Path) -> None:
    """The set as it stands, unless it is damaged, or diverged."""
    try:
        load_distilled_set(checkpoint / SET_FILE)
    except InputError as error:
        warnings.warn(f"a trial's set cannot be used and is left out: {error}", stacklevel=2)
        return
    shutil.copyfile(checkpoint / SET_FILE, place / SET_FILE)


def _curve(record: TrialRecord) -> list[dict[str, float]]:
    """The trial's reports in order, by meta-iteration."""
    steps = record.settings["num_envs"] * record.settings["rollout_steps"]
    reports = [record.reports[number] for number in sorted(record.reports)]
    return [{"iteration": report["env_steps"] / steps, **report} for report in reports]


def _return_words(scores: Scores) -> str:
    return f"{scores['probe_return']:,.1f} ± {scores['probe_return_sem']:.1f}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _states(settings: Mapping[str, Any]) -> str:
    return counted(settings["batch_size"], "state")
