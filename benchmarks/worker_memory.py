"""Memory that distilling adds to a Ray worker, against a worker that only imported Ray Tune and torch.

    python benchmarks/worker_memory.py --dataset custom --custom-train-dir DIR

Runs a bare actor and one that holds a trial, each in a process of its own, and prints the resident set
of both. The encoder is trained beforehand where it is not cached.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainables.latent.cache import default_cache
from trainables.latent.config import DataConfig, EncoderConfig, LatentConfig
from tune_dd.flags import add_config, main_guard, parser


def resident_mb() -> float:
    """Resident set of this process, in MB (10^6 bytes)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def peak_mb() -> float:
    """Highest resident set so far of this process, in MB (10^6 bytes)."""
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) * 1024 / 1e6


class Bare:
    """What every worker of a sweep has to import."""

    def measure(self) -> float:
        import ray.tune
        import torch

        torch.zeros(1)
        assert ray.tune
        return resident_mb()


class Distilling:
    """A worker that runs one trial from the start to the end."""

    def measure(self, config: dict[str, Any]) -> float:
        from trainables.latent_distillation import LatentDistillation

        trial = LatentDistillation(config=config)
        while not trial.train()["done"]:
            pass
        return peak_mb()


@main_guard
def main(argv: Sequence[str] | None = None) -> int:
    import ray

    from trainables.latent.latents import prepare_latents

    flags = parser("worker_memory", "Measure the memory of a trial's worker.")
    add_config(flags, DataConfig)
    add_config(flags, EncoderConfig)
    flags.add_flag("--m-per-class", int, "prototypes per class", default=10, at_least=1)
    flags.add_flag("--roundtrip-weight", float, "weight of the cycle term", default=0.0, at_least=0.0)
    flags.add_flag("--cache", str, "folder of encoders", default=str(default_cache()))
    given = flags.parse(argv)
    settings = given.given_for(DataConfig, EncoderConfig)
    settings |= {"m_per_class": given["m_per_class"], "roundtrip_weight": given["roundtrip_weight"]}
    config = LatentConfig.parse(settings)
    cache = Path(given["cache"]).absolute()
    prepare_latents(config.data, config.encoder, cache, print)
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    bare = ray.get(ray.remote(Bare).remote().measure.remote())
    # The peak counts, not the end: a node runs out of memory in the middle.
    distilling = ray.get(
        ray.remote(Distilling).remote().measure.remote({**config.flat(), "cache": str(cache)})
    )
    print(f"bare worker {bare:.0f} MB, distilling at most {distilling:.0f} MB: {distilling - bare:+.0f} MB")
    ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
