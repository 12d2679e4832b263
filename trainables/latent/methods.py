"""Every method's run, by the configuration that names it."""

from __future__ import annotations

from trainables.latent.config import DistillConfig
from trainables.latent.latents import LatentData
from trainables.latent.prototypes.run import PrototypeRun
from trainables.latent.run import Run
from trainables.latent.selection.run import SelectionRun


def start_run(config: DistillConfig, data: LatentData) -> Run:
    """The run of ``config.method``, at its start.

    Raises:
        InputError: if the data has too few points for it, or lacks a decoder that it needs.
    """
    return (SelectionRun if config.selects else PrototypeRun)(config, data)
