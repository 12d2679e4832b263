"""A run of latents with an encoder of one epoch, made once by the real command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import run_python

TINY = "--ae-epochs 1 --latent-dim 4 --m-per-class 2 --proto-steps-base 4 --steps-per-iteration 2"


@pytest.fixture(scope="session")
def latent_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's folder: one learned set, controls with hard and with soft labels."""
    place = tmp_path_factory.mktemp("latent-run")
    done = run_python("-m", "tune_dd.cli", "distill", *TINY.split(), "--run-name", "mine", cwd=place)
    assert done.returncode == 0, done.stderr
    return place / "results" / "runs" / "digits" / "conv" / "mine"
