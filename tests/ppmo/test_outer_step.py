"""The outer step against formulas: ratios, clipping, entropy, gradient norms, rates and the average."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from torch import Tensor

from trainables.environment.inner_step import inner_step
from trainables.environment.perception import Perception
from trainables.ppmo.learner import PpmoLearner
from trainables.ppmo.module import PpmoModule, scaled_variance
from trainables.ppmo.run import PpmoRun

pytestmark = pytest.mark.timeout(300)
TINY = {"num_envs": 4, "learners": 2, "rollout_steps": 10, "minibatch_size": 10, "probe_learners": 2}
CLIP = 0.2


def learner_of(run: PpmoRun) -> tuple[PpmoLearner, PpmoModule]:
    learner = run._algorithm.learner_group._learner
    return learner, learner.module[DEFAULT_MODULE_ID].unwrapped()


def loss_of(learner: PpmoLearner, batch: dict[str, Tensor]) -> Tensor:
    """RLlib's, of the stepped learners."""
    module = learner.module[DEFAULT_MODULE_ID].unwrapped()
    outputs = module.forward_train(batch)
    loss: Tensor = learner.compute_loss_for_module(
        module_id=DEFAULT_MODULE_ID,
        config=learner.config.get_config_for_module(DEFAULT_MODULE_ID),
        batch=batch,
        fwd_out=outputs,
    )
    return loss


def rows(observation: int, actions: Tensor, advantages: Tensor, outputs: int) -> dict[str, Tensor]:
    """A minibatch of two learners with half of the rows each; the critic's part of the loss has no weight."""
    count = len(actions)
    return {
        "obs": torch.randn(count, observation, generator=torch.Generator().manual_seed(3)),
        "actions": actions,
        "action_logp": torch.zeros(count),
        "action_dist_inputs": torch.zeros(count, outputs),
        "advantages": advantages,
        "value_targets": torch.zeros(count),
    }


def test_the_ratio_is_joint_over_an_actions_numbers(started: Callable[..., PpmoRun]) -> None:
    """Clipped surrogate of a two-dimensional Gaussian policy, by hand (Schulman et al., 2017, equation 7)."""
    run = started(**TINY, env="Reacher-v5", batch_size=3, value_weight=0.0, clip=CLIP, normalise=False)
    learner, module = learner_of(run)
    actions = torch.tensor([[0.5, -0.5], [1.0, 0.2], [-0.3, 0.9], [0.0, 0.0]])
    advantages = torch.tensor([1.0, -1.0, 2.0, -0.5])
    batch = rows(10, actions, advantages, outputs=4)
    inputs = module.forward_train(batch)["action_dist_inputs"].detach().double().numpy()
    mean, log_std = inputs[:, :2], inputs[:, 2:]
    apart = (actions.numpy() - mean) / np.exp(log_std)
    logp = (-0.5 * apart**2 - log_std - 0.5 * np.log(2 * np.pi)).sum(1)
    # Former probabilities such that two ratios are within the range and two are cut off.
    ratios = np.array([1.1, 0.5, 1.7, 0.9])
    batch["action_logp"] = torch.from_numpy(logp - np.log(ratios)).float()
    clipped = np.clip(ratios, 1 - CLIP, 1 + CLIP)
    surrogate = np.minimum(ratios * advantages.numpy(), clipped * advantages.numpy())
    assert float(loss_of(learner, batch).detach()) == pytest.approx(-surrogate.mean(), rel=1e-4)


def test_entropy_has_its_gradient(started: Callable[..., PpmoRun]) -> None:
    """Without advantages all that is left is the entropy of what stepped learners do."""
    weight = 0.7
    run = started(**TINY, env="CartPole-v1", batch_size=3, entropy=weight, value_weight=0.0)
    learner, module = learner_of(run)
    batch = rows(4, torch.tensor([0, 1, 1, 0]), torch.zeros(4), outputs=2)
    loss = loss_of(learner, batch)
    found = torch.autograd.grad(loss, [module.x, module.y, module.log_inner_lr])

    (architecture,), (initial,) = module.population.architectures, module.initial.parameters_of()
    stepped = inner_step(architecture, initial, module.x, module.y, module.log_inner_lr.exp())
    logits = architecture(stepped, batch["obs"].unflatten(0, (2, 2))).flatten(0, 1)
    entropy = -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1).mean()
    assert float(loss.detach()) == pytest.approx(-weight * float(entropy.detach()), rel=1e-5)
    expected = torch.autograd.grad(-weight * entropy, [module.x, module.y, module.log_inner_lr])
    for one, other in zip(found, expected, strict=True):
        assert other.abs().max() > 0
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-8)


def test_a_scale_is_learned_for_the_policy_alone(started: Callable[..., PpmoRun]) -> None:
    """Its gradient is that of what learners do, by differences; the value loss leaves it alone."""
    run = started(**TINY, env="Reacher-v5", batch_size=3, learn_scale=True, clip=1e9)
    learner, module = learner_of(run)
    batch = rows(10, torch.zeros(4, 2), torch.zeros(4), outputs=4)
    batch["value_targets"] += 5.0
    (unmoved,) = torch.autograd.grad(loss_of(learner, batch), [module.log_scale])
    assert not unmoved.any()

    batch["advantages"] = torch.tensor([1.0, -1.0, 2.0, -0.5])
    batch["action_logp"] = learner_logp(module, batch)
    batch["value_targets"] = module.compute_values(
        batch
    ).detach()  # of these errors nothing hangs on the scale
    (found,) = torch.autograd.grad(loss_of(learner, batch), [module.log_scale])
    apart = 1e-3
    for entry in (0, 7):
        with torch.no_grad():
            module.log_scale[entry] += apart
            above = loss_of(learner, batch)
            module.log_scale[entry] -= 2 * apart
            below = loss_of(learner, batch)
            module.log_scale[entry] += apart
        assert float(found[entry]) == pytest.approx(float((above - below) / (2 * apart)), rel=0.05, abs=1e-4)
    assert found.abs().max() > 1e-3


def learner_logp(module: PpmoModule, batch: dict[str, Tensor]) -> Tensor:
    """Of the actions taken, so that all ratios are 1."""
    mean, log_std = module.forward_train(batch)["action_dist_inputs"].detach().chunk(2, -1)
    return torch.distributions.Normal(mean, log_std.exp()).log_prob(batch["actions"]).sum(-1)


def test_each_optimiser_is_clipped_by_its_own_norm(started: Callable[..., PpmoRun]) -> None:
    learner, module = learner_of(started(**TINY, grad_clip=0.5))
    for p in module.parameters():
        p.grad = torch.zeros_like(p)
    module.x.grad[0, 0], module.y.grad[0, 0] = 0.24, 0.32  # a norm of 0.4: left alone
    for p in module.critic.parameters():
        p.grad.fill_(100.0)
    learner.postprocess_gradients({})
    assert module.x.grad[0, 0] == pytest.approx(0.24) and module.y.grad[0, 0] == pytest.approx(0.32)
    norm = torch.stack([p.grad.norm() for p in module.critic.parameters()]).norm()
    assert float(norm) == pytest.approx(0.5, rel=1e-3)
    module.x.grad.fill_(4.0)
    learner.postprocess_gradients({})
    norm = torch.stack([module.x.grad.norm(), module.y.grad.norm()]).norm()
    assert float(norm) == pytest.approx(0.5, rel=1e-3)


def test_gradients_that_are_not_finite_are_dropped(started: Callable[..., PpmoRun]) -> None:
    learner, module = learner_of(started(**TINY))
    for p in module.parameters():
        p.grad = torch.full_like(p, 1e-3)
    module.y.grad[0, 0] = torch.nan
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    learner.postprocess_gradients({})
    learner.apply_gradients({})
    moved = {name for name, p in module.named_parameters() if not torch.equal(p, before[name])}
    assert "x" not in moved and "y" not in moved
    assert "log_inner_lr" in moved and any(name.startswith("critic") for name in moved)


def test_rates_fall_linearly_to_their_share(started: Callable[..., PpmoRun]) -> None:
    run = started(**TINY, iterations=4, epochs=1, final_lr_factor=0.2, outer_lr=0.1, critic_lr=0.01)
    learner, _ = learner_of(run)
    inner = learner.apply_gradients
    seen: list[dict[str, float]] = []

    def listen(gradients: dict[Any, Any]) -> None:
        rates = {name: o.param_groups[0]["lr"] for name, o in learner._named_optimizers.items()}
        seen.append({name.removeprefix(f"{DEFAULT_MODULE_ID}_"): rate for name, rate in rates.items()})
        inner(gradients)

    learner.apply_gradients = listen
    for _ in range(4):
        run._algorithm.train()
    steps = len(seen) // 4  # of a meta-iteration
    assert [rates["distilled"] for rates in seen[::steps]] == pytest.approx([0.1, 0.08, 0.06, 0.04])
    assert [rates["critic"] for rates in seen[::steps]] == pytest.approx([0.01, 0.008, 0.006, 0.004])
    assert seen[steps - 1] == seen[0]


def test_the_result_is_an_average_over_iterations(started: Callable[..., PpmoRun]) -> None:
    run = started(**TINY, iterations=3, ema_decay=0.75)
    _, module = learner_of(run)
    expected = module.x.detach().clone()
    for _ in range(3):
        run._algorithm.train()
        expected = 0.75 * expected + 0.25 * module.x.detach()
    torch.testing.assert_close(run.distilled().x, expected)
    assert not torch.equal(run.distilled().x, module.x.detach())


def test_a_set_is_seen_as_its_learners_saw(started: Callable[..., PpmoRun]) -> None:
    """Statistics and learned scale, which are one pair in the file; here without an average."""
    run = started(**TINY, learn_scale=True, normalise=True, iterations=2, ema_decay=0.0)
    _, module = learner_of(run)
    run._algorithm.train()
    run._algorithm.train()
    moved = module.log_scale.detach().abs()
    assert (moved > 1e-3).all(), "each entry has a scale of its own"
    seen = 0.1 * torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    expected = Perception(1.0, module.mean, module.variance).normalise(seen) * module.log_scale.detach().exp()
    torch.testing.assert_close(run.distilled().perception(run.task)(seen), expected, rtol=1e-4, atol=1e-5)
    sampler = run._algorithm.env_runner.module
    with torch.no_grad():
        torch.testing.assert_close(sampler.perception()(seen), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lost", [-200.0, 200.0])
def test_a_scale_that_is_lost_leaves_a_file_that_opens(lost: float) -> None:
    variance = scaled_variance(torch.tensor([0.0, 1.0, 1e30]), torch.full((3,), lost))
    assert variance.isfinite().all() and (variance >= 0).all()
