"""The parts that Ray Tune drives, without Ray: the trial, early stopping, the display."""

from __future__ import annotations

import io
import itertools
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler
from ray.tune.trainable import trainable as ray_trainable

from trainables.latent_distillation import CACHE, LatentDistillation
from tune_dd.sweeps.checkpoints import Checkpoints
from tune_dd.sweeps.journal import TrialRecord
from tune_dd.sweeps.latent.cell import LatentCell
from tune_dd.sweeps.latent.settings import LatentSweep
from tune_dd.sweeps.live_display import LiveDisplay, Standing, clock, progress_line
from tune_dd.sweeps.searcher import GRACE_ITERATIONS, CellScheduler, opens

STEPS = {"proto_steps_base": 30, "steps_per_iteration": 10}


@pytest.fixture
def settings(tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(ray_trainable, "DEFAULT_STORAGE_PATH", str(tmp_path / "ray"))
    config = LatentSweep(name="x", prototypes=(2,), settings={"ae_epochs": 2, **STEPS})
    return {
        **config.trial_settings(config.cells[0], {"method": "implicit"}),
        CACHE: str(shared_cache / "tune-dd"),
    }


def reported(trial: LatentDistillation) -> list[dict[str, Any]]:
    """All results to the end, without what depends on the clock."""
    results = []
    while not results or not results[-1]["done"]:
        result = trial.train()
        kept = ("training_iteration", "done", "complete", "diverged")
        results.append({name: v for name, v in result.items() if name in kept or name.endswith("accuracy")})
    return results


class TestTrial:
    def test_a_used_worker_gives_the_same_as_a_fresh_one(self, settings: dict[str, Any]) -> None:
        fresh = reported(LatentDistillation(dict(settings)))
        used = LatentDistillation({**settings, "method": "kernel_ridge", "m_per_class": 1})
        used.train()
        assert used.reset(dict(settings))
        assert reported(used) == fresh
        assert [result["training_iteration"] for result in fresh] == [1, 2, 3]

    def test_a_trial_without_a_gpu_keeps_to_the_cpu(self, settings: dict[str, Any]) -> None:
        trial = LatentDistillation({**settings, "device": "auto"})
        assert trial.opened_with[1].device == "cpu"

    @pytest.mark.parametrize("stopped_after", [1, 2, 3])
    def test_restored_it_goes_on_as_if_never_stopped(
        self, settings: dict[str, Any], stopped_after: int, tmp_path: Path
    ) -> None:
        whole = reported(LatentDistillation(dict(settings)))
        first = LatentDistillation(dict(settings))
        for _ in range(stopped_after):
            first.train()
        first.save(str(tmp_path / "checkpoint"))
        second = LatentDistillation(dict(settings))
        second.restore(str(tmp_path / "checkpoint"))
        # Restored at its end it reports that end again, as the end may not be on record.
        assert reported(second) == whole[min(stopped_after, 2) :]

    def test_divergence_is_a_result(self, settings: dict[str, Any]) -> None:
        last = reported(LatentDistillation({**settings, "lr": 1e30}))[-1]
        assert last["diverged"] == 1
        assert last["complete"] == 1
        assert last["probe_accuracy"] == pytest.approx(0.1)


def live(trial_id: str, cell: LatentCell) -> Any:
    config = {
        "dataset": cell.dataset,
        "backbone": cell.backbone,
        "encoder_seed": cell.seed,
        "m_per_class": cell.m_per_class,
    }
    return SimpleNamespace(trial_id=trial_id, config=config)


class TestEarlyStopping:
    one, ten = LatentCell("digits", "conv", 0, 1), LatentCell("digits", "conv", 0, 10)

    def decide(self, scheduler: CellScheduler, trial_id: str, cell: LatentCell, value: float) -> str:
        trial = live(trial_id, cell)
        scheduler.on_trial_add(None, trial)
        result = {"training_iteration": GRACE_ITERATIONS, "probe_accuracy": value}
        return scheduler.on_trial_result(None, trial, result)

    def test_the_worse_of_a_cell_stop_and_other_cells_are_no_measure(self) -> None:
        scheduler = CellScheduler(LatentSweep(name="x"))
        for number in range(4):
            assert (
                self.decide(scheduler, f"t{number}", self.ten, 0.9 + number / 100) == TrialScheduler.CONTINUE
            )
        assert self.decide(scheduler, "poor", self.ten, 0.8) == TrialScheduler.STOP
        assert self.decide(scheduler, "small", self.one, 0.5) == TrialScheduler.CONTINUE

    def test_recalled_trials_count(self) -> None:
        scheduler = CellScheduler(LatentSweep(name="x"))
        for number in range(4):
            reports = {step: {"probe_accuracy": 0.9} for step in (1, GRACE_ITERATIONS)}
            scheduler.recall(TrialRecord(f"t{number}", self.ten, {}, {}, reports))
        assert self.decide(scheduler, "poor", self.ten, 0.8) == TrialScheduler.STOP

    def test_no_trial_stops_before_the_grace_period_is_over(self) -> None:
        scheduler, trials = CellScheduler(LatentSweep(name="x")), [live(str(n), self.ten) for n in range(5)]
        for (number, trial), step in itertools.product(enumerate(trials), range(1, GRACE_ITERATIONS)):
            scheduler.on_trial_add(None, trial)
            result = {"training_iteration": step, "probe_accuracy": 1.0 - number / 10}
            assert scheduler.on_trial_result(None, trial, result) == TrialScheduler.CONTINUE


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestDisplay:
    def test_a_file_gets_a_line_now_and_then(self) -> None:
        stream = io.StringIO()
        display = LiveDisplay(stream)
        for line in ("one", "one", "two"):
            display.show(line)
        display.show("three", now=True)
        display.say("said")
        assert stream.getvalue() == "one\nthree\nsaid\n"

    def test_a_terminal_gets_one_line_that_fits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "20")
        stream = Terminal()
        display = LiveDisplay(stream)
        display.show("x" * 50)
        display.say("said")
        display.show("last", now=True)
        display.end()
        lines = stream.getvalue().split("\n")
        assert lines[0].endswith("\r\x1b[2Ksaid")
        assert "x" * 18 + "…" in lines[0]
        assert "x" * 19 not in lines[0]
        assert lines[1:] == ["\r\x1b[2Klast", ""]

    def test_line_counts_ends_and_names_the_best(self) -> None:
        config = LatentSweep(name="x")
        cells = config.cells
        scores = {"probe_accuracy": 0.9, "roundtrip_accuracy": 0.5}
        records = [
            TrialRecord("0", cells[0], {}, {}, {1: scores}, status="completed"),
            TrialRecord(
                "1", cells[1], {}, {}, {1: {**scores, "probe_accuracy": 0.95}}, status="stopped_early"
            ),
            TrialRecord("2", cells[1], {}, {}, status="failed"),
            TrialRecord("3", cells[1], {}, {}),
            TrialRecord("4", cells[1], {}, {}),
        ]
        line = progress_line(Standing(config, records), config.open().score_words, 9, 65.0, workers=1)
        assert line == (
            "3 of 9 trials, 1 complete, 1 stopped early, 1 failed, 1 running"
            " | best 90.0% at 1, 95.0% at 10 per class | 1:05 left"
        )

    def test_clock(self) -> None:
        assert [clock(seconds) for seconds in (0, 5, 65, 3725)] == ["0:00", "0:05", "1:05", "1:02:05"]


def test_a_damaged_checkpoint_is_not_gone_on_from(settings: dict[str, Any], tmp_path: Path) -> None:
    trial = LatentDistillation(config=settings)
    trial.train()
    whole = tmp_path / "whole"
    whole.mkdir()
    trial.save_checkpoint(str(whole))
    kind = LatentSweep(name="x").open()
    checkpoints = Checkpoints(tmp_path)
    assert opens(kind, checkpoints, "whole")
    assert not opens(kind, checkpoints, "gone")
    for name in ("distillation_artifacts.pt", "progress.json"):
        damaged = tmp_path / name
        shutil.copytree(whole, damaged)
        (damaged / name).write_bytes(b"garbage")
        with pytest.warns(UserWarning, match="its trial starts again"):
            assert not opens(kind, checkpoints, name)
