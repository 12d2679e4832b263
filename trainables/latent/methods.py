"""The run that a configuration asks for: learned prototypes, shaped ones, or chosen real points."""

from __future__ import annotations

from trainables.latent.distill_config import DistillConfig
from trainables.latent.image_scorer import ImageScorer
from trainables.latent.latents import LatentData
from trainables.latent.prototypes.run import PrototypeRun
from trainables.latent.run import Run
from trainables.latent.selection.run import SelectionRun
from trainables.latent.shaping.run import ShapingRun


def start_run(config: DistillConfig, data: LatentData, images: ImageScorer | None = None) -> Run:
    """Begin a distillation.

    Args:
        images: scores the set's images, too, in every report.

    Raises:
        InputError: as the run's class says.
    """
    run: Run
    if config.selects:
        run = SelectionRun(config, data)
    else:
        run = (ShapingRun if config.shapes else PrototypeRun)(config, data)
    run.images = images
    return run
