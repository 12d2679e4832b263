"""A sweep from its settings to its summary; and the same for one that was interrupted."""

from __future__ import annotations

import contextlib
import resource
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from trainables.errors import InputError
from tune_dd.runs.folder import read_json, write_json
from tune_dd.runs.places import place_of
from tune_dd.sweeps.copies import bring_sweep
from tune_dd.sweeps.front_picture import FRONTS_FILE, draw_fronts
from tune_dd.sweeps.journal import Journal
from tune_dd.sweeps.kind import Kind
from tune_dd.sweeps.live_display import LiveDisplay
from tune_dd.sweeps.mirror import Mirror, Unmirrored, mirrored
from tune_dd.sweeps.plurals import counted
from tune_dd.sweeps.preflight import Plan, check_sweep, refuse_taken
from tune_dd.sweeps.proposals import Proposals
from tune_dd.sweeps.ray_session import cluster_session
from tune_dd.sweeps.recorder import SweepRecorder, is_disk_full
from tune_dd.sweeps.results import (
    EVALUATION_FILE,
    SWEEP_SUMMARY_FILE,
    read_sweep,
    run_folder,
    summarise,
    write_sweep,
)
from tune_dd.sweeps.resuming import check_same_sources, check_same_trials
from tune_dd.sweeps.sessions import all_versions, differing, first_session, with_this_session
from tune_dd.sweeps.settings import SweepConfig
from tune_dd.sweeps.tune_run import run_trials
from tune_dd.sweeps.warm_start import warm_start

DISK_FULL = "disk full"
_STATES = {
    "time_budget": "time budget spent",
    "interrupted": "interrupted",
    "disk_full": DISK_FULL,
    "ray_died": "Ray died",
}


@dataclass(frozen=True)
class SweepOutcome:
    """How a sweep ended.

    Attributes:
        folder: its folder.
        state: ``finished``, or why it is not.
        summary: the content of ``sweep_summary.json``, which has not been written where the disk is full.
        kind: what was swept.
    """

    folder: Path
    state: str
    summary: dict[str, Any]
    kind: Kind[Any]


def run_sweep(config: SweepConfig, resume: bool = False, display: LiveDisplay | None = None) -> SweepOutcome:
    """Run a sweep to its end, or until the disk is full, the time is spent or Ctrl-C is pressed.

    Args:
        config: its settings; with ``resume`` those of :func:`tune_dd.sweeps.resuming.resumed_config`.
        resume: go on with the trials that are on record.
        display: where progress is shown (default: stdout).

    Raises:
        InputError: something cannot be used; nothing has been started or written then.
    """
    display = display or LiveDisplay()
    kind = config.open()
    plan = check_sweep(kind, resume, display.say)
    with mirrored(plan.folder, display.say) as mirror:
        return _run_mirrored(kind, plan, resume, display, mirror)


def _run_mirrored(
    kind: Kind[Any], plan: Plan, resume: bool, display: LiveDisplay, mirror: Mirror | Unmirrored
) -> SweepOutcome:
    config, folder = kind.config, plan.folder
    new_storage = not folder.parent.exists()
    if resume:
        bring_sweep(folder)  # another machine may have run it until a moment ago
    else:
        refuse_taken(config)  # once more: checks may take minutes
        try:
            folder.mkdir(parents=True)
        except FileExistsError:  # another process took the name meanwhile
            refuse_taken(config)
        write_sweep(folder, config, {}, first_session())
    journal = Journal(folder, config.CELL)
    try:
        if resume:
            check_same_trials(folder, config, journal.records)
        mirror.start()
        return _Sweep(kind, plan, journal, display, resume, mirror).run()
    except InputError:
        if not resume and not journal.records:  # found out on the way: the name stays free
            mirror.discard()
            shutil.rmtree(folder)
            if new_storage and not any(folder.parent.iterdir()):
                folder.parent.rmdir()
        raise
    finally:
        journal.close()


class _Sweep:
    def __init__(
        self,
        kind: Kind[Any],
        plan: Plan,
        journal: Journal,
        display: LiveDisplay,
        resume: bool,
        mirror: Mirror | Unmirrored,
    ) -> None:
        self.kind, self.plan, self.journal, self.mirror = kind, plan, journal, mirror
        self.config: SweepConfig = kind.config
        self.display, self.resume = display, resume
        self.proposals = Proposals(self.config)
        self.ran = with_this_session(read_sweep(plan.folder, "--name"))
        self.timings: dict[str, float] = {}

    def run(self) -> SweepOutcome:
        folder = self.plan.folder
        self._introduce()
        try:
            with cluster_session(self.config.address) if self.config.address else contextlib.nullcontext():
                self._prepare()
                state = self._trials()
            summary = self._summary(state)
            if state != DISK_FULL:
                write_json(folder / SWEEP_SUMMARY_FILE, summary)
                if self.config.axes:
                    draw_fronts(folder / FRONTS_FILE, self.kind, summary)
        except OSError as error:
            if not is_disk_full(error):
                raise
            state = DISK_FULL
            summary = self._summary(state)
        return SweepOutcome(folder, state, summary, self.kind)

    def _introduce(self) -> None:
        trials, cells = counted(self.proposals.total, "trial"), counted(len(self.config.cells), "cell")
        self.display.say(
            f"sweep {self.plan.folder.name}: {trials} in {cells}, {self.plan.workers} at a time, "
            f"in {place_of(self.plan.folder)}"
        )
        if self.resume:
            ended, going_on = self._ended(), self._going_on()
            starting = self.proposals.total - ended - going_on
            self.display.say(
                f"resumed: {counted(ended, 'trial')} {'has' if ended == 1 else 'have'} ended, "
                f"{going_on} go{'es' * (going_on == 1)} on from a checkpoint, "
                f"{starting} start{'s' * (starting == 1)}"
            )
            gone = self._without_folder()
            if gone:
                lack = "lacks its result folder" if len(gone) == 1 else "lack their result folders"
                self.display.say(
                    f"warning: {counted(len(gone), 'ended trial')} {lack}, the first {gone[0]}; "
                    "scores stay on record, and nothing is run again for them"
                )
            changed = differing(all_versions(self.ran))
            if changed:
                words = ", ".join(f"{name} {' and '.join(found)}" for name, found in changed.items())
                self.display.say(f"warning: scores may differ between this sweep's sessions: {words}")

    def _ended(self) -> int:
        return sum(record.status is not None for record in self.journal.records.values())

    def _going_on(self) -> int:
        return sum(
            record.status is None
            and record.checkpoint is not None
            and self.mirror.checkpoints.exists(record.checkpoint)
            for record in self.journal.records.values()
        )

    def _without_folder(self) -> list[Path]:
        """Folders that trials had as they ended, relative to the sweep's, and that somebody removed."""
        folder = self.plan.folder
        found = [
            run_folder(self.kind, folder, record)
            for record in self.journal.records.values()
            if record.status is not None
        ]
        return [path.relative_to(folder) for path in found if not path.exists()]

    @contextlib.contextmanager
    def _clocked(self, what: str) -> Iterator[None]:
        wall, cpu = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        yield
        used = resource.getrusage(resource.RUSAGE_SELF)
        self.timings[f"{what}_wall_s"] = time.monotonic() - wall
        self.timings[f"{what}_driver_cpu_s"] = used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime

    def _prepare(self) -> None:
        """Have what trials learn from, and tell the searcher what is known."""
        folder = self.plan.folder
        try:
            with self._clocked("preparing"):
                self.kind.prepare(self.display.say)
        except KeyboardInterrupt:
            self.display.say(
                f"no trial had started; go on with {self.config.COMMAND} --resume --name {folder.name}"
                f" --storage {quote(place_of(folder.parent))}"
            )
            raise
        if self.mirror.complaint is not None:
            raise self.mirror.complaint
        facts = self.kind.facts
        check_same_sources(folder, self.config, facts)
        self.kind.keep(folder)
        write_sweep(folder, self.config, facts, self.ran)
        if self.config.warm_start is not None:
            self.display.say(warm_start(self.config, self.config.warm_start, self.proposals, facts))
        for trial_id, record in self.journal.records.items():
            self.proposals.recall(trial_id, record.cell, record)

    def _trials(self) -> str:
        """Run what has not ended; the sweep's state after that."""
        if self._ended() >= self.proposals.total:
            return "finished"
        self.display.say("starting Ray")
        recorder = SweepRecorder(
            self.kind,
            self.plan.folder,
            self.journal,
            self.proposals,
            self.display,
            self.plan.workers,
            self.mirror,
        )
        try:
            with self._clocked("trials"):
                halt = run_trials(
                    self.kind,
                    self.journal,
                    self.proposals,
                    recorder,
                    self.mirror.checkpoints,
                    self.plan.workers,
                    self.plan.available,
                )
        finally:
            recorder.show(now=True)
            self.display.end()
        if recorder.first_result_s is not None:
            self.timings["first_result_s"] = recorder.first_result_s
        return "finished" if halt is None else _STATES[halt.kind]

    def _summary(self, state: str) -> dict[str, Any]:
        controls = {}
        if state in ("finished", "time budget spent"):
            with self._clocked("controls"):
                controls = {cell: self.kind.controls(cell) for cell in self.config.cells}
        folder = self.plan.folder
        timings = _added(_former_timings(folder), self.timings) if self.resume else self.timings
        summary = summarise(self.kind, folder, self.journal.records, controls, state, timings, self.ran)
        if (folder / EVALUATION_FILE).exists():
            former = read_json(folder / EVALUATION_FILE, "an evaluation")
            summary["evaluation"] = {**former, "outdated": former.get("trials_ended") != self._ended()}
        return summary


def _former_timings(folder: Path) -> dict[str, float]:
    """Those of a summary that an earlier session wrote; a killed one wrote none."""
    path = folder / SWEEP_SUMMARY_FILE
    with contextlib.suppress(InputError):  # a damaged summary is written anew
        former: dict[str, float] = read_json(path, "a summary").get("timings", {}) if path.exists() else {}
        return former
    return {}


def _added(former: Mapping[str, float], latter: Mapping[str, float]) -> dict[str, float]:
    """Seconds of the sessions before and of this one; the first result is the first session's."""
    first = {"first_result_s"} & former.keys()
    return {
        **latter,
        **{name: s if name in first else s + latter.get(name, 0.0) for name, s in former.items()},
    }
