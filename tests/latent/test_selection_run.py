"""RL-Selection on problems whose best subset is known, and its promises to whoever runs it."""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.latent.gaussians import gaussian_latents
from trainables.errors import InputError
from trainables.latent.distill_config import SELECTION_POLICIES, DistillConfig
from trainables.latent.initialisation import choose_points
from trainables.latent.latents import LatentData
from trainables.latent.methods import start_run
from trainables.latent.selection.reward import SubsetReward
from trainables.latent.selection.run import SelectionRun


def planted(seed: int = 0, per_class: int = 24) -> LatentData:
    """Two classes whose most central point is a trap that lies on the other class's side.

    The first coordinate tells the classes apart (+1 and -1). The second, far wider, tells nothing, and has
    two heaps with the class mean between them, where nothing lies but the trap.
    """
    randomness = torch.Generator().manual_seed(seed)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        y = torch.arange(2).repeat_interleave(n)
        side = 1.0 - 2.0 * y
        heap = torch.tensor([1.0, -1.0]).repeat(n)
        x = torch.stack([side, 4 * heap], 1) + 0.4 * torch.randn(2 * n, 2, generator=randomness)
        return x, y

    train_x, train_y = draw(per_class)
    for c in (0, 1):
        train_x[c * per_class] = torch.tensor([2.0 * c - 1.0, 0.0])  # the trap, on the wrong side
    reward_x, reward_y = draw(100)
    selection_x, selection_y = draw(100)
    return LatentData(
        key=f"planted-{seed}",
        train_x=train_x,
        train_y=train_y,
        reward_x=reward_x,
        reward_y=reward_y,
        selection_x=selection_x,
        selection_y=selection_y,
        class_names=("right", "left"),
        codec=None,
        provenance={},
        folder=None,
    )


def finish(run: Any) -> dict[str, float]:
    report: dict[str, float] = {}
    while not run.done:
        report = run.step()
    return report


def config(**settings: Any) -> DistillConfig:
    return DistillConfig(**{"method": "rl_selection", "m_per_class": 1, "sel_evaluations": 120, **settings})


@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_all_subsets_is_found_where_herding_is_wrong(seed: int) -> None:
    data = planted(seed)
    rows = [torch.nonzero(data.train_y == c)[:, 0].tolist() for c in (0, 1)]
    every = torch.tensor(list(itertools.product(*rows)))  # all 576 subsets of one point a class
    best = float(SubsetReward(data, 1)(every).max())
    herding = choose_points("herding", data.train_x, data.train_y, 2, 1, 0)
    assert herding.tolist() == [0, 24], "the traps"
    run = SelectionRun(config(sel_evaluations=200), data)
    report = finish(run)
    assert report["reward_of_start"] < 0.1
    assert best > 0.97
    assert float(SubsetReward(data, 1)(run.subset[None])) >= best - 0.01
    assert report["probe_accuracy"] > 0.95


def test_whole_subsets_drawn_at_once_come_away_from_the_traps_too() -> None:
    report = finish(SelectionRun(config(sel_policy="one_shot"), planted()))
    assert report["reward_of_start"] < 0.1
    assert report["reward_accuracy"] > 0.6


@pytest.mark.parametrize("policy", SELECTION_POLICIES)
@pytest.mark.parametrize("evaluations", [1, 2, 7, 50])
def test_evaluations_are_counted_and_never_exceeded(policy: str, evaluations: int) -> None:
    settings = config(sel_policy=policy, sel_evaluations=evaluations, m_per_class=2)
    run = SelectionRun(settings, gaussian_latents(separation=1.0, codec=False))
    report = finish(run)
    assert report["reward_evaluations"] == run.reward.evaluations == evaluations
    assert run.iteration == settings.iterations == min(6, evaluations)
    assert report["diverged"] == 0


@pytest.mark.parametrize("policy", SELECTION_POLICIES)
def test_the_set_is_never_worse_on_the_reward_half_than_its_start(policy: str) -> None:
    for seed in range(3):
        data = gaussian_latents(4, separation=1.2, seed=seed, codec=False)
        run = SelectionRun(config(sel_policy=policy, m_per_class=3, seed=seed), data)
        last = 0.0
        while not run.done:
            report = run.step()
            # The policy's reward is the protocol's score of the same set, but for the last digits.
            assert run._best is not None
            assert abs(report["reward_accuracy"] - float(run._best.accuracy)) < 0.002
            assert float(run._best.accuracy) >= last
            last = float(run._best.accuracy)
        assert last >= report["reward_of_start"]


@pytest.mark.parametrize("policy", SELECTION_POLICIES)
@pytest.mark.parametrize("after", [1, 3])
def test_a_restored_run_goes_on_bit_for_bit(policy: str, after: int) -> None:
    settings = config(sel_policy=policy, m_per_class=2, sel_evaluations=60)
    data = gaussian_latents(separation=1.0, codec=False)
    whole, broken = (start_run(settings, data) for _ in range(2))
    for _ in range(after):
        broken.step()
    buffer = io.BytesIO()
    torch.save(broken.state_dict(), buffer)
    buffer.seek(0)
    resumed = start_run(settings, data)
    resumed.load_state_dict(torch.load(buffer, weights_only=True))
    reports = [finish(run) for run in (whole, resumed)]
    for report in reports:
        del report["optimise_cpu_s"]
    assert reports[0] == reports[1]
    first, second = (run.state_dict() for run in (whole, resumed))
    assert torch.equal(first["subset"], second["subset"])
    assert all(map(torch.equal, first["policy"]["parameters"], second["policy"]["parameters"]))


def test_a_state_of_another_size_is_refused_in_words() -> None:
    data = gaussian_latents(codec=False)
    state = SelectionRun(config(), data).state_dict()
    with pytest.raises(InputError, match="resume with the configuration that wrote it"):
        SelectionRun(config(m_per_class=2), data).load_state_dict(state)


def test_the_budget_may_be_other_than_the_number_of_prototypes() -> None:
    run = SelectionRun(config(sel_budget_per_class=3, sel_evaluations=9), gaussian_latents(codec=False))
    finish(run)
    distilled = run.distilled()
    assert torch.equal(distilled.y, torch.arange(3).repeat_interleave(3))
    assert distilled.indices is not None
    assert torch.equal(run.data.train_x[distilled.indices], distilled.x)


def test_test_and_selection_halves_do_not_reach_what_is_chosen() -> None:
    seen = gaussian_latents(separation=1.0, codec=False)
    blind = gaussian_latents(separation=1.0, codec=False)
    blind.selection_y[:] = blind.selection_y.flip(0)
    runs = [SelectionRun(config(m_per_class=2), data) for data in (seen, blind)]
    for run in runs:
        finish(run)
    assert torch.equal(runs[0].subset, runs[1].subset)


def test_more_points_than_a_class_has_are_refused() -> None:
    with pytest.raises(InputError, match="the smallest class has 60"):
        SelectionRun(config(m_per_class=61), gaussian_latents(codec=False))


def test_real_points_have_no_learned_labels() -> None:
    with pytest.raises(InputError, match="real points keep the labels"):
        config(labels="soft")
