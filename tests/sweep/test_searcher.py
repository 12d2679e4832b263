"""Which trial is handed out next, and what becomes of one whose worker died: Tune's classes, no cluster."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.train._internal import storage
from ray.tune import TuneError
from ray.tune.experiment import Experiment, Trial

from trainables.buckets import StoreError
from trainables.latent.artifacts import ARTIFACTS_FILE
from trainables.latent_distillation import PROGRESS_FILE, LatentDistillation
from tune_dd.sweeps.journal import Journal
from tune_dd.sweeps.latent.settings import LatentSweep
from tune_dd.sweeps.live_display import LiveDisplay
from tune_dd.sweeps.mirror import Unmirrored
from tune_dd.sweeps.proposals import Proposals
from tune_dd.sweeps.recorder import MAX_FAILURES, SweepRecorder
from tune_dd.sweeps.searcher import JournaledSearch

SCORES = {"probe_accuracy": 0.5, "roundtrip_accuracy": 0.25}


class Sweep:
    """Searcher and recorder over a journal, told of events as Tune tells them."""

    def __init__(self, folder: Path, cache: Path, num_trials: int) -> None:
        settings = {"ae_epochs": 2, "proto_steps_base": 4, "steps_per_iteration": 2}
        config = LatentSweep(
            name="s", prototypes=(2,), num_trials=num_trials, cache=str(cache), settings=settings
        )
        self.journal = Journal(folder, config.CELL)
        proposals = Proposals(config)
        for trial_id, record in self.journal.records.items():
            proposals.recall(trial_id, record.cell, record)
        kind = config.open()
        kind.facts = {cell.source: {"key": "k"} for cell in config.cells}
        mirror = Unmirrored(folder)
        self.search = JournaledSearch(kind, proposals, self.journal, mirror.checkpoints, most_live=lambda: 2)
        self.search.add_configurations(
            [Experiment("s", LatentDistillation, storage_path=str(folder / "tune"))]
        )
        self.said = io.StringIO()
        display = LiveDisplay(self.said)
        self.recorder = SweepRecorder(kind, folder, self.journal, proposals, display, 2, mirror)

    def next(self) -> Trial:
        trial = self.search.next_trial()
        assert trial is not None
        return trial

    def fail(self, trial: Trial, why: str = "it broke") -> None:
        """In Tune's order: the trial's file, the searcher, the callbacks."""
        trial.init_local_path()
        trial.handle_error(TuneError(why))
        self.search.on_trial_complete(trial.trial_id, error=True)
        self.recorder.on_trial_error(0, [], trial)

    def close(self) -> None:
        self.journal.close()


@pytest.fixture
def opened(tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Opens the one sweep of this test again and again; each closes the former."""
    # Where trials keep their local files; without a cluster Ray has no such place.
    monkeypatch.setattr(storage, "_get_ray_train_session_dir", lambda: str(tmp_path / "session"))
    sweeps: list[Sweep] = []

    def again(num_trials: int = 3) -> Sweep:
        if sweeps:
            sweeps[-1].close()
        sweeps.append(Sweep(tmp_path, shared_cache / "tune-dd", num_trials))
        return sweeps[-1]

    yield again
    sweeps[-1].close()


def checkpoint(sweep: Sweep, trial: Trial, folder: Path) -> str:
    """A real checkpoint after the first iteration of a trial, on record; its path."""
    worker = LatentDistillation(dict(trial.config))
    result = worker.train()
    worker.save(str(folder))
    scores = {name: result[name] for name in SCORES}
    sweep.journal.reported(trial.trial_id, 1, scores, 0.1)
    sweep.journal.saved(trial.trial_id, str(folder.relative_to(sweep.journal.path.parent)))
    return str(folder)


def test_trials_bear_their_numbers_and_wait_for_room(opened: Any) -> None:
    sweep = opened()
    assert [sweep.next().trial_id for _ in range(2)] == ["00000", "00001"]
    assert sweep.search.next_trial() is None, "two may be live"
    sweep.search.on_trial_complete("00000")
    assert sweep.next().trial_id == "00002"
    assert sweep.search.is_finished()
    assert list(sweep.journal.records) == ["00000", "00001", "00002"]


def test_failed_trial_comes_again_first_from_its_checkpoint(opened: Any, tmp_path: Path) -> None:
    sweep = opened()
    first, second = sweep.next(), sweep.next()
    place = checkpoint(sweep, first, tmp_path / "tune" / "checkpoint")
    sweep.fail(first)
    again = sweep.next()
    assert again.trial_id == "00000-2"
    assert again.config == first.config
    assert again.checkpoint is not None and again.checkpoint.path == place
    assert sweep.journal.records["00000"].failures == 1
    assert sweep.journal.records["00000"].status is None
    assert "trial 00000 goes on from its last checkpoint after: it broke" in sweep.said.getvalue()
    sweep.fail(second)
    assert sweep.next().trial_id == "00001-2", "before anything new"
    (tmp_path / "tune" / "checkpoint" / ARTIFACTS_FILE).write_bytes(b"cut off")
    sweep.fail(again)
    with pytest.warns(UserWarning, match="starts again"):
        third = sweep.next()
    assert (third.trial_id, third.checkpoint) == ("00000-3", None)


def test_a_trial_that_cannot_reach_the_store_has_not_failed(opened: Any, tmp_path: Path) -> None:
    sweep = opened()
    trial = sweep.next()
    sweep.fail(trial, "OSError: When uploading part: AWS Error NETWORK_CONNECTION during UploadPart")
    assert sweep.recorder.halt is not None
    told = sweep.recorder.halt.error
    assert isinstance(told, StoreError) and "trial 00000 cannot reach" in str(told)
    assert (sweep.journal.records["00000"].failures, sweep.journal.records["00000"].status) == (0, None)


def test_trial_that_keeps_failing_is_given_up(opened: Any, tmp_path: Path) -> None:
    sweep = opened(num_trials=1)
    for failures in range(MAX_FAILURES + 1):
        assert not sweep.search.is_finished()
        assert sweep.journal.records.get("00000") is None or sweep.journal.records["00000"].status is None
        trial = sweep.next()
        assert trial.trial_id == ("00000" if not failures else f"00000-{failures + 1}")
        sweep.fail(trial)
        assert sweep.recorder.halt is None
    record = sweep.journal.records["00000"]
    assert (record.status, record.failures, record.reason) == ("failed", MAX_FAILURES + 1, "it broke")
    assert sweep.search.is_finished()
    assert sweep.search.next_trial() is None
    [summary] = tmp_path.rglob("experiment_summary.json")
    assert json.loads(summary.read_text())["status"] == "failed"


def test_failures_are_remembered_by_a_resumed_sweep(opened: Any) -> None:
    sweep = opened(num_trials=1)
    for _ in range(MAX_FAILURES):
        sweep.fail(sweep.next())
    resumed = opened(num_trials=1)
    trial = resumed.next()
    assert trial.trial_id == "00000", "Tune's session is a new one"
    resumed.fail(trial)
    assert resumed.journal.records["00000"].status == "failed"
    assert resumed.search.is_finished()


def test_trial_without_a_checkpoint_file_starts_again(opened: Any, tmp_path: Path) -> None:
    sweep = opened(num_trials=1)
    trial = sweep.next()
    place = Path(checkpoint(sweep, trial, tmp_path / "tune" / "checkpoint"))
    found = opened(num_trials=1).next().checkpoint
    assert found is not None and found.path == str(place)
    (place / PROGRESS_FILE).unlink()
    with pytest.warns(UserWarning, match="starts again"):
        assert opened(num_trials=1).next().checkpoint is None
