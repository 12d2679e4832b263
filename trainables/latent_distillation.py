"""One trial of a sweep over latent distillations, as Ray Tune runs it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from trainables.latent.artifacts import ARTIFACTS_FILE, Artifacts, load_artifacts, save_artifacts
from trainables.latent.cache import default_cache, share_entries
from trainables.latent.compute import trial_device
from trainables.latent.config import DataConfig, EncoderConfig, LatentConfig
from trainables.latent.image_scorer import open_image_scorer
from trainables.latent.image_scoring import ImageScoring
from trainables.latent.latents import LatentData, prepare_latents
from trainables.latent.methods import start_run
from trainables.latent.shared_cache import open_shared
from trainables.saved_trial import SavedTrial

PROGRESS_FILE = "progress.json"
CACHE, SHARED = "cache", "shared_cache"


class LatentDistillation(SavedTrial):
    """Runs one :class:`~trainables.latent.run.Run`; a ``training_iteration`` is a block of steps.

    The config is flat: the settings of :class:`~trainables.latent.config.LatentConfig`, and ``cache``, the
    absolute path of the folder with encoders and latents (``None``: the user's). The encoder should be in the
    cache already, and so should the other one whose probe the settings may ask for; or, on a cluster, in what
    its machines share: ``shared_cache``, a folder, or ``None``.

    A result holds the run's scores (finite floats), ``cpu_s`` (process CPU seconds of this trial, setting up
    included, over all its workers), ``busy_s`` (seconds the worker spent on it since the last result)
    and ``complete`` (1 where the run came to its own end, 0 where it could go on). A checkpoint is the
    artefact file of the prototypes as they stand, with the run's state in it, and the last scores.
    """

    def setup(self, config: dict[str, Any]) -> None:
        self.opened_with: tuple[DataConfig, EncoderConfig, ImageScoring] | None = None
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take over another trial in the same process; latents that it shares stay open."""
        self._start(new_config)
        return True

    def _start(self, config: dict[str, Any]) -> None:
        self._cpu_s = self._busy_s = 0.0
        with self._timed():
            self._prepare(config)

    def _prepare(self, config: dict[str, Any]) -> None:
        settings = {name: value for name, value in config.items() if name not in (CACHE, SHARED)}
        self._settings = LatentConfig.parse(settings)
        # Sums depend on the number of threads, so it is a setting and not whatever Ray left in place.
        torch.set_num_threads(self._settings.distill.threads)
        encoder = self._settings.encoder
        encoder = dataclasses.replace(encoder, device=trial_device(encoder.device, self._gpu_share()))
        wanted = (self._settings.data, encoder, self._settings.scoring)
        if wanted != self.opened_with:
            cache = Path(config[CACHE]) if config[CACHE] else default_cache()
            if config.get(SHARED):
                share_entries(cache, open_shared(config[SHARED]), offer=False)
            self._data: LatentData = prepare_latents(self._settings.data, encoder, cache, _quiet)
            self._images = open_image_scorer(self._settings, self._data, cache, _quiet, encoder.device)
            self.opened_with = wanted
        self._distillation = start_run(self._settings.distill, self._data, self._images)
        self._scores: dict[str, float] = {}

    def _gpu_share(self) -> float:
        given = self.trial_resources
        return 0.0 if given is None else float(given.required_resources.get("GPU", 0))

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self._cpu_s += time.process_time() - cpu
        self._busy_s += time.perf_counter() - wall

    def step(self) -> dict[str, Any]:
        with self._timed():
            # A trial can be restored from the checkpoint of its end, when the end itself was not recorded.
            if not (self._distillation.done and self._scores):
                self._scores = self._distillation.step()
        busy_s, self._busy_s = self._busy_s, 0.0
        done = self._distillation.done
        return {
            **self._scores,
            "training_iteration": self._distillation.iteration,
            "cpu_s": self._cpu_s,
            "busy_s": busy_s,
            "complete": int(done),
            "done": done,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        with self._timed():
            method, state = self._settings.distill.method, self._distillation.state_dict()
            folder = Path(checkpoint_dir)
            save_artifacts(
                folder / ARTIFACTS_FILE,
                Artifacts(
                    config=self._settings.flat(),
                    class_names=self._data.class_names,
                    sets={method: self._distillation.distilled()},
                    provenance=self._data.provenance,
                    prototype_state={method: state},
                ),
            )
            progress = {
                "scores": self._scores,
                "cpu_s": self._cpu_s,
                # None by class where it diverged.
                "per_class": dict(zip(self._data.class_names, state["per_class"], strict=False)),
                "schedule": state.get("schedule"),
            }
            (folder / PROGRESS_FILE).write_text(json.dumps(progress))

    def load_checkpoint(self, checkpoint: Any) -> None:
        with self._timed():
            folder = Path(checkpoint)
            artifacts = load_artifacts(folder / ARTIFACTS_FILE)
            self._distillation.load_state_dict(artifacts.prototype_state[self._settings.distill.method])
            progress = json.loads((folder / PROGRESS_FILE).read_text())
            self._scores = progress["scores"]
            self._cpu_s += progress["cpu_s"]


def _quiet(line: str) -> None:
    """The driver prepared the latents, so a trial has nothing to report about them."""
