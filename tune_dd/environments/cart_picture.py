"""A cart-pole of N axes as a picture: each axis on a track of its own."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from trainables.environment.cartpole import observation_space

_PER_COLUMN = 5
_WIDEST, _NARROWEST, _PANEL = 320, 80, 480  # pixels of a track, and of all columns together
_FINER = 3  # PIL draws without smoothing: drawn larger, then shrunk
_POLE_METRES, _CART_METRES = 1.0, (0.5, 0.26)
_MARGIN_METRES = 0.45
_LIMIT, _ANGLE_LIMIT = (float(observation_space(1).high[i]) / 2 for i in (0, 2))  # metres, radians
_GREY, _RED, _PALE_RED, _DARK, _WOOD, _HINGE = (
    "#b9c0c7",
    "#d9534f",
    "#f6d5d3",
    "#34495e",
    "#c98a3a",
    "#f4f4f4",
)


def draw_carts(state: np.ndarray) -> Image.Image:
    """A picture of one observation, (4 * N,): position, velocity, angle and angular velocity of each axis.

    The limits of position are red lines, those of the angle pale ones; a positive angle leans to the right.
    """
    axes = state.reshape(-1, 4)
    columns = math.ceil(len(axes) / _PER_COLUMN)
    width = max(_NARROWEST, min(_WIDEST, _PANEL // columns))
    scale = _FINER * width / (2 * (_LIMIT + _MARGIN_METRES))  # pixels a metre
    tall = math.ceil(scale * (_POLE_METRES + _CART_METRES[1] + 0.3))
    lines = min(len(axes), _PER_COLUMN)
    picture = Image.new("RGB", (_FINER * width * columns, tall * lines), "white")
    pen = ImageDraw.Draw(picture)
    for i, (position, _, angle, _) in enumerate(axes.tolist()):
        left = _FINER * width * (i // lines)
        ground = tall * (i % lines + 1) - round(0.16 * scale)
        _draw_axis(pen, left + _FINER * width / 2, ground, scale, position, angle)
    return picture.reduce(_FINER)


def _draw_axis(
    pen: ImageDraw.ImageDraw,
    middle: float,
    ground: float,
    scale: float,
    position: float,
    angle: float,
) -> None:
    thin, thick = max(1, round(0.035 * scale)), max(2, round(0.1 * scale))
    long, high = (scale * metres for metres in _CART_METRES)
    pen.line([middle - _LIMIT * scale, ground, middle + _LIMIT * scale, ground], _GREY, thin)
    for side in (-1, 1):
        end = middle + side * _LIMIT * scale
        pen.line([end, ground - 0.35 * scale, end, ground + 0.08 * scale], _RED, thin)
    x, top = middle + position * scale, ground - high
    length = _POLE_METRES * scale

    def tip(lean: float) -> tuple[float, float]:
        return x + length * math.sin(lean), top - length * math.cos(lean)

    for side in (-1, 1):
        pen.line([(x, top), tip(side * _ANGLE_LIMIT)], _PALE_RED, thin)
    pen.rounded_rectangle([x - long / 2, top, x + long / 2, ground], radius=high / 4, fill=_DARK)
    pen.line([(x, top), tip(angle)], _WOOD, thick)
    for (a, b), radius, colour in ((tip(angle), thick / 2, _WOOD), ((x, top), thick * 0.75, _HINGE)):
        pen.ellipse([a - radius, b - radius, a + radius, b + radius], colour)
