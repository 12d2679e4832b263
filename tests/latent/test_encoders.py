"""Networks: sizes, ranges, fusing, and weights from files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision import models

from trainables.errors import InputError
from trainables.latent.backbones import build_network, resolve, start_from_weights
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.conv_encoder import ConvEncoder
from trainables.latent.encoders import LatentNetwork
from trainables.latent.pool import PoolFacts

SIZES = [(8, 8), (9, 9), (17, 17), (28, 28), (31, 31), (32, 32), (64, 64), (96, 96), (8, 30), (45, 20)]


def trained_a_little(network: LatentNetwork, shape: tuple[int, int, int]) -> LatentNetwork:
    """Batch norms with statistics and scales of their own, as training leaves them."""
    network.train()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        for _ in range(2):
            network(torch.rand(8, *shape), torch.randn(8, network.latent_dim), None)
    return network.eval()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_any_size_goes_in_and_comes_out(size: tuple[int, int], channels: int) -> None:
    shape = (channels, *size)
    network = ConvEncoder(16, shape, 5)
    outputs = network(torch.rand(9, *shape), torch.randn(9, 16), None)
    assert outputs.latents.shape == (9, 16)
    assert outputs.reconstructions.shape == (9, *shape)
    assert outputs.logits.shape == (9, 5)
    assert outputs.probe_images.shape == (2, *shape)
    assert 0 <= outputs.reconstructions.min() <= outputs.reconstructions.max() <= 1


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 33, 21), (3, 64, 64)])
def test_fusing_changes_nothing_but_the_cost(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    network = trained_a_little(ConvEncoder(16, shape, 5), shape)
    images, z = torch.rand(4, *shape), torch.randn(4, 16)
    with torch.no_grad():
        latents, decoded = network.encode(images), network.decoder(z)
        network.fuse()
        torch.testing.assert_close(network.encode(images), latents, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(network.decoder(z), decoded, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())


def test_the_seed_decides_the_parameters_and_leaves_the_global_stream_alone() -> None:
    config = resolve(EncoderConfig(), DataConfig(), PoolFacts("", 1200, (8, 8, 1)))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again = (build_network(config, (1, 8, 8), 10) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("backbone", ["resnet18", "vit_b_16"])
def test_torchvision_backbones_share_the_interface(backbone: str) -> None:
    config = resolve(EncoderConfig(backbone=backbone), DataConfig(), PoolFacts("", 1200, (9, 9, 1)))
    assert config.backbone_size == 64
    network = build_network(config, (1, 9, 9), 4).eval()
    images = torch.rand(2, 1, 9, 9, requires_grad=True)
    z = network.encode(images)
    assert z.shape == (2, config.latent_dim)
    assert network.decoder(z).shape == (2, 1, 9, 9)
    assert network.head(z).shape == (2, 4)
    z.square().sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def resnet_config(weights: Path, **settings: object) -> EncoderConfig:
    encoder = EncoderConfig(backbone="resnet18", weights=str(weights), **settings)  # type: ignore[arg-type]
    return resolve(encoder, DataConfig(), PoolFacts("", 1200, (8, 8, 1)))


def test_weights_come_from_a_file_and_freeze_the_backbone(tmp_path: Path) -> None:
    state = models.resnet18(num_classes=7).state_dict()
    torch.save(state, tmp_path / "w.pt")
    config = resnet_config(tmp_path / "w.pt")
    assert (config.training, config.augment, config.backbone_size) == ("frozen", "none", 224)
    network = build_network(config, (1, 8, 8), 10)
    start_from_weights(network, config)
    found = network.get_submodule("backbone").state_dict()
    assert torch.equal(found["layer3.0.conv1.weight"], state["layer3.0.conv1.weight"])
    trainable = {name.split(".")[0] for name, value in network.named_parameters() if value.requires_grad}
    assert trainable == {"project", "decoder", "head"}


def test_vit_positions_are_resized_to_the_wanted_size(tmp_path: Path) -> None:
    network = models.VisionTransformer(32, 16, 1, 12, 768, 3072)
    encoder = EncoderConfig(backbone="vit_b_16", weights=str(tmp_path / "w.pt"), backbone_size=64)
    config = resolve(encoder, DataConfig(), PoolFacts("", 1200, (8, 8, 1)))
    # One block of twelve: enough to see that the others are missed, after the positions were resized.
    torch.save(network.state_dict(), tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"lacks 'encoder\.layers\.encoder_layer_1"):
        start_from_weights(build_network(config, (1, 8, 8), 10), config)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "w.pt does not exist"),
        (b"not a checkpoint", "w.pt cannot be opened .it was written otherwise"),
        ([1, 2], "holds no plain state dict"),
        ({"conv1.weight": torch.zeros(64, 3, 7, 7)}, "lacks 'bn1.weight'"),
        ("foreign", "has beside the network's 'extra.weight'"),
        ("misshapen", "has another shape of 'conv1.weight'"),
    ],
)
def test_weights_that_cannot_be_used(tmp_path: Path, content: object, words: str) -> None:
    path = tmp_path / "w.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        state = models.resnet18().state_dict()
        state["extra.weight" if content == "foreign" else "conv1.weight"] = torch.zeros(3)
        torch.save(state, path)
    elif content is not None:
        torch.save(content, path)
    config = resnet_config(path)
    network = build_network(config, (1, 8, 8), 10)
    with pytest.raises(InputError, match=words):
        start_from_weights(network, config)


def test_a_size_that_vit_cannot_take_is_refused() -> None:
    encoder = EncoderConfig(backbone="vit_b_16", backbone_size=100)
    with pytest.raises(InputError, match="multiples of 16"):
        resolve(encoder, DataConfig(), PoolFacts("", 1200, (8, 8, 1)))


def test_defaults_follow_the_data() -> None:
    digits = resolve(EncoderConfig(), DataConfig(), PoolFacts("", 1200, (8, 8, 1)))
    assert (digits.latent_dim, digits.augment, digits.training) == (32, "shift", "full")
    cifar = resolve(EncoderConfig(), DataConfig(dataset="cifar10"), PoolFacts("", 50_000, (32, 32, 3)))
    assert (cifar.latent_dim, cifar.augment) == (128, "shift-flip")
    assert digits.ae_epochs is not None
    assert cifar.ae_epochs is not None
    assert digits.ae_epochs > cifar.ae_epochs


def test_features_and_image_backbones_do_not_mix() -> None:
    with pytest.raises(InputError, match="identity"):
        resolve(EncoderConfig(), DataConfig(), PoolFacts("", 100, (64,)))
    with pytest.raises(InputError, match="identity"):
        resolve(EncoderConfig(backbone="identity"), DataConfig(), PoolFacts("", 1200, (8, 8, 1)))
