"""Which scores of a set's images are asked for beside the probe's; by themselves none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainables.errors import InputError
from trainables.schema import check_options, option

CROSS_ENCODER = "cross_encoder_accuracy"
"""Of the probe, trained on images as another encoder sees them."""
PIXEL = "pixel_accuracy"
"""Of a network that was trained on images alone."""


@dataclass(frozen=True)
class ImageScoring:
    """Scores of a set's images."""

    pixel_passes: int | None = option(
        None,
        f"passes of a fresh network over a set's images, for --objective {PIXEL} (default: 100)",
        at_least=1,
    )
    cross_encoder_seed: int | None = option(
        None, f"seed of the other encoder, for --objective {CROSS_ENCODER} (default: 100)", at_least=0
    )

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def wanted(self) -> bool:
        return self.pixel_passes is not None or self.cross_encoder_seed is not None

    def refuse_features(self, where: str) -> None:
        """To be asked where features take the place of an encoder.

        Raises:
            InputError: any of these scores is wanted.
        """
        for flag, value in (("pixel", self.pixel_passes), ("cross-encoder-seed", self.cross_encoder_seed)):
            if value is not None:
                raise InputError(
                    f"--{flag} is given for {where}",
                    "features were computed elsewhere, so there is neither a decoder nor an image to score",
                    "leave it out",
                )

    def refuse_own_encoder(self, encoder_seeds: Sequence[int], where: str) -> None:
        """Hold the other encoder's seed against those that sets are made with.

        Raises:
            InputError: it is one of them.
        """
        if self.cross_encoder_seed in encoder_seeds:
            raise InputError(
                f"--cross-encoder-seed is {self.cross_encoder_seed} for {where}",
                "distillation sees the encoder of that seed, so it is no other",
                f"give another one, such as {max(encoder_seeds) + 1}",
            )
