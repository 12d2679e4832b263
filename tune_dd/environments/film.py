"""Episodes of the best and of the median learner side by side, as a GIF."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trainables.environment.cartpole import Batch, dimensions_of
from trainables.environment.distilled_set import DistilledSet
from trainables.environment.learners import Learner, Parameters
from trainables.environment.rollouts import episode_returns
from trainables.environment.tasks import Task
from trainables.environment.validation import stepped_learners
from trainables.errors import InputError
from trainables.seeds import derive_seed
from trainables.whole_files import whole_file
from tune_dd.environments.cart_picture import draw_carts
from tune_dd.environments.validation_rows import Row
from tune_dd.sweeps.plurals import counted

MOST_FRAMES = 300
"""A longer episode is shown with every second frame left out, until it is shorter."""
_FRAME_S = 0.04
_LAST_FRAME_MS = 1500
_CART_POLE_FPS, _ATARI_FPS, _OTHER_FPS = 50.0, 15.0, 30.0
_RENDERED_SIDE = 280
_GAME_ENLARGED = (252, 336)  # 84 x 84 in about the proportions of the screen
_MARGIN, _LINE = 14, 19
_INK, _PALE = "#2b2b2b", "#6f6f6f"
_RENDERERS = ("egl", "osmesa", "glfw")
# A renderer that does not work may take its process along, or write on its way out.
_TRIAL = "import sys, gymnasium as g; e = g.make(sys.argv[1], render_mode='rgb_array'); e.reset(); e.render()"


def check_films(task: Task) -> None:
    """Find out whether this machine can draw a task; MuJoCo is told by which way.

    Raises:
        InputError: if it cannot.
    """
    if _draws_itself(task):
        return
    own = os.environ.get("MUJOCO_GL")
    for renderer in (own,) if own else _RENDERERS:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _TRIAL, task.env_id],
            env={**os.environ, "MUJOCO_GL": renderer},
            capture_output=True,
            text=True,
        )
        if done.returncode == 0:
            os.environ["MUJOCO_GL"] = renderer
            return
    said = re.findall(r"^[\w.]+: .+$", done.stderr.partition("Exception ignored")[0], re.MULTILINE)
    raise InputError(
        f"--gif is given, and {task.env_id} cannot be drawn here ({said[-1] if said else done.returncode})",
        "a film needs gymnasium's renderer",
        f"{'unset MUJOCO_GL' if own else 'install what it names (for MuJoCo: EGL or OSMesa)'}, "
        "or leave --gif out",
    )


def film_learners(
    path: Path, distilled: DistilledSet, task: Task, row: Row, seed: int, set_name: str
) -> None:
    """Write a GIF: an episode of each of the two learners.

    Args:
        row: whose learners; they are trained again, to the same parameters.
        seed: of that validation.
        set_name: what the heading calls the set.
    """
    ranked = np.argsort(np.nan_to_num(row.returns.by_learner, nan=-np.inf), kind="stable")
    chosen = {"best": int(ranked[-1]), "median": int(ranked[(len(ranked) - 1) // 2])}
    takes = []
    for name, index in chosen.items():
        architecture, parameters = learner_at(distilled, task, row, seed, index)
        take = _Take(task, f"{name} learner: mean return {row.returns.by_learner[index]:,.1f}")
        played = derive_seed(seed, "film", name)
        perception = distilled.perception(task)
        returns = episode_returns(
            task, architecture, parameters, perception, 1, played, row.mode == "greedy", take.watch
        )
        take.final_return = float(returns[0, 0])
        takes.append(take)
    steps = counted(row.inner_steps, "step")
    heading = f"{task.env_id}, {row.family} learners, {row.mode}, {steps} on {set_name}"
    _write(path, _side_by_side(takes, heading), takes[0].frame_ms)


def _draws_itself(task: Task) -> bool:
    return dimensions_of(task.env_id) is not None or len(task.observation_shape) == 3


def learner_at(
    distilled: DistilledSet, task: Task, row: Row, seed: int, index: int
) -> tuple[Learner, Parameters]:
    """Architecture and parameters, (1, ...), of the learner of ``row.returns.by_learner[index]``."""
    count = len(row.returns.by_learner)
    for architecture, stepped in stepped_learners(distilled, task, count, row.family, row.inner_steps, seed):
        own = len(next(iter(stepped.values())))
        if index < own:
            return architecture, {name: tensor[index : index + 1] for name, tensor in stepped.items()}
        index -= own
    raise IndexError(index)


@dataclass
class _Take:
    """Pictures of one episode as it goes on.

    Attributes:
        stride: steps from one picture to the next.
        pictures: in order, each with the return so far.
    """

    task: Task
    caption: str
    stride: int = 0
    steps: int = 0
    frame_ms: int = 0
    final_return: float = 0.0
    pictures: list[tuple[Image.Image, float]] = field(default_factory=list)

    def watch(self, env: Batch, observations: np.ndarray, returns: np.ndarray) -> None:
        """See :data:`~trainables.environment.rollouts.Watch`."""
        if not self.stride:
            fps = self._steps_a_second(env)
            self.stride = max(1, round(_FRAME_S * fps))
            self.frame_ms = round(100 * self.stride / fps) * 10  # GIF counts in hundredths of a second
        if self.steps % self.stride == 0:
            self.pictures.append((self._picture(env, observations[0]), float(returns[0])))
            if len(self.pictures) > MOST_FRAMES:
                self.thin(2 * self.stride)
        self.steps += 1

    def thin(self, stride: int) -> None:
        """Leave pictures out, so that ``stride`` steps, a multiple of those now, lie between two."""
        self.pictures = self.pictures[:: stride // self.stride]
        self.stride = stride

    def _steps_a_second(self, env: Batch) -> float:
        if dimensions_of(self.task.env_id) is not None:
            return _CART_POLE_FPS
        if _draws_itself(self.task):
            return _ATARI_FPS
        return float(env.metadata.get("render_fps", _OTHER_FPS))

    def _picture(self, env: Batch, observation: np.ndarray) -> Image.Image:
        if dimensions_of(self.task.env_id) is not None:
            return draw_carts(observation)
        if _draws_itself(self.task):
            newest = Image.fromarray(observation[-1]).convert("RGB")
            return newest.resize(_GAME_ENLARGED, Image.Resampling.NEAREST)
        rendered: Any = env.render()  # one array an episode
        picture = Image.fromarray(np.asarray(rendered[0]))
        picture.thumbnail((_RENDERED_SIDE, _RENDERED_SIDE), Image.Resampling.LANCZOS)
        return picture


def _side_by_side(takes: Sequence[_Take], heading: str) -> list[Image.Image]:
    stride = max(take.stride for take in takes)
    for take in takes:
        take.thin(stride)
    return [_frame(takes, i, heading) for i in range(max(len(take.pictures) for take in takes))]


def _frame(takes: Sequence[_Take], number: int, heading: str) -> Image.Image:
    font = ImageFont.load_default(13)
    captions = [
        (take.caption, f"this episode: {take.final_return:,.1f}, ended after {take.steps:,} steps")
        for take in takes
    ]
    widths = [
        max(take.pictures[0][0].width, *(round(font.getlength(line)) for line in lines))
        for take, lines in zip(takes, captions, strict=True)
    ]
    tall = takes[0].pictures[0][0].height
    needed = [sum(widths) + _MARGIN * (len(takes) - 1), round(font.getlength(heading))]
    top = _MARGIN + 2 * _LINE + 4
    frame = Image.new("RGB", (max(needed) + 2 * _MARGIN, top + tall + _LINE + _MARGIN + 4), "white")
    pen = ImageDraw.Draw(frame)
    pen.text((_MARGIN, _MARGIN - 4), heading, _PALE, font)
    left = _MARGIN
    for take, (caption, end), width in zip(takes, captions, widths, strict=True):
        over = number >= len(take.pictures) - 1
        picture, reached = take.pictures[min(number, len(take.pictures) - 1)]
        foot = end if over else f"this episode: {reached:,.1f}, step {number * take.stride:,}"
        pen.text((left, _MARGIN - 4 + _LINE), caption, _INK, font)
        frame.paste(picture, (left, top))
        pen.text((left, top + tall + 4), foot, _PALE, font)
        left += width + _MARGIN
    return frame


def _write(path: Path, frames: Sequence[Image.Image], frame_ms: int) -> None:
    # One palette for all frames, so that nothing flickers and what stands still costs nothing.
    some = [frames[i] for i in np.linspace(0, len(frames) - 1, 4).round().astype(int)]
    sheet = Image.new("RGB", (some[0].width, sum(frame.height for frame in some)))
    for i, frame in enumerate(some):
        sheet.paste(frame, (0, i * frame.height))
    palette = sheet.quantize(256)
    first, *others = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    durations = [frame_ms] * len(others) + [_LAST_FRAME_MS]
    with whole_file(path) as stream:
        first.save(stream, "gif", save_all=True, append_images=others, duration=durations, loop=0)
