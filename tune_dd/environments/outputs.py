"""What one environment distillation leaves behind: the set, its summary and its learning curve."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainables.environment.distilled_set import SET_FILE
from trainables.ppmo.run import PpmoRun
from tune_dd.environments.curves import draw_curves
from tune_dd.runs.folder import SUMMARY_FILE, new_run_folder, versions, write_json

SUMMARY_SCHEMA = 1
CURVE_FILE = "learning_curve.csv"
CURVE_PICTURE = "learning_curve.png"


def write_run(
    folder: Path, distillation: PpmoRun, curve: Sequence[Mapping[str, float]], wall_s: float
) -> None:
    """Fill a new folder; of what diverged the set is that of the last report before, if there was one.

    Args:
        curve: reports in order, each with ``iteration`` and ``learning_cpu_s``.

    Raises:
        InputError: if the folder exists, or cannot be written.
    """
    with new_run_folder(folder) as place:
        if distillation.probed is not None:
            distillation.probed.save(place / SET_FILE)
        write_curve(place, curve, distillation.untrained_return, distillation.task.env_id)
        last = dict(curve[-1])
        write_summary(
            place,
            config=distillation.settings.flat(),
            modules=distillation.modules,
            scores={name: value for name, value in last.items() if name != "learning_cpu_s"},
            untrained_return=distillation.untrained_return,
            timings={"learning_cpu_s": last["learning_cpu_s"], "wall_s": wall_s},
        )


def write_curve(
    place: Path, curve: Sequence[Mapping[str, float]], untrained_return: float | None, env_id: str
) -> None:
    """Reports as a table and as a picture.

    Args:
        curve: reports in order; all have the names of the first.
    """
    with (place / CURVE_FILE).open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(curve[0]))
        writer.writeheader()
        writer.writerows(curve)
    draw_curves(curve, untrained_return, env_id, place / CURVE_PICTURE)


def write_summary(
    place: Path,
    *,
    config: Mapping[str, Any],
    scores: Mapping[str, float],
    untrained_return: float | None,
    timings: Mapping[str, float],
    **more: Any,
) -> None:
    """``experiment_summary.json`` of a distilled environment.

    Args:
        config: every setting, flat.
        scores: of the last report.
        timings: everything that differs between two runs of the same configuration.
        more: further entries, for example a sweep's trial id.
    """
    content = {
        "schema_version": SUMMARY_SCHEMA,
        "kind": "environment",
        **more,
        "config": dict(config),
        "scores": dict(scores),
        "untrained_return": untrained_return,
        "versions": versions(),
        "timings": dict(timings),
    }
    write_json(place / SUMMARY_FILE, content)
