"""From an encoder's settings to its network: what was left open is decided here."""

from __future__ import annotations

import dataclasses

import torch

from trainables.errors import InputError
from trainables.latent.compute import SMALL_IMAGE_PIXELS
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.conv_encoder import ConvEncoder
from trainables.latent.encoders import LatentNetwork, Shape
from trainables.latent.pool import PoolFacts
from trainables.latent.splits import val_fraction
from trainables.seeds import derive_seed

IMAGES_SEEN, MAX_EPOCHS = 300_000, 30


def resolve(config: EncoderConfig, data: DataConfig, facts: PoolFacts) -> EncoderConfig:
    """Replace every ``None`` and "auto" that matters to the result by what it stands for.

    ``device``, ``precision`` and ``encoder_threads`` stay: they depend on the machine.

    Raises:
        InputError: features with an image backbone or the other way round, or of one column.
    """
    if (config.backbone == "identity") != (len(facts.item_shape) == 1):
        raise InputError(
            f"--backbone is {config.backbone} with --dataset {data.dataset}",
            "features go with the identity backbone, images with the others",
            "leave --backbone out for features, or choose conv, resnet18 or vit_b_16 for images",
        )
    if config.backbone == "identity":
        if facts.item_shape[0] < 2:
            raise InputError(
                f"the features of {data.features_train} have 1 column",
                "they must have at least 2",
                "give features of shape (n, d) with d of 2 or more",
            )
        return EncoderConfig(backbone="identity", latent_dim=facts.item_shape[0], ae_epochs=1, augment="none")
    height, width = facts.item_shape[:2]
    n_train = facts.n_items * (1 - val_fraction(data, facts.n_items))
    augment, training, size = config.augment, config.training, config.backbone_size
    if augment == "auto":
        augment = "shift" if data.dataset == "digits" else "shift-flip"
    if training == "auto":
        training = "full" if config.weights == "none" else "frozen"
    if config.backbone != "conv":
        from trainables.latent.torchvision_encoders import backbone_size

        size = backbone_size(config.backbone, size, config.weights, image_shape(facts.item_shape))
    return dataclasses.replace(
        config,
        latent_dim=config.latent_dim or (32 if height * width < SMALL_IMAGE_PIXELS else 128),
        ae_epochs=config.ae_epochs or min(max(round(IMAGES_SEEN / n_train), 1), MAX_EPOCHS),
        augment="none" if training == "frozen" else augment,
        training=training,
        backbone_size=None if config.backbone == "conv" else size,
    )


def image_shape(item_shape: tuple[int, ...]) -> Shape:
    """(H, W, C) of a stored image -> (C, H, W) of a network's."""
    height, width, channels = item_shape
    return channels, height, width


def build_network(config: EncoderConfig, shape: Shape, n_classes: int) -> LatentNetwork:
    """The network of a resolved config, its parameters drawn from ``config.encoder_seed``.

    Pretrained weights are not loaded: see :func:`start_from_weights`.
    """
    assert config.latent_dim is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(config.encoder_seed, "encoder initialisation"))
        if config.backbone == "conv":
            network: LatentNetwork = ConvEncoder(config.latent_dim, shape, n_classes)
        else:
            from trainables.latent.torchvision_encoders import TorchvisionEncoder

            assert config.backbone_size is not None
            network = TorchvisionEncoder(
                config.backbone, config.backbone_size, config.latent_dim, shape, n_classes
            )
    return network.to(memory_format=torch.channels_last)


def start_from_weights(network: LatentNetwork, config: EncoderConfig) -> None:
    """Load what ``config.weights`` names, and freeze it where ``config.training`` says so.

    Raises:
        InputError: the weights cannot be had or do not fit.
    """
    if config.weights == "none":
        return
    from trainables.latent.torchvision_encoders import TorchvisionEncoder, load_weights

    assert isinstance(network, TorchvisionEncoder)  # EncoderConfig refuses weights for the others
    load_weights(network, config.backbone, config.weights)
    if config.training == "frozen":
        network.backbone.requires_grad_(False)
