"""Pictures of a distillation: prototypes and selected images by class, and where they lie among the data.

Drawn on figures of their own, without pyplot: nothing here changes the caller's plots or backend.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Labels = NDArray[np.integer]

MOST_COLUMNS = 20
"""More images a class than this are left out of a grid, and the title says so."""
ROWS_PER_BLOCK = 25
"""A grid with more classes is broken into blocks that stand side by side."""
MOST_COLOURS = 20
"""With more classes, colours look alike: numbers stand on the map, and the legend tells whose they are."""
MOST_LEGEND_ENTRIES = 120
_CELL_INCHES = 0.6
_DPI = 120
_LONGEST_LABEL = 28
_LONGEST_IN_COLUMNS = 16
_LEGEND_ROWS = 40


def draw_classes(
    path: Path | BinaryIO,
    images: NDArray[np.generic],
    labels: Labels,
    class_names: Sequence[str],
    title: str,
    subtitle: str = "",
) -> None:
    """Write a grid of images: one row a class, with its name.

    Args:
        path: the PNG to write, or a stream that takes it.
        images: (n, H, W, C) uint8, or floats in [0, 1]; C is 1 or 3.
        labels: (n,) class indices; each class's images are shown in the order given.
        class_names: names by class index; every class gets a row.
        title, subtitle: what stands above.
    """
    pixels = _as_unit_floats(images)
    rows = [np.flatnonzero(labels == c) for c in range(len(class_names))]
    most = max(len(row) for row in rows)
    columns = min(most, MOST_COLUMNS)
    if most > columns:
        subtitle = f"{subtitle} (the first {columns} of {most} a class)".strip()
    blocks = math.ceil(len(rows) / ROWS_PER_BLOCK)
    per_block = math.ceil(len(rows) / blocks)
    names = [_short(name) for name in class_names]

    label_inches = 0.35 + 0.085 * max(map(len, names))
    words = max(0.105 * len(title), 0.075 * len(subtitle)) + 0.5
    width = max(blocks * (label_inches + columns * _CELL_INCHES) + 0.2, words)
    aspect = pixels.shape[1] / pixels.shape[2]
    head_inches = 0.75 if title or subtitle else 0.15
    height = head_inches + per_block * _CELL_INCHES * aspect + 0.35
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    figure.text(0.5, 1 - 0.22 / height, title, ha="center", va="center", fontsize=12, weight="bold")
    figure.text(0.5, 1 - 0.48 / height, subtitle, ha="center", va="center", fontsize=9, color="0.35")
    block_width = columns * _CELL_INCHES
    spare = (width - blocks * (label_inches + block_width)) / (blocks + 1)
    for block in range(blocks):
        shown = range(block * per_block, min((block + 1) * per_block, len(rows)))
        left = spare + block * (label_inches + block_width + spare) + label_inches
        tall = len(shown) * _CELL_INCHES * aspect
        axes = figure.add_axes(
            (left / width, (height - head_inches - tall) / height, block_width / width, tall / height)
        )
        _draw_block(axes, pixels, [rows[c] for c in shown], [names[c] for c in shown], columns)
    figure.savefig(path, format="png")


def _draw_block(axes: Axes, pixels: Floats, rows: list[Labels], names: list[str], columns: int) -> None:
    """One mosaic; thin white lines part the images, and what a class lacks stays light grey."""
    _, height, width, channels = pixels.shape
    gap = max(1, round(0.04 * max(height, width)))
    mosaic = np.ones((len(rows) * (height + gap) + gap, columns * (width + gap) + gap, channels), np.float32)
    for i, members in enumerate(rows):
        for j in range(columns):
            top, left = gap + i * (height + gap), gap + j * (width + gap)
            cell = pixels[members[j]] if j < len(members) else 0.93
            mosaic[top : top + height, left : left + width] = cell
    small = max(height, width) < 40
    axes.imshow(
        mosaic.squeeze(2) if channels == 1 else mosaic,
        cmap="gray",
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest" if small else "antialiased",
    )
    axes.set_yticks(gap + height / 2 + np.arange(len(rows)) * (height + gap), names, fontsize=9)
    axes.set_xticks(
        gap + width / 2 + np.arange(columns) * (width + gap), np.arange(1, columns + 1), fontsize=7
    )
    axes.tick_params(length=0, colors="0.25")
    axes.spines[:].set_visible(False)


def draw_map(
    path: Path | BinaryIO,
    latents: Floats,
    labels: Labels,
    prototypes: Floats,
    prototype_labels: Labels,
    class_names: Sequence[str],
    title: str,
    *,
    noun: str = "prototype",
    seed: int = 0,
) -> None:
    """Write a t-SNE of latents with the prototypes on top, coloured by class.

    Latents and prototypes are embedded together, so that distances between them mean the same.

    Args:
        path: the PNG to write, or a stream that takes it.
        latents: (n, d) a sample of the training latents; a few thousand take seconds.
        labels: (n,) their classes.
        prototypes: (k, d), and their classes (k,).
        class_names: names by class index.
        title: what stands above.
        noun: what the legend calls them.
        seed: of t-SNE.

    Paper: van der Maaten & Hinton, "Visualizing data using t-SNE", JMLR 2008.
    """
    from sklearn.manifold import TSNE  # a second of import that only this picture needs

    points = np.concatenate([latents, prototypes]).astype(np.float32)
    # scikit-learn's PCA divides by the spread, and its t-SNE crashes on what comes out where there is none.
    points[0] += 1e-6 * (np.ptp(points, axis=0).max() == 0)
    perplexity = min(30.0, max(2.0, (len(points) - 1) / 4))
    # One core: the result must not depend on how many there are, and trials share them.
    plane = TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(points)
    data, ours = plane[: len(latents)], plane[len(latents) :]

    colours = _class_colours(len(class_names))
    shown = class_names[:MOST_LEGEND_ENTRIES]
    columns = math.ceil(len(shown) / _LEGEND_ROWS)
    figure = Figure(figsize=(8 + 1.5 * columns, 7), dpi=_DPI, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(data[:, 0], data[:, 1], s=9, c=colours[labels], alpha=0.45, linewidths=0)
    axes.scatter(
        ours[:, 0],
        ours[:, 1],
        s=110 if len(ours) <= 200 else 45,
        c=colours[prototype_labels],
        marker="*",
        edgecolors="black",
        linewidths=0.8 if len(ours) <= 200 else 0.4,
    )
    axes.set_title(title, fontsize=12, weight="bold")
    axes.set_xlabel(
        f"t-SNE of {len(latents):,} training latents; only neighbourhoods mean anything", fontsize=9
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("0.8")
    marks = [_mark("o", "0.6", "training latent"), _mark("*", "white", noun)]
    if len(class_names) <= MOST_COLOURS:
        marks = [_mark("o", colours[i], _short(name)) for i, name in enumerate(shown)] + marks
    else:
        _write_numbers(axes, data, labels, len(class_names))
        longest = _LONGEST_IN_COLUMNS if columns > 1 else _LONGEST_LABEL
        marks += [_mark("o", colours[i], f"{i}  {_short(name, longest)}") for i, name in enumerate(shown)]
    if len(shown) < len(class_names):
        marks.append(_mark("", "white", f"and {len(class_names) - len(shown):,} more"))
    size = 9 if len(class_names) <= MOST_COLOURS else 7
    figure.legend(handles=marks, loc="outside right upper", fontsize=size, frameon=False, ncols=columns)
    figure.savefig(path, format="png")


def draw_schedule(
    path: Path, terms: Sequence[str], weights: Floats, steps: int, title: str, subtitle: str = ""
) -> None:
    """Write the weights of loss terms over the steps of an episode: one line a term, logarithmic.

    Args:
        path: the PNG to write.
        terms: names of the K terms.
        weights: (T, K), above 0.
        steps: that each of the T decisions holds for.
        title, subtitle: what stands above.
    """
    figure = Figure(figsize=(7.5, 4.5), dpi=_DPI, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    decisions = len(weights)
    for index, name in enumerate(terms):
        line = axes.stairs(weights[:, index], steps * np.arange(decisions + 1), baseline=None, linewidth=2)
        line.set_edgecolor(_class_colours(10)[index % 10])
        line.set_label(name)
    axes.set_yscale("log")
    axes.set_xlim(0, steps * decisions)
    axes.set_xticks(steps * np.arange(decisions + 1))
    axes.set_xlabel(f"step; weights are set every {steps}", fontsize=9)
    axes.set_ylabel("weight", fontsize=9)
    axes.tick_params(labelsize=8, colors="0.25")
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=12, weight="bold")
    axes.set_title(subtitle, fontsize=9, color="0.35")
    figure.legend(loc="outside right upper", fontsize=9, frameon=False)
    figure.savefig(path, format="png")


def _write_numbers(axes: Axes, plane: Floats, labels: Labels, classes: int) -> None:
    """Each class's number in its middle, readable on any colour."""
    for index in range(classes):
        members = plane[labels == index]
        if len(members):
            x, y = np.median(members, axis=0)
            box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "alpha": 0.7, "linewidth": 0}
            axes.annotate(str(index), (x, y), fontsize=7, ha="center", va="center", bbox=box)


def _mark(marker: str, colour: Any, label: str) -> Line2D:
    star = marker == "*"
    return Line2D(
        [],
        [],
        linestyle="",
        marker=marker,
        markersize=11 if star else 7,
        markerfacecolor=colour,
        markeredgecolor="black" if star else "none",
        label=label,
    )


def _class_colours(classes: int) -> Floats:
    """(classes, 4) colours, as far apart as so many can be."""
    if classes <= 10:
        return np.array([matplotlib.colormaps["tab10"](c) for c in range(classes)])
    if classes <= 20:
        return np.array([matplotlib.colormaps["tab20"](c) for c in range(classes)])
    # Neighbours on the colour circle go to classes that are far apart in number.
    hues = (np.arange(classes) * 0.618033988749895) % 1.0
    return np.array([matplotlib.colormaps["hsv"](hue) for hue in hues]) * [0.9, 0.85, 0.9, 1.0]


def _as_unit_floats(images: NDArray[np.generic]) -> Floats:
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise ValueError(f"images have shape {images.shape}, but must be (n, H, W, 1) or (n, H, W, 3)")
    if images.dtype == np.uint8:
        return images.astype(np.float32) / 255
    return np.clip(images.astype(np.float32), 0.0, 1.0)


def _short(name: str, longest: int = _LONGEST_LABEL) -> str:
    """Cut in the middle: names of many classes often begin alike, or end so.

    What the font lacks stands as its number, and no dollar begins a formula.
    """
    known, half = _drawn_characters(), (longest - 1) // 2
    name = "".join(c if ord(c) in known else f"U+{ord(c):04X} " for c in name).strip()
    return (name if len(name) <= longest else f"{name[:half]}…{name[-half:]}").replace("$", r"\$")


@functools.cache
def _drawn_characters() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties())).get_charmap())
