"""What a policy has to beat: searches without learning, by the same reward, asked for as often."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

from trainables.latent.distill_config import DistillConfig
from trainables.latent.initialisation import choose_points, class_rows
from trainables.latent.latents import LatentData
from trainables.latent.probe import one_hot
from trainables.latent.selection.reward import SubsetReward
from trainables.latent.selection.run import SelectionRun
from trainables.seeds import generator

# Subsets that do not depend on each other are solved together.
_TOGETHER = 32
# Swaps that are judged before it is known whether those before them are kept: more are mostly in vain.
_AHEAD = 8

Control = Callable[[DistillConfig, LatentData, SubsetReward], Tensor]


def best_of_n(config: DistillConfig, data: LatentData, reward: SubsetReward) -> Tensor:
    """The best of ``sel_evaluations`` random subsets."""
    randomness = generator(config.seed, "best of n")
    rows = class_rows(data.train_y, len(data.class_names), reward.budget)
    best, most = torch.empty(0, dtype=torch.int64), -math.inf
    while (left := config.sel_evaluations - reward.evaluations) > 0:
        drawn = torch.stack([_random_subset(rows, reward.budget, randomness) for _ in range(_TOGETHER)])
        scores = reward.judge(drawn[:left]).scores
        if float(scores.max()) > most:
            best, most = drawn[int(scores.argmax())], float(scores.max())
    return best


def swap_search(config: DistillConfig, data: LatentData, reward: SubsetReward) -> Tensor:
    """Local search from ``sel_init``: a random point for a random other one, kept unless it is worse."""
    classes = len(data.class_names)
    rows = class_rows(data.train_y, classes, reward.budget)
    current = choose_points(
        config.sel_init, data.train_x, data.train_y, classes, reward.budget, config.seed
    )  # (C * m,)
    worth = float(reward.judge(current[None]).scores)
    while (left := config.sel_evaluations - reward.evaluations) > 0:
        asked = reward.evaluations
        # As if each were refused: solved together, they cost little more than one.
        swapped = torch.stack(
            [
                _swapped(current, rows, reward.budget, generator(config.seed, "swap search", asked + ahead))
                for ahead in range(min(_AHEAD, left))
            ]
        )
        scores = reward.judge(swapped).scores
        kept = torch.nonzero(scores >= worth)[:1].flatten().tolist()
        # Those behind the first that is kept would never have been asked for.
        reward.evaluations = asked + (kept[0] + 1 if kept else len(swapped))
        for which in kept:
            current, worth = swapped[which], float(scores[which])
    return current


def _swapped(current: Tensor, rows: list[Tensor], budget: int, randomness: torch.Generator) -> Tensor:
    """A random point for another of its class; the same points where that class is chosen whole."""
    slot = int(torch.randint(len(current), (), generator=randomness))
    others = rows[slot // budget]
    others = others[~torch.isin(others, current)]
    changed = current.clone()
    if len(others):
        changed[slot] = others[int(torch.randint(len(others), (), generator=randomness))]
    return changed


def greedy_forward(config: DistillConfig, data: LatentData, reward: SubsetReward) -> Tensor:
    """Point after point, a class at a time: the best of as many random candidates as evaluations allow.

    Where a class has no point yet, its mean stands in. At least one candidate a point is looked at, so very
    few evaluations are exceeded.
    """
    randomness = generator(config.seed, "greedy forward")
    classes = len(data.class_names)
    rows = class_rows(data.train_y, classes, reward.budget)
    means = torch.stack([data.train_x[r].mean(0) for r in rows])  # (C, d)
    each, more = divmod(config.sel_evaluations, classes * reward.budget)
    chosen: list[list[int]] = [[] for _ in rows]
    for place in range(classes * reward.budget):
        own = place % classes
        looked_at = max(1, each + (place < more))
        free = rows[own][~torch.isin(rows[own], torch.tensor(chosen[own], device=rows[own].device))]
        candidates = free[torch.randperm(len(free), generator=randomness)[:looked_at].to(free.device)]
        held = [
            data.train_x[torch.tensor(picks, device=means.device)] if picks else means[c][None]
            for c, picks in enumerate(chosen)
            if picks or c != own
        ]
        labels = [c for c, picks in enumerate(chosen) if picks or c != own for _ in range(max(1, len(picks)))]
        fixed = torch.cat(held).expand(len(candidates), -1, -1)
        points = torch.cat([fixed, data.train_x[candidates][:, None]], 1)  # (S, n, d)
        targets = one_hot(torch.tensor([*labels, own], device=means.device), classes)
        judged = reward.judge_points(points, targets)
        chosen[own].append(int(candidates[int(judged.scores.argmax())]))
    return torch.tensor([row for picks in chosen for row in picks], device=means.device)


def untrained_policy(config: DistillConfig, data: LatentData, reward: SubsetReward) -> Tensor:
    """RL-Selection with the policy left as it starts: what its features do without learning."""
    run = SelectionRun(dataclasses.replace(config, sel_lr=0.0), data)
    while not run.done:
        run.advance()
        run.iteration += 1
    reward.evaluations += run.reward.evaluations
    return run.subset


CONTROLS: dict[str, Control] = {
    "best_of_n": best_of_n,
    "swap_search": swap_search,
    "greedy_forward": greedy_forward,
    "untrained_policy": untrained_policy,
}
"""By name; each takes a selection's configuration, the data, and a reward that counts its evaluations, which
should have the configuration's ``sel_loss_weight``."""


def _random_subset(rows: list[Tensor], budget: int, randomness: torch.Generator) -> Tensor:
    return torch.cat([r[torch.randperm(len(r), generator=randomness)[:budget].to(r.device)] for r in rows])
