"""An own classifier, trained on a distilled set of latents alone and scored on real validation latents.

tune-dd distill
python examples/train_on_prototypes.py results/runs/digits/conv/implicit-m10-s0
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tune_dd import load_distilled
from tune_dd.using.latent_points import LatentPoints


def trained(x: Tensor, y: Tensor, classes: int, seed: int) -> nn.Module:
    """A small network of one's own.

    Args:
        x: (n, d) latents.
        y: (n,) classes, or (n, classes) probabilities: ``cross_entropy`` takes both.
    """
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(x.shape[1], 128), nn.ReLU(), nn.Linear(128, classes))
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(200):
        loss = F.cross_entropy(network(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


@torch.no_grad()
def accuracy(network: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of the latents (k, d) whose class (k,) the network tells."""
    return float((network(x).argmax(1) == y).float().mean())


def main() -> None:
    """Learn from the set, and for comparison from all real latents."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    flags.add_argument("place", help="a run's folder, or its distillation_artifacts.pt")
    flags.add_argument("--set", help="which of several sets")
    flags.add_argument("--cache", type=Path, help="folder of encoders, if it is not the usual one")
    flags.add_argument("--seed", type=int, default=0, help="of the network")
    asked = flags.parse_args()
    points = load_distilled(asked.place, asked.set)
    if not isinstance(points, LatentPoints):
        raise SystemExit(f"{asked.place} is a distilled environment: see act_after_one_step.py")
    real = points.open_latents(asked.cache)
    # Prototypes and penalties are chosen without the selection half of validation.
    unseen, classes = (real.selection_x, real.selection_y), len(points.class_names)
    for name, x, y in ((points.name, points.x, points.y), ("all real data", real.train_x, real.train_y)):
        found = accuracy(trained(x, y, classes, asked.seed), *unseen)
        print(f"{name}: {len(x)} latents teach {100 * found:.1f}% of {len(unseen[1])} others")


if __name__ == "__main__":
    main()
