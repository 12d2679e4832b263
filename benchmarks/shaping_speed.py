"""How many episodes RL-Shaping plays a minute, and what an episode's time goes into.

    python benchmarks/shaping_speed.py --dataset digits
    python benchmarks/shaping_speed.py --dataset custom --custom-train-dir DIR --m-per-class 1 10
    python benchmarks/shaping_speed.py ... --device cuda --shape-batch 512

The encoder is trained first, where it is not cached, and not counted. On a CPU, its seconds of this process,
on one thread; on a GPU, seconds by the clock, as it works on while this process waits.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from trainables.latent.cache import default_cache
from trainables.latent.config import DataConfig, EncoderConfig, LatentConfig
from trainables.latent.distill_config import DistillConfig
from trainables.latent.latents import LatentData, prepare_latents
from trainables.latent.shaping.run import ShapingRun
from trainables.seeds import generator
from tune_dd.flags import add_config, main_guard, parser


@main_guard
def main(argv: Sequence[str] | None = None) -> int:
    flags = parser("shaping_speed", "Time the episodes of RL-Shaping.")
    add_config(flags, DataConfig)
    add_config(flags, EncoderConfig)
    flags.add_flag("--m-per-class", int, "prototypes per class", default=(1, 10), many=True, at_least=1)
    flags.add_flag(
        "--shape-batch", int, "episodes side by side", default=DistillConfig().shape_batch, at_least=2
    )
    flags.add_flag("--batches", int, "batches of episodes that are timed", default=3, at_least=1)
    flags.add_flag("--cache", str, "folder of encoders", default=str(default_cache()))
    given = flags.parse(argv)
    config = LatentConfig.parse(given.given_for(DataConfig, EncoderConfig))
    data = prepare_latents(config.data, config.encoder, Path(given["cache"]), print)
    torch.set_num_threads(1)
    for m in given["m_per_class"]:
        distill = DistillConfig(
            method="rl_shaping", m_per_class=m, roundtrip_weight=0.5, shape_batch=given["shape_batch"]
        )
        print(f"{m} per class: {_words(distill, data, given['batches'])}", flush=True)
    return 0


def _words(distill: DistillConfig, data: LatentData, batches: int) -> str:
    run = ShapingRun(distill, data)
    gpu = data.codec is not None and data.codec.device.type == "cuda"
    start_s, task_s = _timed(run.train_start, gpu), _timed(run.open_task, gpu)
    task, n = run.open_task(), distill.shape_batch
    noise = torch.randn(n, task.decisions, len(task.terms), generator=generator(0, "benchmark"))
    actions = noise.to(task.centre)
    play_s = sorted(_timed(lambda: task.play(actions), gpu) for _ in range(batches))[batches // 2]
    judge_s = _timed(lambda: task.judge(task.begin(n)), gpu)
    minute = "minute on the GPU" if gpu else "CPU minute"
    return (
        f"{60 * n / play_s:.0f} episodes a {minute} ({play_s / n:.3f} s each, of it the reward "
        f"{judge_s / n:.3f} s), after {start_s:.1f} s of training the start and {task_s:.1f} s of Jacobians"
    )


def _timed(work: Callable[[], object], gpu: bool) -> float:
    clock = time.perf_counter if gpu else time.process_time
    started = clock()
    work()
    if gpu:
        torch.cuda.synchronize()
    return clock() - started


if __name__ == "__main__":
    sys.exit(main())
