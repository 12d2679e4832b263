"""What a sweep is worth after its driver or its workers were killed."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.sweep import sweeps
from tune_dd.sweeps.recorder import MAX_FAILURES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
MOMENTS = 5


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep over the fixed list that nothing happened to."""
    storage = tmp_path_factory.mktemp("undisturbed") / "results"
    log = storage.parent / "log"
    sweeps.finish(sweeps.start(storage, "--name", "whole", *sweeps.GRID, log=log), log)
    return storage / "whole"


@pytest.fixture
def chance() -> random.Random:
    """Other moments at each run; a failure shows the seed."""
    seed = time.time_ns()
    print(f"moments are drawn with seed {seed}")
    return random.Random(seed)


def test_killed_driver_resumes_to_the_same_scores(
    tmp_path: Path, undisturbed: Path, chance: random.Random
) -> None:
    storage, log = tmp_path / "results", tmp_path / "log"
    folder = storage / "killed"
    words = sweeps.GRID
    whole = len(sweeps.events(undisturbed))
    moments = sorted(chance.sample(range(1, whole - 2), MOMENTS))
    for moment in moments:
        sweep = sweeps.start(storage, "--name", "killed", *words, log=log)
        sweeps.wait_for(lambda moment=moment: len(sweeps.events(folder)) >= moment, sweep, log)
        time.sleep(chance.uniform(0, 0.05))
        sweeps.kill_driver(sweep)
        words = ["--resume"]
    text = sweeps.finish(sweeps.start(storage, "--name", "killed", "--resume", log=log), log)
    assert "resumed" in text
    sweeps.check_each_trial_once(folder, sweeps.GRID_TRIALS)
    sweeps.check_iterations_went_on(folder)
    assert sweeps.scores(folder) == sweeps.scores(undisturbed)


def test_killed_workers_go_on_from_their_checkpoints(
    tmp_path: Path, undisturbed: Path, chance: random.Random
) -> None:
    storage, log = tmp_path / "results", tmp_path / "log"
    folder = storage / "hurt"
    sweep = sweeps.start(storage, "--name", "hurt", *sweeps.GRID, log=log)
    killed: list[int] = []
    # After each kill Ray needs seconds for a new worker, so the moments lie in what is left of the sweep.
    whole = len(sweeps.events(undisturbed))
    for number in range(MOMENTS):
        low = len(sweeps.events(folder)) + 1
        high = max(low + 1, low + (whole - low) // (MOMENTS + 1 - number))
        moment = chance.randrange(low, high)

        def struck(moment: int = moment) -> bool:
            fresh = [pid for pid in sweeps.trial_workers(sweep.pid) if pid not in killed]
            if len(sweeps.events(folder)) < moment or not fresh:
                return False
            killed.append(chance.choice(fresh))
            sweeps.kill(killed[-1])
            return True

        sweeps.wait_for(struck, sweep, log)
    sweeps.finish(sweep, log)
    assert len(killed) == MOMENTS
    sweeps.check_each_trial_once(folder, sweeps.GRID_TRIALS)
    sweeps.check_iterations_went_on(folder)
    # By chance a trial can lose as many workers as make a sweep give it up.
    died = Counter(event["trial"] for event in sweeps.events(folder) if event["event"] == "broke_off")
    assert died.total() <= MOMENTS
    given_up = {trial for trial, times in died.items() if times > MAX_FAILURES}
    for trial in sweeps.summary(folder)["trials"]:
        assert trial["status"] == ("failed" if trial["trial_id"] in given_up else "completed")
    found, wanted = sweeps.scores(folder), sweeps.scores(undisturbed)
    assert all(found[trial] == wanted[trial] for trial in wanted if trial not in given_up)
