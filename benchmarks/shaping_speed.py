"""How many episodes RL-Shaping plays in a CPU minute, and what an episode's time goes into.

    python benchmarks/shaping_speed.py --dataset digits
    python benchmarks/shaping_speed.py --dataset custom --custom-train-dir DIR --m-per-class 1 10

The encoder is trained first, where it is not cached, and not counted. CPU seconds of this process, on one
thread.
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
    flags.add_flag("--batches", int, "batches of episodes that are timed", default=3, at_least=1)
    flags.add_flag("--cache", str, "folder of encoders", default=str(default_cache()))
    given = flags.parse(argv)
    config = LatentConfig.parse(given.given_for(DataConfig, EncoderConfig))
    data = prepare_latents(config.data, config.encoder, Path(given["cache"]), print)
    torch.set_num_threads(1)
    for m in given["m_per_class"]:
        distill = DistillConfig(method="rl_shaping", m_per_class=m, roundtrip_weight=0.5)
        print(f"{m} per class: {_words(distill, data, given['batches'])}", flush=True)
    return 0


def _words(distill: DistillConfig, data: LatentData, batches: int) -> str:
    run = ShapingRun(distill, data)
    start_s, task_s = _timed(run.train_start), _timed(run.open_task)
    task, n = run.open_task(), distill.shape_batch
    actions = torch.randn(n, task.decisions, len(task.terms), generator=generator(0, "benchmark"))
    play_s = sorted(_timed(lambda: task.play(actions)) for _ in range(batches))[batches // 2]
    judge_s = _timed(lambda: task.judge(task.begin(n)))
    return (
        f"{60 * n / play_s:.0f} episodes a CPU minute ({play_s / n:.3f} s each, of it the reward "
        f"{judge_s / n:.3f} s), after {start_s:.1f} s of training the start and {task_s:.1f} s of Jacobians"
    )


def _timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    sys.exit(main())
