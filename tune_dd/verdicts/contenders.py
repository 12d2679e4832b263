"""What takes part in a comparison: a way to make a set, and what it says that it made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trainables.latent.distill_config import DistillConfig
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.latents import LatentData


@dataclass(frozen=True)
class Made:
    """What a contender hands over.

    Attributes:
        distilled: the set.
        evaluations: how often it asked for what its question counts.
        claimed_reward: the accuracy on the reward half, in [0, 1], that the set had by the contender's own
            reward; ``None`` where it has none. The protocol's score of the set is held against it.
        spared_cpu_s: CPU seconds that it would have taken alone, and did not, as what it begins with had been
            made for another contender.
    """

    distilled: DistilledSet
    evaluations: int
    claimed_reward: float | None = None
    spared_cpu_s: float = 0.0


@dataclass(frozen=True)
class Contender:
    """One way to make a set.

    Attributes:
        words: its name in a sentence.
        make: makes a set from settings, the seed among them, and latents.
        seeded: whether the seed matters; what does not depend on it is made once an encoder.
    """

    words: str
    make: Callable[[DistillConfig, LatentData], Made]
    seeded: bool = True
