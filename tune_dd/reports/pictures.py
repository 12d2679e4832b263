"""Pictures of a cell's best sets: decoded prototypes, chosen real images, a map, the states of cart-poles."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trainables.errors import InputError
from tune_dd.reports.sweep_data import CellData, SweepData, Trial

MOST_STATES = 16
_MAP_POINTS = 500


@dataclass(frozen=True)
class Picture:
    """A picture with its words.

    Attributes:
        name: of its file.
        title: what it shows, also for those who cannot see it.
        caption: what else there is to say.
        png: its content.
        trial: whose set it shows.
    """

    name: str
    title: str
    caption: str
    png: bytes
    trial: str

    @property
    def uri(self) -> str:
        """For a page that has no other files."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


def pictures_of(sweep: SweepData, cell: CellData, report: Callable[[str], None]) -> list[Picture]:
    """Pictures of the best trial, and of the best of RL-Selection.

    Args:
        report: told of pictures that cannot be made.
    """
    shown = [trial for trial in (cell.best, _best_selection(cell)) if trial is not None and trial["run"]]
    unique = {trial["trial_id"]: trial for trial in shown}
    draw = _of_environment if sweep.kind.config.KIND == "environment" else _of_latents
    found: list[Picture] = []
    for trial in unique.values():
        try:
            found += draw(sweep, cell, trial)
        except (InputError, OSError) as error:
            report(f"no pictures of trial {trial['trial_id']}: {error}")
    return found


def _best_selection(cell: CellData) -> Trial | None:
    by_id = {trial["trial_id"]: trial for trial in cell.trials}
    ranked = (by_id[trial_id] for trial_id in cell.entry["ranking"])
    return next((trial for trial in ranked if trial["config"].get("method") == "rl_selection"), None)


def _of_latents(sweep: SweepData, cell: CellData, trial: Trial) -> Iterator[Picture]:
    """What the set looks like, and of the best one where it lies; features have no images."""
    import torch

    from trainables.latent.artifacts import ARTIFACTS_FILE
    from trainables.latent.pictures import draw_classes, draw_map
    from trainables.seeds import generator
    from tune_dd.using.image_export import images_of
    from tune_dd.using.latent_points import open_points

    trial_id, method, cache = trial["trial_id"], trial["config"]["method"], sweep.kind.config.cache_folder
    points = open_points(sweep.folder / trial["run"] / ARTIFACTS_FILE, method)
    data, labels, names = points.open_latents(cache), points.distilled.y.numpy(), points.class_names
    if data.codec is not None:
        images, what = images_of(points, cache, _quiet)
        png = _drawn(lambda stream: draw_classes(stream, images, labels, names, ""))
        yield Picture("images", f"The set of {method}: {what}", "A row for each class.", png, trial_id)
    if trial is cell.best:
        sample = torch.randperm(len(data.train_x), generator=generator(0, "map"))[:_MAP_POINTS]
        x, y, own = data.train_x[sample].numpy(), data.train_y[sample].numpy(), points.x.numpy()
        png = _drawn(lambda stream: draw_map(stream, x, y, own, labels, names, ""))
        title = f"The set of {method} among the training latents"
        yield Picture("map", title, "t-SNE: neighbourhoods alone mean anything.", png, trial_id)


def _of_environment(sweep: SweepData, cell: CellData, trial: Trial) -> Iterator[Picture]:
    """A cart-pole's states; of other tasks nobody would know what they see."""
    from PIL import Image

    from trainables.environment.cartpole import dimensions_of
    from trainables.environment.distilled_set import load_distilled_set
    from trainables.environment_distillation import SET_FILE
    from tune_dd.environments.cart_picture import draw_carts

    if dimensions_of(trial["config"]["env"]) is None:
        return
    known = load_distilled_set(sweep.folder / trial["run"] / SET_FILE)
    states = known.x
    if known.mean is not None and known.variance is not None:
        states = states * known.variance.sqrt() + known.mean
    images = [draw_carts(state) for state in states.numpy()[:MOST_STATES]]
    columns = min(len(images), 4)
    width, height = images[0].size
    sheet = Image.new("RGB", (columns * width, -(-len(images) // columns) * height), "white")
    for place, image in enumerate(images):
        sheet.paste(image, (place % columns * width, place // columns * height))
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    first = f"The first {len(images)} of {len(states)}" if len(images) < len(states) else f"All {len(states)}"
    yield Picture(
        "states",
        "The distilled states of the best trial",
        f"{first}; they need not be states that a cart-pole can be in, and velocities are not drawn. Red "
        "lines are the limits of the task.",
        stream.getvalue(),
        trial["trial_id"],
    )


def _drawn(draw: Callable[[io.BytesIO], None]) -> bytes:
    stream = io.BytesIO()
    draw(stream)
    return stream.getvalue()


def _quiet(line: str) -> None:
    """What a report reads has been there before."""
