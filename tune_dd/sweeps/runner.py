"""A sweep from its settings to its summary; and the same for one that was interrupted."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from trainables.errors import InputError
from trainables.latent.cache import default_cache
from trainables.latent.config import LatentConfig
from trainables.latent.controls import control_scores
from trainables.latent.full_probe import full_probe
from trainables.latent.latents import LatentData, prepare_latents
from tune_dd.runs.folder import read_json, versions, write_json
from tune_dd.sweeps.journal import JOURNAL_FILE, Journal, read_records
from tune_dd.sweeps.live_display import LiveDisplay
from tune_dd.sweeps.preflight import check_data, check_place, trials_at_a_time
from tune_dd.sweeps.proposals import Proposals
from tune_dd.sweeps.ray_session import Resources, ray_session, resources
from tune_dd.sweeps.recorder import Halt, SweepRecorder, is_disk_full
from tune_dd.sweeps.results import (
    EVALUATION_FILE,
    SWEEP_SUMMARY_FILE,
    Encoder,
    encoder_name,
    encoder_of,
    read_sweep,
    summarise,
    sweep_path,
    write_sweep,
)
from tune_dd.sweeps.settings import Cell, SweepConfig

RESUMABLE = frozenset({"time_budget_s", "max_concurrent", "address"})
"""Settings that may differ when a sweep is resumed: they do not change what a trial is."""
MOST_WAITING = 4
"""Trials proposed ahead of their start; the searcher knows less when it proposes them."""
_STATES = {"time_budget": "time budget spent", "interrupted": "interrupted", "disk_full": "disk full"}


@dataclass(frozen=True)
class SweepOutcome:
    """How a sweep ended.

    Attributes:
        folder: its folder.
        state: ``finished``, or why it is not.
        summary: the content of ``sweep_summary.json``.
    """

    folder: Path
    state: str
    summary: dict[str, Any]


def resumed_config(storage: str, name: str, given: Mapping[str, Any]) -> SweepConfig:
    """The settings of an interrupted sweep.

    Args:
        given: what the user said besides; it must agree, but for :data:`RESUMABLE`.

    Raises:
        InputError: there is no such sweep, or ``given`` disagrees.
    """
    recorded = SweepConfig.from_json(read_sweep(sweep_path(storage, name), "--resume")["config"])
    changes: dict[str, Any] = {"storage": str(sweep_path(storage, name).parent)}
    for field, value in given.items():
        if field in ("name", "storage"):
            continue
        known = recorded.settings.get(field) if field not in _FIELDS else getattr(recorded, field)
        if field in RESUMABLE:
            changes[field] = value
        elif value != known:
            raise InputError(
                f"--{field.replace('_', '-')} is {_words(value)} with --resume",
                f"the sweep was started with {_words(known)}",
                "leave it out, or start a new sweep with --warm-start",
            )
    return dataclasses.replace(recorded, **changes)


_FIELDS = frozenset(field.name for field in dataclasses.fields(SweepConfig))


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def run_sweep(config: SweepConfig, resume: bool = False, display: LiveDisplay | None = None) -> SweepOutcome:
    """Run a sweep to its end, or until the disk is full, the time is spent or Ctrl-C is pressed.

    Args:
        config: its settings; with ``resume`` those of :func:`resumed_config`.
        resume: go on with the trials that are on record.
        display: where progress is shown (default: stdout).

    Raises:
        InputError: something cannot be used; nothing has been started or written then.
    """
    display = display or LiveDisplay()
    cache = Path(config.cache).expanduser().absolute() if config.cache else default_cache()
    folder = check_place(config, resume)
    available = resources(config)
    workers = trials_at_a_time(config, available)
    if config.warm_start is not None:
        read_sweep(sweep_path(config.storage, config.warm_start), "--warm-start")
    check_data(config, cache, display.say)
    new_storage = not folder.parent.exists()
    if not resume:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:  # another process took the name meanwhile
            check_place(config, resume)
        write_sweep(folder, config, {})
    journal = Journal(folder)
    try:
        return _Sweep(config, folder, cache, journal, display, resume).run(workers, available)
    except InputError:
        if not resume and not journal.records:  # found out by the encoder: the name stays free
            shutil.rmtree(folder)
            if new_storage and not any(folder.parent.iterdir()):
                folder.parent.rmdir()
        raise
    finally:
        journal.close()


class _Sweep:
    def __init__(
        self,
        config: SweepConfig,
        folder: Path,
        cache: Path,
        journal: Journal,
        display: LiveDisplay,
        resume: bool,
    ) -> None:
        self.config, self.folder, self.cache, self.journal = config, folder, cache, journal
        self.display, self.resume = display, resume
        self.proposals = Proposals(config)
        self.data: dict[Encoder, LatentData] = {}
        self.timings: dict[str, float] = {}

    def run(self, workers: int, available: Resources) -> SweepOutcome:
        self._introduce(workers)
        try:
            with self._clocked("encoders"):
                self._prepare_encoders()
        except KeyboardInterrupt:
            self.display.say(
                f"no trial had started; go on with tune-dd search --resume --name {self.folder.name}"
                f" --storage {quote(str(self.folder.parent))}"
            )
            raise
        self._recall()
        halt: Halt | None = None
        if sum(record.status is not None for record in self.journal.records.values()) < self.proposals.total:
            with self._clocked("trials"):
                halt = self._run_trials(workers, available)
        if halt is not None and halt.kind == "error":
            assert halt.error is not None
            raise halt.error
        state = _STATES[halt.kind] if halt is not None else "finished"
        summary = self._summarise(state)
        return SweepOutcome(self.folder, state, summary)

    def _introduce(self, workers: int) -> None:
        cells, done = len(self.config.cells), len(self.journal.records)
        self.display.say(
            f"sweep {self.folder.name}: {self.proposals.total} trials in {cells} "
            f"{'cell' if cells == 1 else 'cells'}, {workers} at a time, in {self.folder}"
        )
        if self.resume:
            ended = sum(record.status is not None for record in self.journal.records.values())
            self.display.say(
                f"resumed: {ended} trials have ended, {done - ended} go on from their checkpoints"
            )
            recorded = read_sweep(self.folder, "--resume")["versions"]
            changed = [f"{name} {old} -> {versions().get(name)}" for name, old in recorded.items()
                       if versions().get(name) != old]  # fmt: skip
            if changed:
                self.display.say(f"warning: scores may differ from the first part's: {', '.join(changed)}")

    @contextlib.contextmanager
    def _clocked(self, what: str) -> Iterator[None]:
        wall, cpu = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        yield
        used = resource.getrusage(resource.RUSAGE_SELF)
        self.timings[f"{what}_wall_s"] = time.monotonic() - wall
        self.timings[f"{what}_driver_cpu_s"] = used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime

    def _prepare_encoders(self) -> None:
        """Train or open each encoder here, before any worker exists that would wait for it."""
        for cell in self.config.cells:
            encoder = encoder_of(cell)
            if encoder not in self.data:
                parsed = LatentConfig.parse(
                    self.config.trial_settings(cell, {"method": self.config.methods[0]})
                )
                data = prepare_latents(parsed.data, parsed.encoder, self.cache, self.display.say)
                full_probe(data)  # every trial's gap needs it; the first ones would wait for each other
                self.data[encoder] = data
        facts = {encoder: {"key": data.key, **data.provenance} for encoder, data in self.data.items()}
        recorded = read_sweep(self.folder, "--name")["data"]
        for encoder, data in self.data.items():
            former = recorded.get(encoder_name(*encoder), {}).get("key", data.key)
            if former != data.key:
                raise InputError(
                    f"the latents of {encoder_name(*encoder)} are not those the sweep began with",
                    "trials with other data or another encoder cannot be compared",
                    "start a new sweep, or restore the data and the version of tune-dd",
                )
        write_sweep(self.folder, self.config, facts)
        self.facts = facts

    def _recall(self) -> None:
        if self.config.warm_start is not None:
            self._learn(self.config.warm_start)
        for trial_id, record in self.journal.records.items():
            self.proposals.recall(trial_id, record.cell, record)

    def _learn(self, old: str) -> None:
        place = sweep_path(self.config.storage, old)
        sweep, own = (
            read_sweep(place, "--warm-start"),
            {encoder_name(*e): d.key for e, d in self.data.items()},
        )
        same = {name for name, facts in sweep["data"].items() if facts["key"] == own.get(name)}
        comparable = (
            sweep["config"]["space"] == self.config.space and sweep["config"]["labels"] == self.config.labels
        )
        records = list(read_records(place).values()) if (place / JOURNAL_FILE).exists() else []
        usable = [r for r in records if comparable and encoder_name(*encoder_of(r.cell)) in same]
        known, reasons = self.proposals.learn((record.cell, record) for record in usable)
        line = f"warm start: {known} of {len(records)} trials of {old} are known to the searcher"
        if len(records) > len(usable):
            reasons = ["other data, encoder, labels or space"] * (len(records) - len(usable)) + reasons
        if reasons:
            counted = {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}
            line += "; not: " + ", ".join(f"{count} ({reason})" for reason, count in counted.items())
        self.display.say(line)

    def _run_trials(self, workers: int, available: Resources) -> Halt | None:
        self.display.say("starting Ray")
        recorder = SweepRecorder(
            self.config, self.folder, self.journal, self.proposals, self.facts, self.display, workers
        )
        try:
            with ray_session(self.config, workers, available), _signals(recorder):
                self._tune(recorder, workers)
        except Exception as error:
            # What Tune makes of a full disk, or of an error that the recorder holds for later; anything
            # else goes on as it is.
            if recorder.halt is None or recorder.halt.kind not in ("disk_full", "error"):
                if not is_disk_full(error):
                    raise
                recorder.halt = Halt("disk_full", error)
        finally:
            recorder.show(now=True)
            self.display.end()
        if recorder.first_result_s is not None:
            self.timings["first_result_s"] = recorder.first_result_s
        return recorder.halt

    def _tune(self, recorder: SweepRecorder, workers: int) -> None:
        from ray import tune
        from ray.tune.schedulers import FIFOScheduler

        from trainables.latent_distillation import CACHE, LatentDistillation
        from tune_dd.sweeps.searcher import CellScheduler, JournaledSearch

        scheduler: FIFOScheduler = FIFOScheduler()
        if self.config.early_stopping:
            scheduler = CellScheduler(self.config.objective)
            for record in self.journal.records.values():
                scheduler.recall(record)
        # Trials may wait for a worker, so that one that gets free finds its next trial, and is not ended by
        # Tune, which keeps no more idle workers than there are trials waiting. In a cluster that has room
        # for more than was asked for, waiting trials would start.
        waiting = 0 if self.config.address and self.config.max_concurrent else min(workers, MOST_WAITING)
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(waiting, 1))
        search = JournaledSearch(
            self.config, self.proposals, self.journal, {CACHE: str(self.cache)}, workers + waiting
        )
        session = f"session-{len(list((self.folder / 'tune').glob('session-*'))) + 1:02d}"
        recorder.started = time.monotonic()
        tune.run(
            LatentDistillation,
            name=session,
            storage_path=str(self.folder / "tune"),
            search_alg=search,
            scheduler=scheduler,
            stop=recorder.stopper(),
            callbacks=[recorder],
            reuse_actors=True,
            raise_on_failed_trial=False,
            verbose=0,
        )

    def _summarise(self, state: str) -> dict[str, Any]:
        controls: dict[Cell, dict[str, dict[str, float]]] = {}
        if state in ("finished", "time budget spent"):
            with self._clocked("controls"):
                for cell in self.config.cells:
                    controls[cell] = self._controls(cell)
        summary = summarise(
            self.folder, self.config, self.journal.records, self.facts, controls, state, self.timings
        )
        if (self.folder / EVALUATION_FILE).exists():
            summary["evaluation"] = read_json(self.folder / EVALUATION_FILE, "an evaluation")
        if state != "disk full":
            write_json(self.folder / SWEEP_SUMMARY_FILE, summary)
        return summary

    def _controls(self, cell: Cell) -> dict[str, dict[str, float]]:
        table: dict[str, dict[str, float]] = {}
        table |= control_scores(self.data[encoder_of(cell)], cell.m_per_class, cell.seed, self.config.budgets)
        if self.config.labels == "hard":  # a sweep compares one label track
            table.pop("random_teacher_labels", None)
        return table


@contextlib.contextmanager
def _signals(recorder: SweepRecorder) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the sweep in order; a second one at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def halt(number: int, frame: Any) -> None:
        recorder.halt = recorder.halt or Halt("interrupted")
        signal.signal(signal.SIGINT, signal.default_int_handler)

    former = {number: signal.signal(number, halt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
