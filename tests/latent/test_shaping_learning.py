"""The actor-critic and its controls on a task whose best schedule is known."""

from __future__ import annotations

import pytest
import torch

from tests.latent.planted_schedule import GateTask
from trainables.latent.shaping.actor_critic import ActorCritic
from trainables.latent.shaping.controls import CONTROLS
from trainables.seeds import generator

EPISODES, BATCH = 960, 32


def learned(seed: int, lr: float = 0.01, batches: int = EPISODES // BATCH) -> tuple[ActorCritic, float]:
    """An actor-critic after some batches, and the best score among their episodes."""
    learner, best = ActorCritic(GateTask(), lr, 1e-3, seed), 0.0
    for batch in range(batches):
        rollout, observations = learner.play(BATCH, generator(seed, "test", batch))
        learner.learn(rollout, observations)
        best = max(best, float(rollout.outcome.scores.max()))
    return learner, best


def test_the_planted_task_is_one_of_switching_half_way() -> None:
    task = GateTask()
    assert task.half_way() == pytest.approx(float(task.every_switch().max()), abs=1e-4)
    assert float(task.every_fixed().max()) < 0.3 * task.half_way()


@pytest.mark.parametrize("seed", range(3))
def test_the_switch_is_found_and_learned(seed: int) -> None:
    task = GateTask()
    learner, best = learned(seed)
    assert best > 0.98 * task.half_way()
    alone = learner.play_mean()
    assert float(alone.outcome.scores) > 0.98 * task.half_way(), "without noise, too"
    weights = task.weights(alone.actions[0])  # (T, K)
    opens = (weights[:, 0] > weights[:, 1]).tolist()
    assert opens == [True] * 4 + [False] * 4


def test_it_is_missed_by_fixed_weights_however_long_they_are_searched_for() -> None:
    task = GateTask()
    found = CONTROLS["best_fixed_weights"](task, EPISODES, BATCH, 0)
    best = float(task.every_fixed().max())
    assert found.score == pytest.approx(best, rel=0.01), "the best that fixed weights can do"
    assert best < 0.3 * task.half_way()


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_play_as_many_episodes_and_their_schedule_makes_their_points(name: str) -> None:
    task = GateTask()
    found = CONTROLS[name](task, 50, 16, 0)
    assert found.episodes == 50
    assert found.actions.shape == (task.decisions, 2)
    assert found.points[1] == pytest.approx(found.score)
    # In a population, too: whoever takes a member's place inherits its past.
    again = task.play(found.actions[None])
    assert float(again.outcome.scores) == pytest.approx(found.score, rel=1e-5)


def test_without_a_learning_rate_the_policy_stays_as_it_starts() -> None:
    learner, _ = learned(0, lr=0.0, batches=2)
    assert torch.equal(learner.play_mean().actions, torch.zeros(1, 8, 2))
    assert learner.told()["spread_open"] == pytest.approx(0.8)


def test_the_same_seed_learns_the_same_and_a_restored_one_goes_on() -> None:
    first, other = learned(0, batches=3)[0], learned(0, batches=2)[0]
    restored = ActorCritic(GateTask(), 0.01, 1e-3, seed=9)
    restored.load_state_dict(other.state_dict())
    rollout, observations = restored.play(BATCH, generator(0, "test", 2))
    restored.learn(rollout, observations)
    assert torch.equal(first.play_mean().actions, restored.play_mean().actions)


def test_a_state_of_another_task_is_refused() -> None:
    state = learned(0, batches=1)[0].state_dict()
    state["parameters"][0] = torch.zeros(2, 2)
    with pytest.raises(ValueError, match="parameters of shape"):
        ActorCritic(GateTask(), 0.01, 1e-3, 0).load_state_dict(state)
