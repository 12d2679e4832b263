"""Two scores of a latent sweep at once: which ones, and what does not go with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.errors import InputError
from tune_dd.sweeps.axes import Axis

if TYPE_CHECKING:
    from tune_dd.sweeps.latent.settings import LatentSweep

ACCURACY_BYTES, ACCURACY_ROUNDTRIP = "accuracy-bytes", "accuracy-roundtrip"
AGAINST = {
    ACCURACY_BYTES: Axis("size_bytes", higher=False, logarithmic=True),
    ACCURACY_ROUNDTRIP: Axis("roundtrip_accuracy"),
}
"""The score beside the objective."""


def check_front(config: LatentSweep) -> None:
    """Hold ``--pareto`` against the other settings.

    Raises:
        InputError: if they do not go together.
    """
    given = f"with --pareto {config.pareto}"
    if config.scheduler == "asha":
        raise InputError(
            f"--scheduler is asha {given}",
            "of two scores neither says which trial is the worse one",
            "leave it out, or choose --scheduler none",
        )
    if config.pareto == ACCURACY_ROUNDTRIP:
        if config.objective == "roundtrip_accuracy":
            raise InputError(
                f"--objective is {config.objective} {given}", "it is the other score", "leave it out"
            )
        if "features" in config.datasets:
            raise InputError(
                f"--pareto is {config.pareto} with --datasets features",
                "features have no decoder, so there is no round trip",
                f"choose --pareto {ACCURACY_BYTES}",
            )
        return
    if config.searcher == "grid":
        raise InputError(
            f"--searcher is grid {given}",
            "the grid does not choose among numbers of points",
            "choose --searcher random, or leave --pareto out",
        )
    if len(config.sizes) < 2:
        raise InputError(
            f"--prototypes is {' '.join(map(str, config.prototypes))} {given}",
            "there must be several sizes to choose among",
            "give more, such as --prototypes 1 5 10",
        )
