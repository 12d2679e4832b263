"""The settings of a latent distillation: data, encoder, distilled set.

Frozen dataclasses, because things are shared differently: data by all runs of a sweep, an encoder by all
runs of its cell, a distilled set by nobody; and which scores are taken beside the probe's decides nothing
about the set (:mod:`trainables.latent.image_scoring`). On the outside they are one flat
dict (:class:`LatentConfig`), which is what command lines, search spaces and JSON snapshots hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainables.errors import InputError
from trainables.latent.distill_config import DistillConfig
from trainables.latent.image_scoring import ImageScoring
from trainables.schema import check_options, flag_name, from_flat, option, refuse_unknown

DATASETS = ("digits", "cifar10", "cifar100", "custom", "features")
BACKBONES = ("conv", "resnet18", "vit_b_16", "identity")

DATASET_OF = {
    "custom_train_dir": "custom",
    "custom_test_dir": "custom",
    "override_image_size": "custom",
    "features_train": "features",
    "features_test": "features",
}
"""Settings that one data set alone takes."""


@dataclass(frozen=True)
class DataConfig:
    """Which images (or features), and how they are split."""

    dataset: str = option("digits", "what to distil", choices=DATASETS)
    data_root: str = option("data", "folder that holds cifar10 and cifar100", metavar="DIR")
    download: bool = option(True, "download cifar10 and cifar100 where they are missing")
    custom_train_dir: str | None = option(
        None, "images to distil, DIR/<class>/<image>, for --dataset custom", metavar="DIR"
    )
    custom_test_dir: str | None = option(
        None,
        "test images of the same classes (default: a fifth of the training images is held out)",
        metavar="DIR",
    )
    override_image_size: int | None = option(
        None,
        "resize custom images to this many pixels a side (default: the size of the first image)",
        at_least=8,
        at_most=1024,
    )
    features_train: str | None = option(
        None,
        "precomputed features for --dataset features: .npz with 'features' (n, d) and 'labels' (n,),"
        " or X.npy with X.labels.npy beside it",
        metavar="FILE",
    )
    features_test: str | None = option(
        None, "test features (default: a fifth of the training features is held out)", metavar="FILE"
    )
    split_seed: int = option(0, "seed of the split into train, validation and test", at_least=0)
    val_fraction: float | None = option(
        None,
        "share of the training data kept for validation (default: 0.1, under 10,000 items 0.25)",
        above=0.0,
        at_most=0.5,
    )

    def __post_init__(self) -> None:
        check_options(self)
        for dataset, needed in (("custom", "custom_train_dir"), ("features", "features_train")):
            if self.dataset == dataset and getattr(self, needed) is None:
                flag = flag_name(needed)
                raise InputError(f"{flag} is not given", f"--dataset {dataset} needs it", f"add {flag} PATH")
        for setting, dataset in DATASET_OF.items():
            if self.dataset != dataset and getattr(self, setting) is not None:
                flag = flag_name(setting)
                raise InputError(
                    f"{flag} is given with --dataset {self.dataset}",
                    f"it is read for --dataset {dataset} only",
                    f"add --dataset {dataset} or leave {flag} out",
                )


@dataclass(frozen=True)
class EncoderConfig:
    """The autoencoder with a classifier head whose latents are distilled."""

    backbone: str = option(
        "conv",
        "the encoder; 'identity' (chosen by itself for --dataset features) takes features as they are",
        choices=BACKBONES,
    )
    weights: str = option(
        "none",
        "start of resnet18 and vit_b_16: 'none', 'default' (torchvision's, downloaded) or a state dict file",
        metavar="none|default|PATH",
    )
    training: str = option(
        "auto",
        "train the whole encoder or keep the backbone frozen (auto: frozen where --weights are given)",
        choices=("auto", "full", "frozen"),
    )
    latent_dim: int | None = option(
        None, "size of a latent (default: 32 for images under 256 pixels, otherwise 128)", at_least=2
    )
    ae_epochs: int | None = option(
        None,
        "passes of the encoder over its training images (default: 300,000 images seen, at most 30 passes)",
        at_least=1,
    )
    ae_lr: float = option(2e-3, "peak learning rate of the encoder's training (AdamW, one cycle)", above=0.0)
    ae_batch_size: int = option(128, "images per step of the encoder's training", at_least=2)
    reconstruction_weight: float = option(
        1.0, "weight of the reconstruction error beside the classifier's cross-entropy", at_least=0.0
    )
    cycle_weight: float = option(
        1.0,
        "weight, in the decoder's training, of what decoding and encoding again changes",
        at_least=0.0,
    )
    backbone_size: int | None = option(
        None,
        "pixels a side that resnet18 and vit_b_16 see (default: 224 with weights, else the image's, from 64)",
        at_least=32,
        at_most=1024,
    )
    augment: str = option(
        "auto",
        "random shifts, and flips, of training images (auto: shift for digits, shift-flip otherwise)",
        choices=("auto", "none", "shift", "shift-flip"),
    )
    encoder_seed: int = option(0, "seed of the encoder's initialisation and training", at_least=0)
    encoder_threads: int | None = option(
        None,
        "CPU threads that train the encoder (default: all cores, at most 8; 1 for small images)",
        at_least=1,
    )
    device: str = option(
        "auto",
        "where encoders compute, and rl_shaping's episodes: auto, cpu, cuda or cuda:N; a sweep's trials that"
        " have a share of a GPU take theirs",
        metavar="DEVICE",
    )
    precision: str = option(
        "auto",
        "arithmetic of the encoder (auto: bfloat16 on GPUs and CPUs that compute in it, otherwise float32)",
        choices=("auto", "float32", "bfloat16"),
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.backbone in ("conv", "identity") and self.weights != "none":
            raise InputError(
                f"--weights is '{self.weights}'",
                f"the {self.backbone} backbone has no pretrained weights",
                "leave --weights out, or use --backbone resnet18 or vit_b_16",
            )
        if self.training == "frozen" and self.weights == "none" and self.backbone != "identity":
            raise InputError(
                "--training is frozen with --weights none",
                "a frozen backbone with random weights learns nothing",
                "give --weights default, or --training full",
            )


PARTS: tuple[type, ...] = (DataConfig, EncoderConfig, DistillConfig, ImageScoring)


@dataclass(frozen=True)
class LatentConfig:
    """One latent distillation, whole."""

    data: DataConfig = DataConfig()
    encoder: EncoderConfig = EncoderConfig()
    distill: DistillConfig = dataclasses.field(default_factory=DistillConfig)
    scoring: ImageScoring = dataclasses.field(default_factory=ImageScoring)

    def __post_init__(self) -> None:
        if (self.data.dataset == "features") != (self.encoder.backbone == "identity"):
            raise InputError(
                f"--backbone is {self.encoder.backbone} with --dataset {self.data.dataset}",
                "features go with the identity backbone, images with the others",
                "leave --backbone out for features, or choose conv, resnet18 or vit_b_16 for images",
            )
        if self.encoder.backbone == "identity" and self.distill.roundtrip_weight > 0:
            raise InputError(
                f"--roundtrip-weight is {self.distill.roundtrip_weight} with --dataset features",
                "features have no decoder, so there is no round trip",
                "set it to 0",
            )
        if self.encoder.backbone == "identity":
            self.scoring.refuse_features(f"--dataset {self.data.dataset}")

    @classmethod
    def parse(cls, flat: Mapping[str, Any]) -> LatentConfig:
        """Parse a flat dict, as a search space or a snapshot holds it.

        Raises:
            InputError: for an unknown key or a value against its rule.
        """
        refuse_unknown(flat, PARTS)
        flat = dict(flat)
        if flat.get("dataset") == "features":
            flat.setdefault("backbone", "identity")
        return cls(
            from_flat(DataConfig, flat),
            from_flat(EncoderConfig, flat),
            from_flat(DistillConfig, flat),
            from_flat(ImageScoring, flat),
        )

    def flat(self) -> dict[str, Any]:
        """The inverse of :meth:`parse`: every setting, defaults too."""
        parts = (self.data, self.encoder, self.distill, self.scoring)
        return {key: value for part in parts for key, value in dataclasses.asdict(part).items()}
