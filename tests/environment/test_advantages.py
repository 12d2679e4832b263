"""From episodes to minibatches: advantages by hand and by their definition, rows and their owners."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from trainables.ppmo.batch import LEARNER, by_learner, estimate_advantages
from trainables.ppmo.learner import minibatches

GAMMA, LAMBDA = 0.5, 0.5


def of_one_part(rewards: list[float], values: list[float], terminated: bool) -> list[float]:
    found, targets = estimate_advantages(
        np.array(rewards), np.array(values), np.array([len(rewards)]), np.array([terminated]), GAMMA, LAMBDA
    )
    np.testing.assert_allclose(targets - found, values[:-1])
    return found.tolist()


def test_a_terminated_episode_by_hand() -> None:
    # Errors: 1 + 4/2 - 2 = 1 and 3 + 0 - 4 = -1, whatever the critic says of the last observation.
    for last in (0.0, 100.0):
        assert of_one_part([1, 3], [2, 4, last], terminated=True) == [1 - 0.25, -1]


def test_an_episode_cut_off_goes_on_in_the_critics_mind() -> None:
    # By a time limit or the end of sampling alike. Errors: 1 + 4/2 - 2 = 1 and 3 + 8/2 - 4 = 3.
    assert of_one_part([1, 3], [2, 4, 8], terminated=False) == [1 + 0.25 * 3, 3]


def test_one_step() -> None:
    assert of_one_part([1], [2, 4], terminated=True) == [-1]
    assert of_one_part([1], [2, 4], terminated=False) == [1]


def test_parts_do_not_touch_each_other() -> None:
    found, targets = estimate_advantages(
        np.array([1.0, 3.0, 1.0, 1.0, 3.0]),
        np.array([2.0, 4.0, 8.0, 2.0, 4.0, 2.0, 4.0, 8.0]),
        np.array([2, 1, 2]),
        np.array([True, False, False]),
        GAMMA,
        LAMBDA,
    )
    np.testing.assert_allclose(found, [0.75, -1, 1, 1.75, 3])
    np.testing.assert_allclose(targets, found + np.array([2, 4, 2, 2, 4]))


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(0.99, 0.95), (1.0, 1.0), (0.9, 0.0), (0.5, 1.0)])
def test_equals_the_sum_it_is_defined_as(gamma: float, gae_lambda: float) -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 30, 40)
    terminated = rng.random(40) < 0.5
    rewards, values = rng.normal(size=lengths.sum()), rng.normal(size=(lengths + 1).sum())
    found, targets = estimate_advantages(rewards, values, lengths, terminated, gamma, gae_lambda)
    reward, value, expected, baseline = rewards.tolist(), values.tolist(), [], []
    for length, ended in zip(lengths, terminated, strict=True):
        r, v = reward[:length], value[: length + 1]
        del reward[:length], value[: length + 1]
        v_next = [*v[1:-1], 0.0 if ended else v[-1]]
        for t in range(length):
            expected.append(
                sum(
                    (gamma * gae_lambda) ** (later - t) * (r[later] + gamma * v_next[later] - v[later])
                    for later in range(t, length)
                )
            )
            baseline.append(v[t])
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(targets, np.add(expected, baseline), atol=1e-12)


def test_rows_by_learner() -> None:
    rows, counted = by_learner(np.array([1, 0, 1, 0, 2, 2]), 3)
    assert rows.tolist() == [[1, 3], [0, 2], [4, 5]] and counted.all()


def test_rows_by_learner_where_some_have_fewer() -> None:
    owners = np.array([2, 0, 2, 2, 0])
    rows, counted = by_learner(owners, 4)
    assert counted.tolist() == [[True, True, False], [False] * 3, [True] * 3, [False] * 3]
    assert rows[counted].tolist() == [1, 4, 0, 2, 3]
    assert ((rows >= 0) & (rows < 5)).all()


@pytest.mark.parametrize(("steps", "number"), [(12, 4), (13, 4), (5, 5), (7, 1)])
def test_minibatches_share_each_learner_out(steps: int, number: int) -> None:
    learners = 3
    rows = {
        "row": torch.arange(learners * steps).reshape(learners, steps),
        "owner": torch.arange(learners).unsqueeze(1).expand(learners, steps),
        "obs": torch.randn(learners, steps, 2),
    }
    rows["obs"][..., 0] = rows["row"]
    parts = list(minibatches(rows, number, 1, torch.Generator().manual_seed(0)))
    assert len(parts) == number
    for part in parts:
        shares = torch.bincount(part["owner"], minlength=learners)
        assert len(set(shares.tolist())) == 1 and steps // number <= shares[0] <= -(-steps // number)
        assert torch.equal(part["owner"], part["owner"].sort().values)
        assert torch.equal(part["obs"][:, 0].long(), part["row"])  # columns stay together
    every = torch.cat([part["row"] for part in parts])
    assert torch.equal(every.sort().values, torch.arange(learners * steps))


@pytest.mark.parametrize(("groups", "sizes"), [(2, [3, 2]), (5, [1] * 5)])
def test_a_minibatch_has_steps_of_one_group_of_learners(groups: int, sizes: list[int]) -> None:
    learners, steps, number = 5, 12, 10
    rows = {"row": torch.arange(learners * steps).reshape(learners, steps)}
    parts = list(minibatches(rows, number, groups, torch.Generator().manual_seed(0)))
    whose = [part[LEARNER].unique().tolist() for part in parts]
    assert [len(some) for some in whose] == sizes * (number // len(sizes))
    turn = whose[: len(sizes)]
    assert sorted(itertools.chain(*turn)) == list(range(learners))
    assert whose == turn * (number // len(sizes))
    for part in parts:
        assert torch.equal(part["row"] // steps, part[LEARNER])
        assert torch.equal(part[LEARNER], part[LEARNER].sort().values)
        assert len(set(torch.bincount(part[LEARNER])[part[LEARNER].unique()].tolist())) == 1
    assert torch.equal(torch.cat([p["row"] for p in parts]).sort().values, torch.arange(learners * steps))


def test_learners_are_grouped_anew_in_each_epoch() -> None:
    rows = {"row": torch.arange(60).reshape(6, 10)}
    draws = torch.Generator().manual_seed(0)
    first, second = (
        [part[LEARNER].unique().tolist() for part in minibatches(rows, 4, 2, draws)] for _ in range(2)
    )
    assert first != second


def test_each_epoch_cuts_anew() -> None:
    rows = {"row": torch.arange(40).reshape(2, 20)}
    draws = torch.Generator().manual_seed(0)
    first, second = (torch.cat([part["row"] for part in minibatches(rows, 4, 1, draws)]) for _ in range(2))
    again = torch.cat([part["row"] for part in minibatches(rows, 4, 1, torch.Generator().manual_seed(0))])
    assert torch.equal(first, again) and not torch.equal(first, second)
    assert not torch.equal(first.sort().values, first)
    # Learners are not cut at the same steps.
    part = next(iter(minibatches(rows, 4, 1, draws)))["row"].reshape(2, -1)
    assert not torch.equal(part[0].sort().values, part[1].sort().values - 20)
