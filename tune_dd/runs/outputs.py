"""What a single run leaves behind: summary, artefact file and pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from trainables.latent.artifacts import ARTIFACTS_FILE, SCHEMA_VERSION, Artifacts, save_artifacts
from trainables.latent.config import LatentConfig
from trainables.latent.cross_encoder import decoded_images
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.latents import LatentData
from trainables.latent.pictures import draw_classes, draw_map, draw_schedule
from trainables.latent.real_images import RealImages
from trainables.latent.shaping.schedules import SCHEDULE_FILE, Schedule, write_schedule
from trainables.seeds import generator
from tune_dd.runs.folder import SUMMARY_FILE, experiment_summary, new_run_folder, write_json
from tune_dd.runs.scored_sets import ScoredSet
from tune_dd.sweeps.plurals import counted

MAP_POINTS = 1500
"""Training latents on the t-SNE map: a few seconds' work."""


def write_run(
    folder: Path,
    config: LatentConfig,
    methods: Sequence[str],
    data: LatentData,
    sets: Mapping[str, ScoredSet],
    real: RealImages,
    wall_s: float,
    report: Callable[[str], None],
) -> None:
    """Fill a new run folder; it appears whole or not at all.

    Args:
        folder: the folder to make.
        methods: the learned ones among ``sets``.
        sets: every method's scores and set.
        real: where the selection picture's images come from.
        wall_s: seconds the run took.
        report: told of pictures that cannot be drawn.

    Raises:
        InputError: if the folder exists or cannot be written.
    """
    with new_run_folder(folder) as place:
        distilled = {name: scored.distilled for name, scored in sets.items() if scored.distilled is not None}
        states = {name: scored.state for name, scored in sets.items() if scored.state is not None}
        artifacts = Artifacts(config.flat(), data.class_names, distilled, data.provenance, states)
        save_artifacts(place / ARTIFACTS_FILE, artifacts)
        summary = experiment_summary(
            config=config.flat(),
            methods=list(methods),
            provenance=data.provenance,
            artifact_schema=SCHEMA_VERSION,
            scores={name: scored.scores for name, scored in sets.items()},
            per_class_accuracy={name: scored.recall for name, scored in sets.items()},
            timings={"wall_s": wall_s, "cpu_s": {name: scored.cpu_s for name, scored in sets.items()}},
        )
        write_json(place / SUMMARY_FILE, summary)
        for method in methods:
            suffix = "" if len(methods) == 1 else f"_{method}"
            _draw_method(place, suffix, method, config, data, sets[method], report)
        herding = max((name for name in sets if name.partition("@")[0] == "herding"), key=len)
        for name in (herding, *methods):
            chosen = sets[name].distilled
            if chosen is not None and chosen.indices is not None:
                suffix = f"_{name}" if name in methods else ""
                _draw_selection(place / f"selection{suffix}.png", name, config, sets[name], real, report)


def _draw_method(
    place: Path,
    suffix: str,
    method: str,
    config: LatentConfig,
    data: LatentData,
    scored: ScoredSet,
    report: Callable[[str], None],
) -> None:
    assert scored.distilled is not None
    x, labels = scored.distilled.x, scored.distilled.y.numpy()
    accuracy = f"probe {100 * scored.scores['probe_accuracy']:.1f}% on validation"
    what = f"{config.data.dataset}, {config.encoder.backbone} encoder"
    noun = "prototype" if scored.distilled.indices is None else "chosen point"
    if scored.scores["diverged"]:
        report(f"{method} diverged: no pictures of its prototypes")
        return
    if data.codec is None:
        report("these latents have no decoder: no picture of decoded prototypes")
    else:
        title = f"{method}: {noun}s, decoded"
        _draw_decoded(place / f"prototypes{suffix}.png", scored.distilled, data, title, f"{what}; {accuracy}")
    if scored.state is not None and scored.state.get("schedule") is not None:
        _draw_schedule(place, suffix, scored, config.distill.shape_schedule)
        if data.codec is not None:
            before = dataclasses.replace(scored.distilled, x=scored.state["base"]["x"])
            title = f"{method}: prototypes before the episodes, decoded"
            _draw_decoded(place / f"prototypes_before{suffix}.png", before, data, title, what)
    rows = torch.randperm(len(data.train_x), generator=generator(config.distill.seed, "map"))[:MAP_POINTS]
    draw_map(
        place / f"tsne{suffix}.png",
        data.train_x[rows].numpy(),
        data.train_y[rows].numpy(),
        x.numpy(),
        labels,
        data.class_names,
        f"{what}, {method}: {accuracy}",
        noun=noun,
    )


def _draw_decoded(path: Path, distilled: DistilledSet, data: LatentData, title: str, subtitle: str) -> None:
    with torch.no_grad():
        images = decoded_images(distilled, data).permute(0, 2, 3, 1).numpy()  # (n, C, H, W) -> (n, H, W, C)
    draw_classes(path, images, distilled.y.numpy(), data.class_names, title, subtitle)


def _draw_schedule(place: Path, suffix: str, scored: ScoredSet, given: str | None) -> None:
    """The best episode's schedule, or the ``given`` one that was applied, as a file and over time."""
    assert scored.state is not None
    schedule = Schedule(**scored.state["schedule"])
    path = place / SCHEDULE_FILE
    write_schedule(path.with_stem(f"{path.stem}{suffix}"), schedule)
    start, kept = (100 * scored.scores[f"reward_of_{which}"] for which in ("start", "best"))
    episodes = counted(int(scored.scores["episodes"]), "episode")
    after = f"{kept:.1f}% after" if not scored.note else "no episode was better, so the start is kept"
    draw_schedule(
        place / f"schedule{suffix}.png",
        schedule.terms,
        np.array(schedule.weights),
        schedule.steps,
        f"rl_shaping: loss weights, {f'those of {Path(given).name}' if given else f'the best of {episodes}'}",
        f"reward half {start:.1f}% before, {after}",
    )


def _draw_selection(
    path: Path,
    name: str,
    config: LatentConfig,
    scored: ScoredSet,
    real: RealImages,
    report: Callable[[str], None],
) -> None:
    """The real images that were chosen: herding's, which learned sets have to beat, or a policy's."""
    chosen = scored.distilled
    assert chosen is not None
    assert chosen.indices is not None
    if not real.are_images:
        report(f"features are no images: no picture of the selection of {name}")
        return
    indices: np.ndarray = chosen.indices.numpy()
    what = [config.data.dataset, f"probe {100 * scored.scores['probe_accuracy']:.1f}% on validation"]
    if scored.state is not None:
        start = set(scored.state["start"].tolist())
        others = sum(row not in start for row in indices.tolist())
        what.append(f"{others} of {len(indices)} were not in the start, {config.distill.sel_init}")
    draw_classes(
        path,
        real.at(indices),
        chosen.y.numpy(),
        real.class_names,
        f"real images selected by {name.partition('@')[0]}",
        "; ".join(what),
    )
