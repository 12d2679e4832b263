"""Which checkpoints a trial leaves, whatever becomes of its driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyarrow.fs import LocalFileSystem
from ray import tune
from ray.train._internal.session import _TrainingResult as TrainingResult

from trainables.saved_trial import CHECKPOINT, SavedTrial
from tune_dd.sweeps.checkpoints import Checkpoints


class Counting(SavedTrial):
    """Saves numbered folders; Tune's storage is a folder that is there."""

    place: Path
    made = 0

    def step(self) -> dict[str, Any]:
        return {}

    def save(self, checkpoint_dir: str | None = None) -> TrainingResult:
        path = self.place / f"checkpoint_{self.made}"
        path.mkdir()
        self.made += 1
        return TrainingResult(tune.Checkpoint(str(path), LocalFileSystem()), {})


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counting:
    class Storage:
        trial_working_directory = str(tmp_path / "work")

        def persist_artifacts(self) -> None:
            pass

    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path)  # a trial that is reset goes into its working directory
    made = Counting()
    made.place, made._storage = tmp_path, Storage()  # type: ignore[assignment]
    return made


def left(place: Path) -> list[str]:
    return sorted(path.name for path in place.glob("checkpoint_*"))


def test_what_is_on_record_outlives_a_report_that_is_not(trial: Counting, tmp_path: Path) -> None:
    """The driver has checkpoint 1 on record; its disk is full as it hears of 2, and it asks for 3 already."""
    on_record = [trial.train()[CHECKPOINT] for _ in range(2)][-1]
    trial.train()
    assert Path(on_record).exists()
    trial.train()
    trial.stop()
    assert left(tmp_path) == ["checkpoint_1", "checkpoint_2", "checkpoint_3"]
    assert Path(on_record).exists()


def test_another_trial_in_the_same_worker_removes_nothing_of_the_former(
    trial: Counting, tmp_path: Path
) -> None:
    trial.train()
    trial.reset_config = lambda new: True  # type: ignore[method-assign]
    trial.reset({}, storage=trial._storage)
    trial.train()
    trial.train()
    assert left(tmp_path) == ["checkpoint_0", "checkpoint_1", "checkpoint_2"]


def test_of_a_trial_that_has_ended_the_last_one_stays_of_all_attempts(tmp_path: Path) -> None:
    for name in ("session-01/00001", "session-01/00001-2", "session-02/00001", "session-02/00011"):
        for number in range(2):
            (tmp_path / "tune" / name / f"checkpoint_{number:06d}").mkdir(parents=True)
    Checkpoints(tmp_path).ended("00001", "tune/session-02/00001/checkpoint_000001")
    found = sorted(str(path.relative_to(tmp_path / "tune")) for path in tmp_path.glob("tune/*/*/*"))
    other = [f"session-02/00011/checkpoint_00000{number}" for number in range(2)]
    assert found == ["session-02/00001/checkpoint_000001", *other]
