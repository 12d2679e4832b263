"""Does RL-Selection choose better real points than its controls? Who takes part."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from trainables.latent.distill_config import DistillConfig
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.initialisation import choose_points
from trainables.latent.latents import LatentData
from trainables.latent.selection.controls import CONTROLS, Control
from trainables.latent.selection.reward import SubsetReward
from trainables.latent.selection.run import SelectionRun
from tune_dd.verdicts.contenders import Contender, Made

_SEARCHES = {
    "best_of_n": "best of N",
    "swap_search": "swap search",
    "greedy_forward": "greedy forward selection",
    "untrained_policy": "the untrained policy",
}
"""Controls that ask for as many rewards, in words."""


def contenders() -> Mapping[str, Contender]:
    """RL-Selection first, then choices without a reward, then searches by the same reward."""
    return {
        "rl_selection": Contender("RL-Selection", _rl_selection),
        "herding": Contender("herding", _choice("herding"), seeded=False),
        "kmeans_medoids": Contender("k-means medoids", _choice("kmeans_medoids")),
        **{name: Contender(words, _search(CONTROLS[name])) for name, words in _SEARCHES.items()},
    }


def _rl_selection(config: DistillConfig, data: LatentData) -> Made:
    run = SelectionRun(config, data)
    while not run.done:  # without the scores that each report of a run takes
        run.advance()
        run.iteration += 1
    return Made(run.distilled(), run.reward.evaluations, run.claimed_accuracy)


def _choice(name: str) -> Callable[[DistillConfig, LatentData], Made]:
    def make(config: DistillConfig, data: LatentData) -> Made:
        classes = len(data.class_names)
        rows = choose_points(name, data.train_x, data.train_y, classes, config.selection_budget, config.seed)
        return Made(_chosen(data, rows), evaluations=0)

    return make


def _search(control: Control) -> Callable[[DistillConfig, LatentData], Made]:
    def make(config: DistillConfig, data: LatentData) -> Made:
        reward = SubsetReward(data, config.selection_budget, config.sel_loss_weight)
        rows = control(config, data, reward)
        evaluations = reward.evaluations
        claimed = float(reward(rows[None]))  # which the search knew, so it is not counted
        return Made(_chosen(data, rows), evaluations, claimed)

    return make


def _chosen(data: LatentData, rows: Tensor) -> DistilledSet:
    return DistilledSet(data.train_x[rows].clone(), data.train_y[rows].clone(), indices=rows.clone())
