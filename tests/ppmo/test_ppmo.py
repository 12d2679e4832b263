"""Learning with RLlib: it learns, repeats itself, resumes, and spreads over processes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from trainables.environment.config import EnvironmentConfig
from trainables.environment.distilled_set import load_distilled_set
from trainables.environment.validation import validate
from trainables.errors import InputError
from trainables.ppmo.algorithm import algorithm_config
from trainables.ppmo.run import PpmoRun, read_state
from tune_dd.environments.outputs import write_run

pytestmark = pytest.mark.timeout(300)
OWN = f"{Path(__file__).parents[2] / 'examples' / 'own_network.py'}:Residual"
TINY = {"num_envs": 20, "rollout_steps": 10, "minibatch_size": 100, "probe_learners": 4}


def states(run: PpmoRun) -> dict[str, torch.Tensor]:
    """Everything in the Learner's module."""
    found: dict[str, torch.Tensor] = run._algorithm.learner_group._learner.module[
        DEFAULT_MODULE_ID
    ].state_dict()
    return found


def test_two_states_teach_cart_pole_in_one_step(started: Callable[..., PpmoRun], tmp_path: Path) -> None:
    run = started(iterations=40, iterations_per_report=20, probe_learners=20, learners=10, learner_life=1)
    scores = [run.step(), run.step()]
    assert run.done
    assert scores[1]["env_steps"] == 40 * 50 * 40
    assert scores[1]["probe_return"] > scores[0]["probe_return"] > 2 * run.untrained_return
    assert scores[1]["probe_return"] > 450
    way = (scores[1]["probe_return"] - run.untrained_return) / (475 - run.untrained_return)
    assert scores[1]["normalised_score"] == pytest.approx(way)
    run.distilled().save(tmp_path / "set.pt")
    assert validate(load_distilled_set(tmp_path / "set.pt"), run.task, 20, 2, seed=9).mean > 450


@pytest.mark.parametrize(
    "settings",
    [
        {"env": "CartPole2D-v1", "batch_size": 3, "normalise": True},
        {"targets": "hard", "inner_steps": 2},
        {"families": "same+xe+random_size+random_hidden", "num_envs": 40, "learners": 20},
        {"env": "Reacher-v5", "batch_size": 8},
        {"families": f"same+{OWN}", "num_envs": 40, "learners": 20},
    ],
    ids=["normalised", "hard", "families", "vectors", "own network"],
)
def test_same_seed_same_set(started: Callable[..., PpmoRun], settings: dict[str, Any]) -> None:
    runs = [started(**{**TINY, **settings}, iterations=2, iterations_per_report=1) for _ in range(2)]
    first, second = ([run.step(), run.step()] for run in runs)
    assert first == second
    one, two = (states(run) for run in runs)
    assert all(torch.equal(one[name], two[name]) for name in one)
    fresh = started(**{**TINY, **settings}, iterations=2)
    assert not torch.equal(states(fresh)["x"], one["x"])


def test_states_can_start_from_real_ones(started: Callable[..., PpmoRun]) -> None:
    x = states(started(**TINY, batch_size=64, states="real"))["x"]
    assert x[:, 2].abs().max() < 0.3  # no pole leans further before its episode ends
    assert x.unique(dim=0).shape == (64, 4)
    assert not torch.equal(x, states(started(**TINY, batch_size=64, states="real", seed=1))["x"])


def test_real_states_are_normalised_by_what_is_known_of_them(started: Callable[..., PpmoRun]) -> None:
    run = started(**TINY, env="Hopper-v5", batch_size=200, states="real", normalise=True)
    now = states(run)
    assert now["seen"] == 1000
    assert now["x"].mean(0).abs().max() < 0.3 and ((now["x"].std(0) - 1).abs() < 0.4).all()
    raw = now["x"] * (now["variance"] + 1e-8).sqrt() + now["mean"]
    assert 0.5 < raw[:, 0].mean() < 1.3  # a hopper's height in metres


def test_an_encoder_is_learned_at_its_own_rate(started: Callable[..., PpmoRun]) -> None:
    """Adam's first step moves a parameter by the rate, or by less where the gradient is tiny."""
    game = {"env": "Pong", "encoder_level": "l4", "encoder_lr": 1e-4, "outer_lr": 1e-2, "learners": 2}
    run = started(**{**TINY, **game, "num_envs": 2, "epochs": 1, "iterations": 1, "probe_learners": 2})
    before = {name: tensor.clone() for name, tensor in states(run).items()}
    run._algorithm.train()
    moved = {name: (now - before[name]).abs().max() for name, now in states(run).items()}
    for layer in range(4):
        assert moved[f"encoder.weight{layer}"] == pytest.approx(1e-4, rel=0.1)
    assert moved["x"] == pytest.approx(1e-2, rel=0.1)
    assert run.distilled().encoder is not None


def test_deviations_and_scale_are_learned_at_their_own_rates(started: Callable[..., PpmoRun]) -> None:
    rates = {"outer_lr": 1e-2, "log_std_lr": 1e-4, "learn_scale": True, "scale_lr": 3e-4}
    run = started(
        **{**TINY, **rates, "env": "Reacher-v5", "minibatch_size": 10_000, "epochs": 1, "iterations": 1}
    )
    before = {name: tensor.clone() for name, tensor in states(run).items()}
    run._algorithm.train()
    moved = {name: (now - before[name]).abs().max() for name, now in states(run).items()}
    assert moved["y_log_std"] == pytest.approx(1e-4, rel=0.1)
    assert moved["log_scale"] == pytest.approx(3e-4, rel=0.1)
    assert moved["x"] == pytest.approx(1e-2, rel=0.1)


@pytest.mark.parametrize(("groups", "rows"), [(1, 200), (3, 70)])
def test_learners_are_trained_on_what_they_saw(
    started: Callable[..., PpmoRun], groups: int, rows: int
) -> None:
    """The first outer step's policy is the one that sampled, though statistics move: its ratios are 1."""
    alone = {"minibatch_size": 200, "epochs": 1, "learner_groups": groups, "families": "same+xe+random_size"}
    run = started(**{**TINY, "normalise": True, "iterations": 2, "learners": 20, **alone})
    run._algorithm.train()
    learner = run._algorithm.learner_group._learner
    ratios = []
    inner = learner.compute_loss_for_module

    def listen(
        *, batch: dict[str, torch.Tensor], fwd_out: dict[str, torch.Tensor], **named: Any
    ) -> torch.Tensor:
        logits = fwd_out["action_dist_inputs"].log_softmax(-1)
        logp = logits.gather(-1, batch["actions"][:, None])[:, 0]
        ratios.append((logp - batch["action_logp"]).exp())
        loss: torch.Tensor = inner(batch=batch, fwd_out=fwd_out, **named)
        return loss

    learner.compute_loss_for_module = listen
    run._algorithm.train()
    assert len(ratios) == groups
    assert torch.allclose(ratios[0], torch.ones(rows), atol=1e-4)
    assert states(run)["mean"].abs().max() > 0


def test_static_learners_are_drawn_once(started: Callable[..., PpmoRun]) -> None:
    run = started(**TINY, static_learners=True, iterations=2, iterations_per_report=1)
    before = {name: tensor.clone() for name, tensor in states(run).items()}
    run.step()
    after = states(run)
    assert torch.equal(before["initial.weight0_0"], after["initial.weight0_0"])
    assert not torch.equal(before["stepped.weight0_0"], after["stepped.weight0_0"])


def test_learners_live_as_long_as_told_and_end_in_turns(started: Callable[..., PpmoRun]) -> None:
    run = started(**TINY, learners=5, learner_life=3, iterations=6, iterations_per_report=1)
    drawn = [states(run)["initial.weight0_0"].clone()]
    while not run.done:
        run.step()
        drawn.append(states(run)["initial.weight0_0"].clone())
    fresh = torch.stack([(now != before).flatten(1).all(1) for before, now in itertools.pairwise(drawn)])
    kept = torch.stack([(now == before).flatten(1).all(1) for before, now in itertools.pairwise(drawn)])
    assert torch.equal(fresh, ~kept)
    assert torch.equal(fresh[:3], fresh[3:])  # each third iteration
    assert (fresh[:3].sum(0) == 1).all()
    assert sorted(fresh[:3].sum(1).tolist()) == [1, 2, 2]


def test_restored_it_goes_on(started: Callable[..., PpmoRun], tmp_path: Path) -> None:
    settings = {**TINY, "normalise": True, "iterations": 3, "iterations_per_report": 1, "learner_life": 2}
    settings |= {"scale_values": True, "families": f"same+{OWN}"}
    first = started(**settings)
    first.step()
    last = first.step()
    first.save(tmp_path / "state.pt")
    second = started(**settings)
    second.restore(tmp_path / "state.pt")
    assert second.iteration == 2
    assert second.reports == 2
    assert second.probe() == last
    assert all(torch.equal(states(first)[name], states(second)[name]) for name in states(first))
    optimisers = [run._algorithm.learner_group.get_state()["learner"]["optimizer"] for run in (first, second)]
    assert str(optimisers[0]) == str(optimisers[1])
    assert second.step()["env_steps"] == 3 * 200
    assert second.done


def test_a_state_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(2), "iteration": 3}, tmp_path / "state.pt")
    with pytest.raises(InputError, match="is no state of a distillation, but it lacks episode_return, lea"):
        read_state(tmp_path / "state.pt")


def test_seeds_may_be_large(started: Callable[..., PpmoRun]) -> None:
    run = started(**TINY, seed=2**64 + 1, iterations=1, iterations_per_report=1)
    assert run.step()["diverged"] == 0.0


def test_values_are_learned_in_units_of_their_size(started: Callable[..., PpmoRun]) -> None:
    run = started(**TINY, scale_values=True, iterations=1, value_weight=0.0)
    learner = run._algorithm.learner_group._learner
    module = learner.module[DEFAULT_MODULE_ID].unwrapped()
    seen = {"obs": torch.randn(50, 4, generator=torch.Generator().manual_seed(0))}

    def values() -> torch.Tensor:
        found: torch.Tensor = module.compute_values(seen).detach() * module.value_scale
        return found

    before = values()
    run._algorithm.train()  # the critic learns nothing here, so all that changes is the unit
    size = learner._targets.square().mean().sqrt()
    assert 1.1 < size < 10
    assert module.value_scale == pytest.approx(float(size))
    assert torch.allclose(values(), before, atol=1e-5)
    module.rescale_values(torch.full((8,), 1e4))
    assert module.value_scale == pytest.approx((0.9 * float(size) ** 2 + 0.1 * 1e8) ** 0.5, rel=1e-3)
    assert torch.allclose(values(), before, atol=1e-5)


def test_a_set_that_is_not_finite_is_a_result(started: Callable[..., PpmoRun]) -> None:
    run = started(**TINY, iterations=2, iterations_per_report=1, inner_lr_lr=1e30)
    scores = [run.step(), run.step()][-1]
    assert scores["diverged"] == 1.0
    assert scores["probe_return"] == run.untrained_return


def test_what_diverges_late_leaves_the_set_before(started: Callable[..., PpmoRun], tmp_path: Path) -> None:
    run = started(**TINY, iterations=2, iterations_per_report=1)
    curve = [run.step()]
    last = run.distilled()
    module = run._algorithm.learner_group._learner.module[DEFAULT_MODULE_ID].unwrapped()
    module.x.data.fill_(torch.nan)
    curve.append(run.step())
    assert [report["diverged"] for report in curve] == [0.0, 1.0]
    write_run(tmp_path / "run", run, [{"iteration": 1, "learning_cpu_s": 1.0, **r} for r in curve], 1.0)
    assert torch.equal(load_distilled_set(tmp_path / "run" / "distilled_set.pt").x, last.x)


@pytest.mark.slow
@pytest.mark.parametrize(("runners", "learners"), [(2, 0), (0, 2)])
def test_other_processes_hold_the_same_weights(runners: int, learners: int) -> None:
    settings = EnvironmentConfig.parse({**TINY, "learners": 10, "normalise": True, "learn_scale": True})
    algorithm = algorithm_config(settings, runners, learners).build_algo()
    try:
        algorithm.train()
        result = algorithm.train()
        assert result["env_runners"]["num_env_steps_sampled_lifetime"] == 400
        held = [found.get() for found in algorithm.learner_group.foreach_learner(_weights)]
        assert len(held) == max(1, learners)
        sampling = algorithm.env_runner_group.foreach_env_runner(_weights, local_env_runner=runners == 0)
        assert len(sampling) == max(1, runners)
        for other in held[1:] + sampling:
            assert "stepped.weight0_0" in other
            assert all(torch.equal(other[name], held[0][name]) for name in other)
    finally:
        algorithm.stop()


def _weights(process: Any) -> dict[str, torch.Tensor]:
    module = process.module
    module = module if hasattr(module, "population") else module[DEFAULT_MODULE_ID].unwrapped()
    found: dict[str, torch.Tensor] = module.state_dict()
    return found


def test_several_learners_of_rllib_need_steps_of_all_in_a_minibatch() -> None:
    settings = EnvironmentConfig.parse({**TINY, "learners": 20, "learner_groups": 5, "minibatch_size": 4})
    assert algorithm_config(settings).learner_config_dict["groups"] == 5
    with pytest.raises(InputError, match=r"2 Learners share 20 learners' .* give 20 or more"):
        algorithm_config(settings, num_learners=2)


def test_runners_must_share_evenly() -> None:
    with pytest.raises(InputError, match="3 environment runners share 20 environments"):
        algorithm_config(EnvironmentConfig.parse(TINY), num_env_runners=3)
