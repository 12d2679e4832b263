"""What happens in Ray Tune, put on record as it happens; and the reasons to stop a sweep."""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.result import AUTO_RESULT_KEYS

from trainables.buckets import STORES_WORDS, StoreError
from trainables.saved_trial import CHECKPOINT
from trainables.whole_files import NO_ROOM
from tune_dd.clusters.ready import ready_nodes
from tune_dd.runs.places import place_of
from tune_dd.sweeps.journal import Journal
from tune_dd.sweeps.kind import Kind
from tune_dd.sweeps.live_display import LiveDisplay, Standing, progress_line
from tune_dd.sweeps.mirror import Mirror, Unmirrored
from tune_dd.sweeps.nodes_lost import Nodes
from tune_dd.sweeps.preflight import room
from tune_dd.sweeps.proposals import Proposals
from tune_dd.sweeps.results import write_run
from tune_dd.sweeps.searcher import own_id
from tune_dd.sweeps.tensorboard_log import TensorboardLog

NO_ROOM_WORDS = ("No space left on device", "Disk quota exceeded")
# Less free space than this ends a sweep while there is room to end it in order.
RESERVED_BYTES = 4 << 20
ROOM_PERIOD_S = 1.0
NODES_PERIOD_S = 5.0
# A trial is given up after its worker died, or it raised, this many times more than once.
MAX_FAILURES = 3
WORKER_DIED = "its worker died"
_DEATHS = ("actor died", "actor is dead", "actor is temporarily unavailable")
# The first trials wait for their workers' imports: a pace taken from them alone is far off.
ENDED_FOR_A_PACE = 4
_RAYS_OWN = {*AUTO_RESULT_KEYS, "done", "time_since_restore", "iterations_since_restore"}
_NOT_SCORES = _RAYS_OWN | {"complete", "busy_s"}


@dataclass(frozen=True)
class Halt:
    """Why a sweep stops early: ``disk_full``, ``interrupted``, ``time_budget``, ``ray_died`` or ``error``."""

    kind: str
    error: BaseException | None = None


class Halted(BaseException):
    """Leaves Tune's loop: what Tune would do in order, waiting for its workers, serves nobody here.

    Trials that run go on from their checkpoints on record, and Ray ends the workers as it is shut down.
    """


Hook = TypeVar("Hook", bound=Callable[..., None])


def _guarded(hook: Hook) -> Hook:
    """Tune takes a callback's error for a failed trial; here it ends the sweep, and the runner raises it."""

    @functools.wraps(hook)
    def call(self: SweepRecorder, *args: Any, **named: Any) -> None:
        if self.halt is not None and self.halt.kind in ("disk_full", "error"):
            return
        try:
            hook(self, *args, **named)
        except Exception as error:  # any: Tune would swallow it, and the runner raises it again
            self.halt = Halt("disk_full" if is_disk_full(error) else "error", error)

    return call  # type: ignore[return-value]


def is_disk_full(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return True
        if any(words in str(error) for words in NO_ROOM_WORDS):
            return True
        error = error.__cause__
    return False


class SweepRecorder(Callback):
    """Keeps journal, trial folders and searcher up to date, and shows progress.

    Args:
        kind: what is swept; has been prepared.
        workers: trials that run at a time; in a cluster as many as its nodes hold, those that join later too.
        mirror: of the sweep's files.
    """

    def __init__(
        self,
        kind: Kind[Any],
        folder: Path,
        journal: Journal,
        proposals: Proposals,
        display: LiveDisplay,
        workers: int,
        mirror: Mirror | Unmirrored,
    ) -> None:
        self._kind, self._folder, self._journal, self._proposals = kind, folder, journal, proposals
        self._config, self._display, self.workers = kind.config, display, workers
        self._mirror = mirror
        self._standing = Standing(kind.config, journal.records.values())
        self._tensorboard = TensorboardLog(folder / "tensorboard")
        self.halt: Halt | None = None
        self.started = time.monotonic()
        self.first_result_s: float | None = None
        self._ended_here = 0
        self._room_checked = self._nodes_checked = 0.0
        self._nodes = Nodes(self._check_joined)
        self._told_of_no_room = False

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a snapshot that nobody reads

    @_guarded
    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        if self.first_result_s is None:
            self.first_result_s = time.monotonic() - self.started
        scores = {
            name: float(value)
            for name, value in result.items()
            if isinstance(value, int | float) and name not in _NOT_SCORES
        }
        step = int(result["training_iteration"])
        trial_id = own_id(trial.trial_id)
        self._journal.reported(trial_id, step, scores, float(result["busy_s"]))
        former = self._journal.records[trial_id].checkpoint
        self._journal.saved(trial_id, self._mirror.checkpoints.name_of(result[CHECKPOINT]))
        if former is not None:
            self._mirror.checkpoints.replaced(former)
        self._tensorboard.log(trial_id, step, scores)

    @_guarded
    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        result = trial.last_result
        status = "stopped_early"
        if result.get("complete"):
            status = "diverged" if result["diverged"] else "completed"
        self._end(own_id(trial.trial_id), status, None)

    @_guarded
    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        text = _error_text(trial)
        if any(words in text for words in NO_ROOM_WORDS):
            self.halt = Halt("disk_full")
            return
        trial_id, reason = own_id(trial.trial_id), _reason(text)
        if STORES_WORDS in reason:  # no failure of the trial's, which would only meet it again
            raise StoreError(
                f"trial {trial_id} cannot reach {place_of(self._folder)} ({reason})",
                "checkpoints are kept there",
                "go on with --resume once the store answers",
            )
        self._journal.broke_off(trial_id, reason)
        undecided = 0
        if self._config.address is not None and reason == WORKER_DIED:
            undecided = self._nodes.suspect(trial_id)
        if self._journal.records[trial_id].failures - undecided > MAX_FAILURES:
            self._end(trial_id, "failed", reason)
        else:
            self._display.say(f"trial {trial_id} goes on from its last checkpoint after: {reason}")

    def _end(self, trial_id: str, status: str, reason: str | None) -> None:
        record = self._journal.records[trial_id]
        if record.status is not None:
            return
        write_run(self._kind, self._folder, record, status, self._mirror.checkpoints)
        self._journal.ended(trial_id, status, reason)
        self._mirror.checkpoints.ended(trial_id, record.checkpoint)
        self._standing.add(record)
        self._proposals.finish(trial_id, record)
        self._tensorboard.close(trial_id)
        self._ended_here += 1

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self._look_around()
        if self.halt is not None:
            raise Halted

    @_guarded
    def _look_around(self) -> None:
        if self._mirror.complaint is not None:
            raise self._mirror.complaint
        now = time.monotonic()
        if now - self._room_checked > ROOM_PERIOD_S:
            self._room_checked = now
            if shutil.disk_usage(self._folder).free < RESERVED_BYTES:
                self.halt = Halt("disk_full")
            if now - self._nodes_checked > NODES_PERIOD_S:
                self._nodes_checked = now
                self._look_at_nodes()
                if not self._nodes.alive:  # Tune would wait for a new one for ever
                    self.halt = self.halt or Halt("ray_died")
            budget = self._config.time_budget_s
            if budget is not None and now - self.started > budget and self.halt is None:
                self.halt = Halt("time_budget")
        self.show()

    def _look_at_nodes(self) -> None:
        for trial_id, node in self._nodes.look():
            if self._journal.records[trial_id].status is None:
                self._journal.node_lost(trial_id, node)
                self._display.say(f"{node} is gone: trial {trial_id} goes on, and has not failed")
        if self._nodes.complaint is not None:
            raise self._nodes.complaint
        if self._config.address is None:
            return
        fitting = room(self._config, self._nodes.alive or ())
        if not fitting and not self._told_of_no_room:
            self._display.say("no node of the cluster has room for a trial: waiting for one that has")
        self._told_of_no_room = not fitting
        if self._config.max_concurrent is None:
            self.workers = max(fitting, 1)

    def _check_joined(self) -> None:
        """Nodes that join later must be as those that were asked at first."""
        if self._config.address is not None:
            ready_nodes(self._config.address, self._config.storage)

    def show(self, now: bool = False) -> None:
        """Show how the sweep stands."""
        if not (now or self._display.due):
            return
        line = progress_line(
            self._standing,
            self._kind.score_words,
            self._proposals.total,
            self._seconds_left(),
            self.workers,
        )
        self._display.show(line, now)

    def _seconds_left(self) -> float | None:
        """By the pace of this session's trials once enough of them have ended, and by the budget."""
        passed = time.monotonic() - self.started
        left = None
        if self._ended_here >= max(ENDED_FOR_A_PACE, 2 * self.workers):
            left = passed / self._ended_here * (self._proposals.total - self._standing.ended.total())
        if self._config.time_budget_s is not None:
            remaining = max(self._config.time_budget_s - passed, 0.0)
            left = remaining if left is None else min(left, remaining)
        return left


def _error_text(trial: Trial) -> str:
    path = trial.error_file
    if path is None or not Path(path).exists():
        return ""
    return Path(path).read_text().rpartition("Failure #")[2]


def _reason(text: str) -> str:
    """What happened, in a line: a traceback's last one, if there is a traceback."""
    lines = [line.strip() for line in text.splitlines()[1:] if line.strip()]
    if not lines:
        return "unknown"
    if any(words in line for line in lines for words in _DEATHS):
        return WORKER_DIED
    return lines[-1][:500]
