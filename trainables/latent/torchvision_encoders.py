"""torchvision's resnet18 and vit_b_16 behind the interface of all encoders."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.errors import InputError
from trainables.latent.encoders import LatentNetwork, Shape
from trainables.tensor_files import load_tensors

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PRETRAINED_SIZE = 224
LEAST_SIZE = 64
VIT_PATCH = 16
_FEATURE_DIM = {"resnet18": 512, "vit_b_16": 768}
_CLASSIFIER = {"resnet18": "fc", "vit_b_16": "heads"}


class TorchvisionEncoder(LatentNetwork):
    """A torchvision backbone, its classifier replaced by a projection to the latent.

    Images are resized on the device to ``size`` pixels a side, given three channels and ImageNet's mean
    and deviation.

    Args:
        backbone: "resnet18" or "vit_b_16".
        size: pixels a side that the backbone sees (a multiple of 16 for vit_b_16).
        latent_dim: size of a latent.
        shape: (C, H, W) of the images.
        n_classes: outputs of the head.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: str, size: int, latent_dim: int, shape: Shape, n_classes: int) -> None:
        super().__init__(_FEATURE_DIM[backbone], latent_dim, shape, n_classes)
        self.size = size
        self.backbone = _bare_backbone(backbone, size)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def features(self, images: Tensor) -> Tensor:
        if images.shape[2:] != (self.size, self.size):
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        images = (images.expand(-1, 3, -1, -1) - self.mean) / self.std  # (n, 3, size, size)
        return self.backbone(images.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]


def backbone_size(backbone: str, wanted: int | None, weights: str, shape: Shape) -> int:
    """Pixels a side that the backbone is to see.

    Raises:
        InputError: ``wanted`` is not one that vit_b_16 takes.
    """
    if wanted is None:
        if weights != "none":
            return PRETRAINED_SIZE
        side = max(LEAST_SIZE, *shape[1:])
        return -(-side // VIT_PATCH) * VIT_PATCH if backbone == "vit_b_16" else side
    if backbone == "vit_b_16" and wanted % VIT_PATCH:
        raise InputError(
            f"--backbone-size is {wanted}",
            f"vit_b_16 takes multiples of {VIT_PATCH}",
            f"give {max(1, wanted // VIT_PATCH) * VIT_PATCH}",
        )
    return wanted


def load_weights(network: TorchvisionEncoder, backbone: str, weights: str) -> None:
    """Start the backbone from weights.

    Args:
        network: its backbone is changed in place.
        backbone: "resnet18" or "vit_b_16".
        weights: "default", or the path of a state dict as torchvision's; its classifier is not read.

    Raises:
        InputError: they cannot be had, cannot be read, or are another network's.
    """
    state = _downloaded(backbone) if weights == "default" else _state_dict_file(Path(weights))
    classifier = _CLASSIFIER[backbone]
    state = {name: value for name, value in state.items() if not name.startswith(classifier + ".")}
    own = network.backbone.state_dict()
    if backbone == "vit_b_16" and "encoder.pos_embedding" in state:
        state = _resized_positions(state, network.size)
    # Old files lack the counters of batch norm, which nothing here reads.
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    foreign = [name for name in state if name not in own]
    misshapen = [name for name in own if name in state and state[name].shape != own[name].shape]
    for names, what in (
        (missing, "lacks"),
        (foreign, "has beside the network's"),
        (misshapen, "has another shape of"),
    ):
        if names:
            raise InputError(
                f"--weights {weights} {what} '{names[0]}' ({len(names)} such entries)",
                f"it must be a state dict of torchvision's {backbone}",
                "give the file of that network, or change --backbone",
            )
    network.backbone.load_state_dict(state, strict=False)


def _bare_backbone(backbone: str, size: int) -> nn.Module:
    from torchvision import models  # half a second of imports that the conv encoder does without

    if backbone == "resnet18":
        network: nn.Module = models.resnet18(weights=None)
    else:
        network = models.vit_b_16(weights=None, image_size=size)
    setattr(network, _CLASSIFIER[backbone], nn.Identity())
    return network


def _resized_positions(state: dict[str, Tensor], size: int) -> dict[str, Tensor]:
    from torchvision.models.vision_transformer import interpolate_embeddings

    try:
        return dict(interpolate_embeddings(size, VIT_PATCH, state))
    except (ValueError, IndexError):  # not a position embedding at all; the comparison of shapes says so
        return state


def _downloaded(backbone: str) -> dict[str, Tensor]:
    from torchvision import models

    weights = {"resnet18": models.ResNet18_Weights, "vit_b_16": models.ViT_B_16_Weights}[backbone].DEFAULT
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash is a RuntimeError
        raise InputError(
            f"--weights default cannot be downloaded ({error})",
            f"{weights.url} must be reachable",
            "fetch that file elsewhere and give it as --weights PATH",
        ) from error


def _state_dict_file(path: Path) -> dict[str, Tensor]:
    state = load_tensors(path)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(
            f"--weights {path} holds no plain state dict",
            "it must map names to tensors",
            "save model.state_dict() to it",
        )
    return state
