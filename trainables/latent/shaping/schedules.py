"""A schedule of loss weights as a file: learned by one run, applied by others."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trainables.errors import InputError
from trainables.latent.distill_config import DistillConfig
from trainables.latent.latents import LatentData
from trainables.whole_files import whole_file

SCHEDULE_FILE = "schedule.json"
_KIND = "tune-dd schedule of loss weights"


@dataclass(frozen=True)
class Schedule:
    """Weights of K loss terms at T decisions.

    Attributes:
        terms: their names.
        weights: T lists of K, from 0.
    """

    terms: Sequence[str]
    weights: Sequence[Sequence[float]]

    def check(self, config: DistillConfig, data: LatentData) -> None:
        """Hold it against the run that is to apply it.

        Raises:
            InputError: it has another number of decisions, or weighs what these latents have not.
        """
        if len(self.weights) != config.shape_decisions:
            raise InputError(
                f"--shape-decisions is {config.shape_decisions}",
                f"the schedule of --shape-schedule has {len(self.weights)} decisions",
                f"give --shape-decisions {len(self.weights)}",
            )
        if "cycle" in self.terms and data.codec is None:
            raise InputError(
                f"--shape-schedule is {config.shape_schedule}",
                "it weighs a round trip, and these latents have no decoder",
                "give a schedule that was learned on features",
            )

    def on(self, terms: Sequence[str], like: Tensor) -> Tensor:
        """(T, K) float32 for these terms, beside ``like``; what it does not know has no weight."""
        columns = [
            [row[list(self.terms).index(name)] if name in self.terms else 0.0 for name in terms]
            for row in self.weights
        ]
        return torch.tensor(columns, dtype=torch.float32, device=like.device)


def write_schedule(path: Path, schedule: Schedule) -> None:
    """Write it as JSON, whole or not at all.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    content = {"kind": _KIND, "terms": list(schedule.terms), "weights": [list(w) for w in schedule.weights]}
    with whole_file(path) as stream:
        stream.write((json.dumps(content, indent=1) + "\n").encode())


def read_schedule(path: Path) -> Schedule:
    """The inverse of :func:`write_schedule`.

    Raises:
        InputError: the file is missing or holds no schedule.
    """
    problem = ""
    try:
        content = json.loads(path.read_text())
        if isinstance(content, dict) and content.get("kind") == _KIND:
            found = Schedule(
                tuple(map(str, content["terms"])), [list(map(float, w)) for w in content["weights"]]
            )
            rows = [len(row) == len(found.terms) for row in found.weights]
            good = all(math.isfinite(w) and w >= 0 for row in found.weights for w in row)
            if rows and all(rows) and good:
                return found
        problem = "it holds none"
    except OSError as error:
        problem = str(error.strerror)
    except (ValueError, TypeError, KeyError):
        problem = "it is damaged"
    raise InputError(
        f"--shape-schedule is {path} ({problem})",
        "it must be a schedule of loss weights",
        f"give the {SCHEDULE_FILE} that a run of rl_shaping wrote",
    )
