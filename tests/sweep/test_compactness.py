"""The score of the search for the smallest batch: the target first, then as few states as possible."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from trainables.environment.config import EnvironmentConfig
from trainables.environment.validation import Returns
from trainables.ppmo.run import SURE, PpmoRun, compactness
from trainables.seeds import derive_seed
from tune_dd.sweeps.ray_session import local_session


@pytest.mark.parametrize(
    ("reached", "untrained", "target", "states", "score"),
    [
        (475.0, 20.0, 475.0, 2, 1.5),
        (500.0, 20.0, 475.0, 512, 1 + 1 / 512),
        (20.0, 20.0, 475.0, 2, 0.0),
        (5.0, 20.0, 475.0, 2, 0.0),
        (247.5, 20.0, 475.0, 2, 0.5),
        (-12.0, -40.0, -5.0, 64, 0.8),
        (15.0, 20.0, 10.0, 4, 1.25),  # a target below untrained learners
        (5.0, 20.0, 10.0, 4, 0.0),
        (1e308, 0.0, 1.0, 1, 2.0),
    ],
)
def test_known_answers(reached: float, untrained: float, target: float, states: int, score: float) -> None:
    assert compactness(reached, untrained, target, states) == pytest.approx(score, abs=1e-12)


def test_every_set_that_reaches_the_target_beats_every_one_that_does_not() -> None:
    below = [compactness(value, 20.0, 475.0, 2) for value in (474.999999999999, 474.0, 100.0)]
    above = [compactness(475.0, 20.0, 475.0, states) for states in (1, 2, 3, 511, 512, 10**9)]
    assert above == sorted(above, reverse=True)
    assert all(low < 1 < high for low, high in itertools.product(below, above))


@pytest.mark.timeout(120)
def test_other_learners_must_say_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first probe above the target is luck as long as no second one confirms it; that one is reported."""
    told = {derive_seed(0, "probe", i): 490.0 for i in (1, 2)}
    told |= {derive_seed(0, "second probe", i): second for i, second in ((1, 470.0), (2, 480.0))}

    def probed(*_: object, seed: int, **__: object) -> Returns:
        return Returns(np.full(4, told[seed]))

    tiny = {"num_envs": 10, "rollout_steps": 10, "iterations_per_report": 1, "probe_learners": 4}
    with local_session(cpus=1):
        run = PpmoRun(EnvironmentConfig.parse({**tiny, "iterations": 3, "target_return": 475.0}))
        monkeypatch.setattr("trainables.ppmo.run.validate", probed)  # luck cannot be had on demand
        for second, reached in ((470.0, False), (480.0, True)):
            scores = run.step()
            assert run.reached is run.done is reached
            assert (scores["probe_return"], scores["greedy_return"]) == (second, 490.0)
            assert (scores["compactness"] > 1) is reached
        run.close()


@pytest.mark.timeout(120)
def test_a_run_ends_where_its_target_is_reached() -> None:
    tiny = {"num_envs": 10, "rollout_steps": 10, "iterations_per_report": 1, "probe_learners": 4}
    with local_session(cpus=1):
        ends = {}
        for target in (5.0, 1e6):
            run = PpmoRun(EnvironmentConfig.parse({**tiny, "iterations": 3, "target_return": target}))
            while not run.done:
                scores = run.step()
            ends[target] = (run.iteration, run.reached, scores["compactness"])
            surely = scores["probe_return"] - SURE * scores["probe_return_sem"]
            assert (surely >= target) == run.reached
            run.close()
    assert ends[5.0] == (1, True, 1.5)
    assert ends[1e6][:2] == (3, False)
    assert 0 <= ends[1e6][2] < 1e-3
