"""What hundreds of trials ask of a sweep's driver; benchmarks/sweep_scale.py does the same with thousands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import ROOT, run_python
from tests.sweep import sweeps

TRIALS = 300
LEFT = 20


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_long_sweep_costs_its_driver_little(tmp_path: Path) -> None:
    """Replayed trials through any sweep's searcher, scheduler, journal and recorder; a kill near the end."""
    found, script = tmp_path / "figures.json", ROOT / "benchmarks" / "sweep_scale.py"
    words = f"--num-trials {TRIALS} --left {LEFT} --storage {tmp_path / 'results'} --figures {found}"
    done = run_python(str(script), *words.split(), cwd=tmp_path, timeout_s=500)
    print(done.stdout)
    assert found.exists(), done.stderr
    figures = json.loads(found.read_text())
    assert figures["own_cpu_s"] < 0.020, "CPU seconds of the driver for a trial, beyond Optuna's"
    for grown in ("grown_bytes", "grown_bytes_in_second_half"):
        assert figures[grown] < 100_000, "bytes by which the driver grows with a trial"
    assert figures["resumed_s"] < 60, "seconds from the command that resumes to the first trial"
    assert done.returncode == 0, "over one of the benchmark's own bounds"
    sweeps.check_each_trial_once(tmp_path / "results" / "scale", TRIALS)
    assert set(figures["by_end"]) == {"completed", "stopped_early"}
    assert figures["by_end"]["stopped_early"] > TRIALS // 20, "the scheduler had something to do"
