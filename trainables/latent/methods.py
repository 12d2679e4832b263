"""Every method's run, by the configuration that names it."""

from __future__ import annotations

from trainables.latent.config import DistillConfig
from trainables.latent.image_scorer import ImageScorer
from trainables.latent.latents import LatentData
from trainables.latent.prototypes.run import PrototypeRun
from trainables.latent.run import Run
from trainables.latent.selection.run import SelectionRun


def start_run(config: DistillConfig, data: LatentData, images: ImageScorer | None = None) -> Run:
    """The run of ``config.method``, at its start.

    Args:
        images: scores the set's images, too, in every report.

    Raises:
        InputError: if the data has too few points for it, or lacks a decoder that it needs.
    """
    run: Run = (SelectionRun if config.selects else PrototypeRun)(config, data)
    run.images = images
    return run
