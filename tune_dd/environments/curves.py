"""The learning curve of an environment distillation as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw_curves(
    curve: Sequence[Mapping[str, float]], untrained_return: float | None, env_id: str, path: Path
) -> None:
    """Returns of fresh learners above, the inner learning rate below, by environment steps.

    Args:
        curve: reports in order (see :meth:`trainables.ppmo.run.PpmoRun.step`).
        untrained_return: of learners that have learned nothing, where it is known.
    """
    columns = {name: np.array([report[name] for report in curve]) for name in curve[0]}
    figure = Figure(figsize=(7, 6), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    steps, drawn, error = columns["env_steps"], columns["probe_return"], columns["probe_return_sem"]
    above.fill_between(steps, drawn - 1.96 * error, drawn + 1.96 * error, alpha=0.25, linewidth=0)
    # Bars beside the band, and marks on all: one report makes no line.
    above.errorbar(
        steps,
        drawn,
        1.96 * error,
        marker=".",
        elinewidth=1,
        label="fresh learners, sampled actions (95% interval)",
    )
    above.plot(steps, columns["greedy_return"], linestyle="--", marker="x", label="fresh learners, greedy")
    above.plot(
        steps, columns["episode_return"], linewidth=1, marker=".", color="0.6", label="training learners"
    )
    if untrained_return is not None:
        above.axhline(untrained_return, linestyle=":", color="0.3", label="untrained learners")
    above.set_ylabel("episode return")
    above.set_title(f"{env_id}: fresh learners trained on the distilled set")
    above.legend(fontsize=8, loc="best")
    below.plot(steps, columns["inner_lr"], marker=".", color="C3")
    below.set_ylabel("inner learning rate")
    below.set_xlabel("environment steps")
    below.set_xlim(left=0)
    figure.savefig(path, dpi=150)
