"""What scores of images tell and cost: the README's lines on ``evaluate --pixel``.

    python benchmarks/pixel_scores.py --dataset digits
    python benchmarks/pixel_scores.py --dataset custom --custom-train-dir DIR --m-per-class 10 --n-seeds 1

Prints, for each number of points per class and each kind of set, accuracies in percent on the selection
half of validation (no test data are read), mean over seeds: of the probe, of the probe in another encoder,
and of the networks that learned from the images alone, with the CPU seconds of training these two for one
set.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from trainables.latent.cache import default_cache
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.controls import control_sets
from trainables.latent.cross_encoder import decoded_images, fit_cross_probe, real_images
from trainables.latent.distill_config import DistillConfig
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.latents import LatentData, prepare_latents
from trainables.latent.methods import start_run
from trainables.latent.pixel_recipe import PIXEL_PASSES, PixelRecipe, pixel_augmentation
from trainables.latent.pixel_training import pixel_scores, predict_images, train_pixel_networks
from trainables.latent.probe import LinearClassifier, accuracy, fit_probe
from trainables.latent.real_images import RealImages, load_real_images
from tune_dd.flags import add_config, main_guard, parser
from tune_dd.runs.folder import versions, write_json
from tune_dd.runs.score_table import aligned

CONTROLS = ("random", "herding", "kmeans_centroids", "closed_form")
COLUMNS = ("probe_accuracy", "cross_encoder_accuracy", "pixel_accuracy", "pixel_accuracy_mlp")
HEADINGS = ("", "probe", "other encoder", "ConvNet", "MLP", "CPU s")


@main_guard
def main(argv: Sequence[str] | None = None) -> int:
    flags = parser("pixel_scores", "Score sets by their images, and tell what that costs.")
    add_config(flags, DataConfig)
    add_config(flags, EncoderConfig)
    flags.add_flag("--m-per-class", int, "points per class", default=(1, 10), many=True, at_least=1)
    flags.add_flag("--n-seeds", int, "seeds per row", default=3, at_least=1)
    flags.add_flag("--pixel-passes", int, "passes over the images", default=PIXEL_PASSES, at_least=1)
    flags.add_flag("--out", str, "folder of the figures", default="results/benchmark-pixel-scores")
    flags.add_flag("--cache", str, "folder of encoders", default=str(default_cache()))
    given = flags.parse(argv)
    torch.set_num_threads(1)
    config, cache = DataConfig(**given.given_for(DataConfig)), Path(given["cache"])
    encoder = EncoderConfig(**given.given_for(EncoderConfig))
    another = dataclasses.replace(encoder, encoder_seed=encoder.encoder_seed + 1)
    data, other = (prepare_latents(config, one, cache, _progress) for one in (encoder, another))
    real = load_real_images(config, cache, _progress)
    recipe = PixelRecipe(given["pixel_passes"], pixel_augmentation(config, encoder))
    figures = {}
    for m in given["m_per_class"]:
        runs: dict[str, list[dict[str, float]]] = {}
        for seed in range(given["n_seeds"]):
            for name, distilled in _sets(data, m, seed):
                runs.setdefault(name, []).append(_scores(distilled, data, other, real, recipe, seed))
        rows = {
            name: {key: float(np.mean([r[key] for r in found])) for key in found[0]}
            for name, found in runs.items()
        }
        lines = [
            [name, *(f"{100 * row[c]:.1f}" for c in COLUMNS), f"{row['cpu_s']:.1f}"]
            for name, row in rows.items()
        ]
        print(f"{m} per class\n" + "\n".join(aligned([list(HEADINGS), *lines])) + "\n", flush=True)
        figures[str(m)] = runs
    out = Path(given["out"])
    out.mkdir(parents=True, exist_ok=True)
    content = {"figures": figures, "recipe": dataclasses.asdict(recipe), "versions": versions()}
    write_json(out / "pixel_scores.json", content)
    return 0


def _sets(data: LatentData, m: int, seed: int) -> Iterator[tuple[str, DistilledSet]]:
    for name, distilled in control_sets(data, m, seed, soft_labels=False):
        if name in CONTROLS:
            yield name, distilled
    for weight in (0.0, 0.5):
        run = start_run(DistillConfig(m_per_class=m, seed=seed, roundtrip_weight=weight), data)
        while not run.done:
            run.step()
        yield "implicit" + (f", cycle term {weight}" if weight else ""), run.distilled()


def _scores(
    distilled: DistilledSet,
    data: LatentData,
    other: LatentData,
    real: RealImages,
    recipe: PixelRecipe,
    seed: int,
) -> dict[str, float]:
    rows = distilled.indices
    images = decoded_images(distilled, data) if rows is None else real_images(real.at(rows.numpy()))
    targets = distilled.targets(len(data.class_names))
    probe = fit_probe(distilled.x, targets, data.reward_x, data.reward_y)
    cross = fit_cross_probe(images, targets, other)
    started = time.process_time()
    networks = train_pixel_networks(images, targets, recipe, seed)
    cpu_s = time.process_time() - started
    unseen = real.of_selection_half()
    predicted = {name: predict_images(network, unseen) for name, network in networks.items()}
    return {
        "probe_accuracy": _on_selection(probe, data),
        "cross_encoder_accuracy": _on_selection(cross, other),
        **pixel_scores(predicted, data.selection_y),
        "cpu_s": cpu_s,
    }


def _on_selection(probe: LinearClassifier, data: LatentData) -> float:
    return accuracy(probe.predict(data.selection_x), data.selection_y)


def _progress(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
