"""What the convolutional encoder costs and gives on CIFAR-10 in folders, as ``--dataset custom`` takes it.

    python benchmarks/cifar_encoder.py --train-dir cifar10/train --cache /tmp/cache

Prints the CPU seconds of the encoder's training (all threads, imports not counted), how well its head does on
the reward half of validation and the full-data probe on both, how far decoding and encoding again moves a
latent, and what opening the cached entry takes. Test data are not read.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.full_probe import full_probe
from trainables.latent.latents import prepare_latents
from trainables.latent.probe import accuracy


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train-dir", required=True, help="folder of class folders of images", metavar="DIR")
    parser.add_argument("--cache", required=True, type=Path, help="cache folder", metavar="DIR")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads")
    parser.add_argument("--encoder-seed", type=int, default=0, help="seed of the encoder (default: 0)")
    args = parser.parse_args()
    data_config = DataConfig(dataset="custom", custom_train_dir=args.train_dir)
    encoder_config = EncoderConfig(encoder_threads=args.threads, encoder_seed=args.encoder_seed)

    cpu_start = time.process_time()
    data = prepare_latents(data_config, encoder_config, args.cache, lambda line: print(line, flush=True))
    prepared_cpu_s = time.process_time() - cpu_start
    cpu_start = time.process_time()
    prepare_latents(data_config, encoder_config, args.cache, print)
    opened_cpu_s = time.process_time() - cpu_start

    training = data.provenance["training"]
    assert isinstance(training, dict)
    print(f"encoder: {training['cpu_s']:.0f} CPU seconds of training, {training['threads']} threads")
    print(
        f"prepared in {prepared_cpu_s:.0f} CPU seconds (0 where it was cached), opened in {opened_cpu_s:.2f}"
    )
    print(f"head on the reward half: {training['head_accuracy']:.4f}")
    assert data.codec is not None
    probe = full_probe(data)
    print(f"full-data probe on the reward half: {accuracy(probe.predict(data.reward_x), data.reward_y):.4f}")
    direct = accuracy(probe.predict(data.selection_x), data.selection_y)
    print(f"full-data probe on the selection half: {direct:.4f}")
    again = data.codec.encode(data.codec.decode(data.selection_x))  # (n, d)
    moved = float((again - data.selection_x).square().mean())
    kept = accuracy(probe.predict(again), data.selection_y)
    print(f"the same, decoded and encoded again: {kept:.4f}, moved by {moved:.3f} a dimension")


if __name__ == "__main__":
    main()
