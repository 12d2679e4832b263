"""The questions that a verdict answers: which RL method, against what, and what both may spend.

Words and numbers alone, so that ``--help`` needs no torch; contenders are imported when they are wanted. A
new question is a module with its contenders, and an entry of :data:`QUESTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainables.latent.distill_config import DistillConfig

if TYPE_CHECKING:
    from tune_dd.verdicts.contenders import Contender


_UPDATES = 8
_SMALLEST_BATCH = 8


@dataclass(frozen=True)
class Question:
    """One RL method and the controls that it has to beat.

    Attributes:
        name: as ``--questions`` takes it.
        method: the RL method in words, as sentences name it.
        rl: the contender that is compared with all others.
        contenders: makes them all by name; imports what they need.
        objectives: scores that they are compared by, keys of
            :data:`~tune_dd.verdicts.objectives.OBJECTIVES`; the first is what rewards claim to be.
        needs_images: whether all objectives need a decoder, so that features cannot be asked about.
        configure: a contender's settings for points per class and a number of what is counted.
        flag: sets that number.
        budgets: points per class for which it is asked, unless the flag says otherwise.
        counted: one of what is counted, in words.
        count: how many, unless the flag says otherwise.
    """

    name: str
    method: str
    rl: str
    contenders: Callable[[], Mapping[str, Contender]]
    objectives: tuple[str, ...]
    needs_images: bool
    configure: Callable[[int, int], DistillConfig]
    flag: str
    budgets: tuple[int, ...]
    counted: str
    count: int

    @property
    def count_name(self) -> str:
        """The flag as a field's name."""
        return self.flag.removeprefix("--").replace("-", "_")


def _selection_config(budget: int, count: int) -> DistillConfig:
    return DistillConfig(method="rl_selection", m_per_class=budget, sel_evaluations=count)


def _selection_contenders() -> Mapping[str, Contender]:
    from tune_dd.verdicts.selection import contenders

    return contenders()


def _shaping_config(budget: int, count: int) -> DistillConfig:
    # As many updates whatever the number, as far as batches are neither too small to learn from (then there
    # are fewer) nor slow to play (more); two batches at least, or what was learned would never be played.
    batch = min(max(count // _UPDATES, _SMALLEST_BATCH), DistillConfig.shape_batch)
    batch = max(min(batch, count // 2), 2)
    return DistillConfig(
        method="rl_shaping",
        m_per_class=budget,
        roundtrip_weight=0.5,
        shape_episodes=count,
        shape_batch=batch,
    )


def _shaping_contenders() -> Mapping[str, Contender]:
    from tune_dd.verdicts.shaping import contenders

    return contenders()


QUESTIONS = {
    question.name: question
    for question in (
        Question(
            name="selection",
            method="RL-Selection",
            rl="rl_selection",
            contenders=_selection_contenders,
            objectives=("probe_accuracy",),
            needs_images=False,
            configure=_selection_config,
            flag="--evaluations",
            budgets=(1, 10),
            counted="reward evaluation",
            count=128,
        ),
        Question(
            name="shaping",
            method="RL-Shaping",
            rl="rl_shaping",
            contenders=_shaping_contenders,
            objectives=("roundtrip_accuracy", "cross_encoder_accuracy"),
            needs_images=True,
            configure=_shaping_config,
            flag="--episodes",
            budgets=(10,),
            counted="episode",
            count=64,
        ),
    )
}
