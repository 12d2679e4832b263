"""One trial of a sweep over environment distillations, as Ray Tune runs it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from trainables.environment.config import EnvironmentConfig
from trainables.environment.distilled_set import SET_FILE
from trainables.ppmo.run import PpmoRun
from trainables.saved_trial import SavedTrial

PROGRESS_FILE = "progress.json"
STATE_FILE = "ppmo_state.pt"


class EnvironmentDistillation(SavedTrial):
    """Runs one :class:`~trainables.ppmo.run.PpmoRun`; a ``training_iteration`` is a block of meta-iterations.

    The config is flat: the settings of :class:`~trainables.environment.config.EnvironmentConfig`.

    A result holds the run's scores (finite floats), ``cpu_s`` (process CPU seconds of this trial over all its
    workers), ``busy_s`` (seconds the worker spent on it since the last result) and ``complete`` (1 where the
    run came to its own end, 0 where it could go on). A checkpoint holds the set as it stands, the run's
    state, and the last scores with what untrained learners reach.
    """

    def setup(self, config: dict[str, Any]) -> None:
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take over another trial in the same process."""
        self._run.close()
        self._start(new_config)
        return True

    def _start(self, config: dict[str, Any]) -> None:
        self._cpu_s = self._busy_s = 0.0
        self._scores: dict[str, float] = {}
        with self._timed():
            settings = EnvironmentConfig.parse(config)
            # Sums depend on the number of threads, so it is a setting and not whatever Ray left in place.
            torch.set_num_threads(settings.probe.threads)
            self._run = PpmoRun(settings)

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self._cpu_s += time.process_time() - cpu
        self._busy_s += time.perf_counter() - wall

    def step(self) -> dict[str, Any]:
        with self._timed():
            # A trial can be restored from the checkpoint of its end, when the end itself was not recorded.
            if not (self._scores and self._done):
                self._scores = self._run.step()
        busy_s, self._busy_s = self._busy_s, 0.0
        done = self._done
        return {
            **self._scores,
            "training_iteration": self._run.reports,
            "cpu_s": self._cpu_s,
            "busy_s": busy_s,
            "complete": int(done),
            "done": done,
        }

    @property
    def _done(self) -> bool:
        """Whether the last scores are those of the trial's end."""
        return self._run.done or bool(self._scores["diverged"])

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        with self._timed():
            folder = Path(checkpoint_dir)
            self._run.distilled().save(folder / SET_FILE)
            self._run.save(folder / STATE_FILE)
            progress = {
                "scores": self._scores,
                "cpu_s": self._cpu_s,
                "untrained_return": self._run.untrained_return,
            }
            (folder / PROGRESS_FILE).write_text(json.dumps(progress))

    def load_checkpoint(self, checkpoint: Any) -> None:
        with self._timed():
            folder = Path(checkpoint)
            self._run.restore(folder / STATE_FILE)
            progress = json.loads((folder / PROGRESS_FILE).read_text())
            self._scores = progress["scores"]
            self._cpu_s += progress["cpu_s"]

    def cleanup(self) -> None:
        self._run.close()
