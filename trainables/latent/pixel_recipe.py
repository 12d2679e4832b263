"""How fresh networks are trained on a distilled set's images.

The recipe is that of the field's evaluation: stochastic gradient descent with momentum 0.9 and weight decay
0.0005 from a rate of 0.01, a tenth of it in the second half, cross-entropy. Its batches are smaller and its
passes fewer than the usual 256 images and 300 to 1,000 passes: as many steps for the images that a CPU
has time for. Images are shifted, and mirrored where the encoder's are, and nothing else.

Paper: Zhao, Mopuri & Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021, section 4.1, with the
schedule of its code (``evaluate_synset``); Cui et al., "DC-BENCH", NeurIPS 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainables.latent.config import DataConfig, EncoderConfig

PIXEL_PASSES = 100
"""Passes over a set's images, unless told otherwise."""
LEARNING_RATE, LAST_RATE = 0.01, 0.001
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
BATCH = 32


@dataclass(frozen=True)
class PixelRecipe:
    """What of the training is not fixed.

    Attributes:
        passes: over the set's images, from 1.
        augment: "none", "shift" or "shift-flip"; see :func:`~trainables.latent.minibatches.augment`.
    """

    passes: int = PIXEL_PASSES
    augment: str = "shift"


def pixel_augmentation(data: DataConfig, encoder: EncoderConfig) -> str:
    """How images are augmented: as ``--augment`` says, by itself shifted, and mirrored unless digits."""
    if encoder.augment != "auto":
        return encoder.augment
    return "shift" if data.dataset == "digits" else "shift-flip"
