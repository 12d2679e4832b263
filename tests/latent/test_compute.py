"""Which device computes, in which arithmetic, and how several GPUs share a batch. No GPU is needed here."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from trainables.latent.compute import LEAST_SHARE, Compute, sharing_gpus, trial_device
from trainables.latent.conv_encoder import ConvEncoder
from trainables.latent.encoder_training import TrainingForward
from trainables.latent.encoders import PROBE_EVERY, TrainingOutputs


def test_each_gpu_gets_a_fair_share_of_any_batch() -> None:
    for batch_size in range(2, 300):
        for gpus in range(1, 10):
            count = sharing_gpus(batch_size, gpus)
            shares = [len(share) for share in torch.arange(batch_size).chunk(count)]  # as DataParallel does
            assert len(shares) == count <= gpus
            assert count == 1 or min(shares) >= LEAST_SHARE
    assert [sharing_gpus(128, gpus) for gpus in (0, 1, 2, 8, 9)] == [1, 1, 2, 8, 8]
    assert [sharing_gpus(batch_size, 8) for batch_size in (2, 31, 32, 63)] == [1, 1, 2, 3]


@pytest.mark.parametrize("batch_size", [64, 70, 77])
def test_a_shared_batch_is_encoded_whole(batch_size: int) -> None:
    network = ConvEncoder(8, (1, 8, 8), 3).eval()
    images, noise = torch.rand(batch_size, 1, 8, 8), torch.randn(batch_size, 8)
    whole: TrainingOutputs = network(images, noise, None)
    shares = zip(images.chunk(4), noise.chunk(4), strict=True)
    outputs = [network(*share, None) for share in shares]

    def gathered(name: str) -> Tensor:
        return torch.cat([getattr(output, name) for output in outputs])

    for name in ("latents", "reconstructions", "logits"):
        torch.testing.assert_close(gathered(name), getattr(whole, name))
    assert len(gathered("probes")) == len(gathered("probe_images")) >= batch_size // PROBE_EVERY


def test_probes_are_spread_over_the_batch() -> None:
    network = ConvEncoder(8, (1, 8, 8), 3).eval()
    images, noise = torch.rand(20, 1, 8, 8), torch.randn(20, 8)
    outputs = network(images, noise, None)
    rows = torch.tensor([0, 8, 16])
    torch.testing.assert_close(outputs.probes, outputs.latents[rows].detach() + noise[rows])


def test_every_thread_computes_in_the_chosen_arithmetic() -> None:
    """Autocast is a thread's own, and DataParallel runs a thread for each GPU."""
    compute = Compute(torch.device("cpu"), torch.bfloat16, threads=1, gpus=1)
    forward = TrainingForward(ConvEncoder(8, (1, 8, 8), 3), compute)
    found: list[torch.dtype] = []
    thread = threading.Thread(
        target=lambda: found.append(forward(torch.rand(4, 1, 8, 8), None, None).logits.dtype)
    )
    thread.start()
    thread.join()
    assert found == [torch.bfloat16]


@pytest.mark.parametrize(
    ("device", "share", "expected"),
    [
        ("auto", 0.0, "cpu"),
        ("auto", 0.25, "auto"),
        ("cpu", 1.0, "cpu"),
        ("cuda", 0.0, "cuda"),
        ("cuda:1", 0.0, "cuda:1"),
        ("cuda:1", 0.5, "cuda"),
        ("cuda", 2.0, "cuda"),
    ],
)
def test_a_trial_keeps_to_the_gpus_it_was_given(device: str, share: float, expected: str) -> None:
    assert trial_device(device, share) == expected
