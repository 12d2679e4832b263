"""The sweep's proposals as Ray Tune asks for them, and its early stopping, cell by cell."""

from __future__ import annotations

import time
import warnings
from collections import Counter, deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ray.train._internal.session import _TrainingResult as TrainingResult
from ray.tune.execution.placement_groups import PlacementGroupFactory
from ray.tune.experiment import Experiment, Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
from ray.tune.search import SearchAlgorithm

from trainables.buckets import StoreError
from trainables.errors import InputError
from tune_dd.sweeps.checkpoints import Checkpoints, tune_id
from tune_dd.sweeps.journal import Journal, TrialRecord
from tune_dd.sweeps.kind import Kind
from tune_dd.sweeps.proposals import Proposals
from tune_dd.sweeps.settings import Cell, SweepConfig

GRACE_ITERATIONS = 2
REDUCTION_FACTOR = 3
# Far beyond any run's length: trials end by themselves, never by this bound.
MAX_ITERATIONS = GRACE_ITERATIONS * REDUCTION_FACTOR**8


class LeanTrial(Trial):
    """A trial of which Tune keeps the last result alone.

    For analyses and a snapshot that nobody reads here it would keep, of each number, the largest, the
    smallest, means, and the last ten, about 70 KB a trial; and ask each worker for its address each time.
    """

    def update_last_result(self, result: dict[str, Any]) -> None:
        self.run_metadata.last_result = result
        self.run_metadata.last_result_time = time.time()

    def set_ray_actor(self, ray_actor: Any) -> None:
        self.temporary_state.ray_actor = ray_actor

    def get_json_state(self) -> tuple[str, str]:
        return "", ""


class JournaledSearch(SearchAlgorithm):
    """Hands out trials: those that have no end on record first, then new proposals.

    Trial ids are their numbers in the sweep, so a proposal that is made again keeps its name. Every
    proposal is in the journal before Tune sees it. Nothing is saved by way of Tune.

    A trial whose worker died is handed out again, as another trial of Tune's (see :func:`tune_id`) that goes
    on from the checkpoint on record. Tune's own recovery is not used: where a worker dies as a trial is
    handed to it, Tune counts that death twice, and it gives up a trial that fails while it waits, however
    many failures it may have.

    Args:
        kind: what is swept.
        proposals: knows the journal's trials already.
        journal: holds the records.
        checkpoints: that trials go on from.
        most_live: how many trials may be live at a time, those that wait included; asked whenever it matters.
    """

    def __init__(
        self,
        kind: Kind[Any],
        proposals: Proposals,
        journal: Journal,
        checkpoints: Checkpoints,
        most_live: Callable[[], int],
    ) -> None:
        self._kind, self._proposals, self._journal = kind, proposals, journal
        self._checkpoints = checkpoints
        self._most_live = most_live
        self._metric = kind.config.metric
        self._left = deque(record for record in journal.records.values() if record.status is None)
        self._number = len(journal.records)
        self._live: set[str] = set()
        self._handed_out: Counter[str] = Counter()
        self._experiment: Experiment | None = None
        cpus, gpus = kind.config.cpus_per_trial, kind.config.gpus_per_trial
        self._resources = PlacementGroupFactory([{"CPU": cpus, **({"GPU": gpus} if gpus else {})}])

    @property
    def total_samples(self) -> int:
        return self._proposals.total

    def add_configurations(self, experiments: Any) -> None:
        self._experiment = experiments[0]

    def is_finished(self) -> bool:
        while self._left and self._left[0].status is not None:
            self._left.popleft()
        return self._finished or (not self._left and self._number >= self._proposals.total)

    def next_trial(self) -> Trial | None:
        if self.is_finished():
            return None
        if not self._left:  # a worker that gets free need not wait for a proposal
            self._propose()
        return self._trial(self._left.popleft()) if len(self._live) < self._most_live() else None

    def _propose(self) -> None:
        trial_id = f"{self._number:05d}"
        proposal = self._proposals.propose(self._number, trial_id)
        assert proposal is not None
        self._journal.proposed(trial_id, proposal.cell, proposal.params, proposal.settings)
        self._number += 1
        self._left.append(self._journal.records[trial_id])

    def _trial(self, record: TrialRecord) -> Trial:
        assert self._experiment is not None
        self._live.add(record.trial_id)
        self._handed_out[record.trial_id] += 1
        trial = LeanTrial(
            self._experiment.run_identifier,
            config={**record.settings, **self._kind.trial_config},
            trial_id=tune_id(record.trial_id, self._handed_out[record.trial_id]),
            storage=self._experiment.storage,
            placement_group_factory=self._resources,
            trial_dirname_creator=lambda trial: trial.trial_id,
        )
        name = record.checkpoint
        if name is not None and opens(self._kind, self._checkpoints, name):
            self._journal.restored(record.trial_id)
            # What restore_path does for folders; it knows no buckets.
            trial._restore_checkpoint_result = TrainingResult(self._checkpoints.for_tune(name), metrics={})
        return trial

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        trial_id = own_id(trial_id)
        self._live.discard(trial_id)
        if error:  # the recorder, told after this, may yet put its end on record
            self._left.append(self._journal.records[trial_id])


def opens(kind: Kind[Any], checkpoints: Checkpoints, name: str) -> bool:
    """Whether a checkpoint can be gone on from; where it is damaged, the trial starts again.

    Raises:
        StoreError: it lies in a bucket that does not answer.
    """
    try:
        if not checkpoints.exists(name):
            return False
        with checkpoints.opened(name) as checkpoint:
            assert checkpoint is not None
            kind.check_checkpoint(checkpoint)
    except StoreError:
        raise
    except (InputError, OSError, ValueError) as error:
        warnings.warn(f"a checkpoint is damaged, and its trial starts again: {error}", stacklevel=2)
        return False
    return True


def own_id(tune_id: str) -> str:
    """The id of the trial, given that of an attempt at it."""
    return tune_id.partition("-")[0]


class InOrder(FIFOScheduler):
    """Trials are placed in the order in which they were proposed.

    Tune's own scheduler looks through all trials there ever were, with each report. And a worker that gets
    free takes the trial that waits longest, even if a new worker is already starting for it; Tune then ends
    the new worker before it has done anything. With short trials this happens to every new worker, so that
    one runs all trials.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[Trial] = []

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._waiting.append(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        self._waiting = [trial for trial in self._waiting if trial.status == Trial.PENDING]
        workers, manager = tune_controller._trial_to_actor, tune_controller._actor_manager
        for trial in self._waiting:
            if trial not in workers or not manager.is_actor_started(workers[trial]):
                return trial
        return None


class CellScheduler(InOrder):
    """ASHA inside each cell: trials with other data or sizes are no measure of a trial's worth.

    Paper: Li et al., "A system for massively parallel hyperparameter tuning", MLSys 2020, algorithm 2.
    """

    def __init__(self, config: SweepConfig) -> None:
        super().__init__()
        self._config, self._metric = config, config.metric
        self._cells: dict[Cell, ASHAScheduler] = {}

    @property
    def metric(self) -> str:
        return self._metric

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        return True

    def recall(self, record: TrialRecord) -> None:
        """Take in the reports of a trial from before an interruption."""
        scheduler, trial = self._of(record.cell), SimpleNamespace(trial_id=record.trial_id)
        scheduler.on_trial_add(None, trial)
        for iteration, value in record.values(self._metric).items():
            scheduler.on_trial_result(None, trial, {"training_iteration": iteration, self._metric: value})

    def _of(self, cell: Cell) -> ASHAScheduler:
        if cell not in self._cells:
            self._cells[cell] = ASHAScheduler(
                metric=self._metric,
                mode="max",
                max_t=MAX_ITERATIONS,
                grace_period=GRACE_ITERATIONS,
                reduction_factor=REDUCTION_FACTOR,
            )
        return self._cells[cell]

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        super().on_trial_add(tune_controller, trial)
        self._of(self._config.cell_of(trial.config)).on_trial_add(tune_controller, _own(trial))

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        cell = self._of(self._config.cell_of(trial.config))
        decision: str = cell.on_trial_result(tune_controller, _own(trial), result)
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._of(self._config.cell_of(trial.config)).on_trial_complete(tune_controller, _own(trial), result)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self._of(self._config.cell_of(trial.config)).on_trial_error(tune_controller, _own(trial))

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self._of(self._config.cell_of(trial.config)).on_trial_remove(tune_controller, _own(trial))

    def debug_string(self) -> str:
        return f"ASHA in {len(self._cells)} cells"


def _own(trial: Trial) -> SimpleNamespace:
    """A trial as ASHA needs it: a second attempt is no other trial."""
    return SimpleNamespace(trial_id=own_id(trial.trial_id))
