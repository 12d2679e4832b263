"""Actions follow their distribution, and returns are those of whole episodes."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy import stats

from tests.environment.test_learners import draws
from trainables.environment.learners import LOG_STD, NetworkLearner, mlp_layers
from trainables.environment.perception import Perception
from trainables.environment.rollouts import choose, episode_returns
from trainables.environment.tasks import open_task

LOGITS = torch.tensor([[0.0, 1.0, -2.0, 0.5], [3.0, 3.0, 0.0, -30.0]])


def test_sampled_actions_follow_the_softmax() -> None:
    number = 20_000
    outputs = LOGITS.unsqueeze(1).expand(2, number, 4)
    actions = choose(outputs, {}, discrete=True, greedy=False, draws=draws())
    assert actions.shape == (2, number) and actions.dtype == torch.int64
    for k in range(2):
        counts = np.bincount(actions[k], minlength=4)
        expected = number * LOGITS[k].double().softmax(-1).numpy()
        likely = expected > 1
        assert counts[~likely].sum() == 0
        wanted = expected[likely] * counts.sum() / expected[likely].sum()
        assert stats.chisquare(counts[likely], wanted).pvalue > 0.01
    # One learner's draws say nothing about another's.
    table = np.histogram2d(actions[0], actions[1], bins=(4, 3))[0]
    assert stats.chi2_contingency(table[:, :2]).pvalue > 0.01


def test_sampled_vectors_are_normal_with_their_deviation() -> None:
    means = torch.tensor([[1.0, -1.0], [0.0, 5.0]])
    parameters = {LOG_STD: torch.tensor([[0.0, -1.0], [1.0, 0.5]])}
    outputs = means.unsqueeze(1).expand(2, 20_000, 2)
    actions = choose(outputs, parameters, discrete=False, greedy=False, draws=draws())
    deviation = parameters[LOG_STD].exp()
    for k in range(2):
        for j in range(2):
            found = actions[k, :, j].numpy()
            assert stats.kstest(found, "norm", (float(means[k, j]), float(deviation[k, j]))).pvalue > 0.01
    assert torch.equal(choose(outputs, parameters, False, True, draws()), outputs)


def test_greedy_is_the_likeliest() -> None:
    outputs = torch.randn(3, 50, 4, generator=draws(1))
    assert torch.equal(choose(outputs, {}, True, True, draws()), outputs.argmax(-1))


class Corridor(gym.Env[np.ndarray, int]):
    """Shows how far one has come; action 1 goes on and brings 1, action 0 ends it and brings 10."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, 100, (1,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):  # type: ignore[no-untyped-def]
        super().reset(seed=seed)
        self.place = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):  # type: ignore[no-untyped-def]
        self.place += 1
        end = bool(action == 0)
        return np.array([self.place], np.float32), 10.0 if end else 1.0, end, False, {}


@pytest.fixture
def corridor(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    gym.register("Corridor-v0", entry_point=Corridor, max_episode_steps=6, disable_env_checker=True)
    return "Corridor-v0"


def turning_back_at(places: list[float]) -> dict[str, torch.Tensor]:
    """Linear learners that prefer action 0 once they have come so far."""
    weight = torch.tensor([[0.0, -100.0]]).expand(len(places), 1, 2)
    bias = torch.tensor([[0.0, 100.0 * place - 50.0] for place in places])
    return {"weight0": weight, "bias0": bias}


LINEAR = NetworkLearner(mlp_layers((1, 2)))


@pytest.mark.parametrize("greedy", [True, False])
def test_returns_of_a_known_policy(corridor: str, greedy: bool) -> None:
    # Learners that turn back at 0, 2 and never: 10; 1 + 1 + 10; and 6 times 1 till time is up.
    found = episode_returns(
        open_task(corridor), LINEAR, turning_back_at([0, 2, 50]), Perception(), 3, seed=0, greedy=greedy
    )
    assert found.dtype == np.float64
    assert found.tolist() == [[10.0] * 3, [12.0] * 3, [6.0] * 3]


def test_observations_go_through_the_perception(corridor: str) -> None:
    scaled = Perception(0.4)  # so that the first place that looks like 2 is 4
    found = episode_returns(open_task(corridor), LINEAR, turning_back_at([2]), scaled, 1, seed=0, greedy=True)
    assert found.tolist() == [[14.0]]


def test_mean_return_of_a_random_policy(corridor: str) -> None:
    # Going on with probability p: sum over n < 6 of p^n (n + 10)(1 - p), and 6 p^6.
    p = 1 / (1 + np.exp(-1.0))
    going_on = {"weight0": torch.zeros(2000, 1, 2), "bias0": torch.tensor([[0.0, 1.0]]).expand(2000, 2)}
    found = episode_returns(open_task(corridor), LINEAR, going_on, Perception(), 1, seed=0)
    expected = sum(p**n * (n + 10) * (1 - p) for n in range(6)) + 6 * p**6
    assert abs(found.mean() - expected) < 3 * found.std() / np.sqrt(2000)


def test_cart_pole_pushed_one_way_falls_within_ten_steps() -> None:
    learner = NetworkLearner(mlp_layers((4, 2)))
    right = {"weight0": torch.zeros(2, 4, 2), "bias0": torch.tensor([[0.0, 1.0], [1.0, 0.0]])}
    found = episode_returns(open_task("CartPole-v1"), learner, right, Perception(), 4, seed=3, greedy=True)
    assert found.shape == (2, 4) and ((found >= 8) & (found <= 10)).all()


def test_vectors_of_actions_are_clipped_for_the_environment_alone() -> None:
    # Reacher punishes the squared action: were it not clipped, a push of 100 would cost 10,000 a step.
    task = open_task("Reacher-v4")
    learner = NetworkLearner(mlp_layers((11, 2)), log_std=True)
    strong = {
        "weight0": torch.zeros(1, 11, 2),
        "bias0": torch.full((1, 2), 100.0),
        LOG_STD: torch.zeros(1, 2),
    }
    found = episode_returns(task, learner, strong, Perception(), 2, seed=0)
    assert found.shape == (1, 2) and (found > -50 * (2 + 0.5)).all() and (found < -50 * 2).all()


def test_the_seed_decides_starts_and_actions() -> None:
    task = open_task("CartPole2D-v1")
    learner = NetworkLearner(mlp_layers((8, 4)))
    parameters = learner.draw(5, draws())
    first, again, other = (
        episode_returns(task, learner, parameters, Perception(), 3, seed=seed) for seed in (1, 1, 2**40)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
