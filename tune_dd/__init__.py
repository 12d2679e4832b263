"""The sweep: the only code that knows Ray Tune's tuner, searchers, storage and clusters.

:func:`load_distilled` opens what comes out of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch takes a second to import: only once a set is opened
    from os import PathLike

    from trainables.environment.distilled_set import DistilledSet
    from tune_dd.using.latent_points import LatentPoints

__all__ = ["__version__", "load_distilled"]
__version__ = "0.1.0"


def load_distilled(
    place: str | PathLike[str], name: str | None = None, encoder: str | PathLike[str] | None = None
) -> LatentPoints | DistilledSet:
    """Open a distilled set: ``x`` and ``y`` are tensors to train an own model on.

    Args:
        place: a run's ``distillation_artifacts.pt`` or ``distilled_set.pt``, a set of the method's authors,
            or the folder of a run or a trial.
        name: which of several sets of latents, controls among them (default: the one that was learned).
        encoder: a file with a game's encoder, where that is one of its own.

    Returns:
        Of a data set its :class:`~tune_dd.using.latent_points.LatentPoints`: ``x`` (n, d) float32, ``y`` (n,)
        int64 classes, or for soft labels (n, C) float32 probabilities; ``open_latents()`` has the real
        latents and the decoder. Of a task its
        :class:`~trainables.environment.distilled_set.DistilledSet`: ``x`` (B, *observation), ``y``
        (B, actions), both float32, and the ``inner_lr`` of the step.

    Raises:
        InputError: the file cannot be read or is no set, or there is no such set in it, or several; a
            ``ValueError`` in one line.
    """
    from pathlib import Path

    from tune_dd.using.finding import set_file
    from tune_dd.using.opening import open_set

    own_encoder = None if encoder is None else Path(encoder).expanduser()
    return open_set(set_file(str(place)), name, own_encoder)
