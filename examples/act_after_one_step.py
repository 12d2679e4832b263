"""An own policy that takes one gradient step on a distilled environment, and then plays.

    python examples/act_after_one_step.py examples/distilled/cartpole_1d_b512_families.pt --env CartPole-v1

The policy starts as PyTorch has it, which no set was made for; one for several families serves it.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from trainables.environment.distilled_set import DistilledSet
from trainables.environment.tasks import Task, open_task
from tune_dd import load_distilled


def step(policy: nn.Module, batch: DistilledSet) -> None:
    """Gradient descent on the whole set, as often as it was made for: usually once."""
    for _ in range(batch.inner_steps):
        loss = F.mse_loss(policy(batch.x), batch.y)  # (B, *observation) -> (B, actions)
        gradients = torch.autograd.grad(loss, list(policy.parameters()))
        for parameter, gradient in zip(policy.parameters(), gradients, strict=True):
            parameter.data -= batch.inner_lr * gradient


@torch.no_grad()
def play(policy: nn.Module, batch: DistilledSet, task: Task, episodes: int, seed: int) -> np.ndarray:
    """Returns of so many episodes, side by side, (episodes,); the likeliest action is taken."""
    see = batch.perception(task)  # as the set's states were seen: normalised, where it was made so
    env = task.make(episodes)
    observations, _ = env.reset(seed=seed)
    returns, running = np.zeros(episodes), np.ones(episodes, bool)
    while running.any():
        actions = policy(see(torch.from_numpy(observations))).argmax(1)  # (episodes,)
        observations, rewards, terminated, truncated, _ = env.step(actions.numpy())
        returns += np.where(running, rewards, 0.0)
        running &= ~(terminated | truncated)
    return returns


def main() -> None:
    """Play before the step and after it."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    flags.add_argument("place", help="a run's folder, or the set's file")
    flags.add_argument("--env", default="CartPole-v1", help="its task, with numbered actions")
    flags.add_argument("--episodes", type=int, default=5)
    flags.add_argument("--seed", type=int, default=0, help="of the policy and the episodes")
    asked = flags.parse_args()
    batch, task = load_distilled(asked.place), open_task(asked.env)
    if not isinstance(batch, DistilledSet) or batch.loss != "mse" or not task.discrete:
        raise SystemExit(f"{asked.place} is of another kind: its step differs from the one here")
    batch.check_fits(task, asked.place)
    torch.manual_seed(asked.seed)
    sizes = (batch.x.shape[1], 128, 64)
    hidden = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), nn.Tanh())]
    policy = nn.Sequential(*hidden, nn.Linear(sizes[-1], task.actions))
    for when in ("untrained", "after one step"):
        print(f"{when}: {play(policy, batch, task, asked.episodes, asked.seed).mean():.1f}")
        step(policy, batch)


if __name__ == "__main__":
    main()
