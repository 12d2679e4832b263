"""What a sweep of environments is worth after its driver and a worker were killed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.sweep import sweeps
from trainables.environment.distilled_set import load_distilled_set
from trainables.environment.tasks import open_task
from trainables.environment.validation import validate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TRIALS = 12
# A report judges by as much as the validation does: where hardly an episode fails, few episodes see none
# fail, and a standard error of zero promises too much.
LEARNERS, EPISODES = 100, 5
WORDS = (
    f"--num-trials {TRIALS} --iterations 40 --iterations-per-report 5 "
    f"--probe-learners {LEARNERS} --probe-episodes {EPISODES}"
).split()


def test_after_kills_every_trial_is_there_once_and_the_best_set_keeps_its_word(tmp_path: Path) -> None:
    """ASHA on two workers, a worker killed, then the driver, then a worker of the resumed sweep.

    The best of many reports is partly luck. It stays small beside the standard error because completed
    trials alone are ranked, by their last report of 100 learners, and because all trials of the cell are
    judged by the same learners: luck that they share ranks none of them.
    """
    storage, log = tmp_path / "results", tmp_path / "log"
    folder = storage / "hurt"
    sweep = sweeps.start(storage, "--name", "hurt", *WORDS, log=log, kind="environment")

    def reported(number: int) -> bool:
        return sum(event["event"] == "reported" for event in sweeps.events(folder)) >= number

    for reports, victim in ((4, "worker"), (16, "driver"), (24, "worker")):
        sweeps.wait_for(lambda reports=reports: reported(reports), sweep, log)
        if victim == "driver":
            sweeps.kill_driver(sweep)
            sweep = sweeps.start(storage, "--name", "hurt", "--resume", log=log, kind="environment")
            continue
        while not (workers := sweeps.trial_workers(sweep.pid)):
            assert sweep.poll() is None, log.read_text()
        sweeps.kill(workers[0])
    text = sweeps.finish(sweep, log)
    assert "resumed: " in text
    assert "goes on from its last checkpoint after: its worker died" in text

    sweeps.check_each_trial_once(folder, TRIALS)
    sweeps.check_iterations_went_on(folder)
    summary = sweeps.summary(folder)
    trials = {trial["trial_id"]: trial for trial in summary["trials"]}
    assert {trial["status"] for trial in trials.values()} <= {"completed", "stopped_early"}
    assert any(trial["restored"] for trial in trials.values())
    [cell] = summary["cells"]
    best = trials[cell["best"]]
    assert best["status"] == "completed"
    assert best["scores"]["probe_return"] > 5 * cell["controls"]["untrained"]["probe_return"]

    distilled = load_distilled_set(folder / best["run"] / "distilled_set.pt")
    again = validate(distilled, open_task("CartPole-v1"), LEARNERS, EPISODES, seed=2024)
    difference = again.mean - best["scores"]["probe_return"]
    print(f"reported {best['scores']['probe_return']:.1f} ± {best['scores']['probe_return_sem']:.1f}, "
          f"validated {again.mean:.1f} ± {again.sem:.1f}")  # fmt: skip
    assert abs(difference) <= 2 * math.hypot(again.sem, best["scores"]["probe_return_sem"])
