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
from trainables.whole_files import sha256_if_readable, whole_file

SCHEDULE_FILE = "schedule.json"
_KIND = "tune-dd schedule of loss weights"
_SHOWN = 12
"""Digits of a digest in messages."""

# Weights of a good run beside the probe's of one. The cycle's is what prototypes are usually trained with.
CENTRES = {"probe": 1.0, "matching": 0.03, "diversity": 0.03, "margin": 0.03, "realism": 0.03, "cycle": 0.5}


@dataclass(frozen=True)
class Schedule:
    """Weights of K loss terms at T decisions.

    Attributes:
        terms: their names, keys of :data:`CENTRES`.
        weights: T lists of K, from 0; what is beyond a factor of e^4 from the centre is taken as that.
        steps: that each decision holds for.
    """

    terms: Sequence[str]
    weights: Sequence[Sequence[float]]
    steps: int

    def check(self, config: DistillConfig, *, has_decoder: bool) -> None:
        """Hold it against the run that is to apply it.

        Raises:
            InputError: its decisions are not those of the run, or it weighs what these latents have not.
        """
        for flag, asked, own in (
            ("--shape-decisions", config.shape_decisions, len(self.weights)),
            ("--shape-steps", config.shape_steps, self.steps),
        ):
            if asked != own:
                raise InputError(
                    f"{flag} is {asked}", f"the schedule of --shape-schedule has {own}", f"give {flag} {own}"
                )
        if "cycle" in self.terms and not has_decoder:
            raise InputError(
                f"--shape-schedule is {config.shape_schedule}",
                "it weighs a round trip, and these latents have no decoder",
                "give a schedule that was learned on features",
            )

    def trouble(self) -> str:
        """What is wrong with it, in words; empty for a schedule that can be applied."""
        terms = self.terms
        unknown = [str(term) for term in terms if term not in CENTRES]
        if unknown:
            return f"'{unknown[0]}' is no term of the loss: {', '.join(CENTRES)}"
        if not terms or len(set(terms)) != len(terms):
            return f"its terms are {', '.join(terms) or 'none'}, and must be different ones"
        if not self.weights or any(len(row) != len(terms) for row in self.weights):
            return f"it must hold rows of {len(terms)} weights, one for each term"
        wrong = [weight for row in self.weights for weight in row if not 0 <= weight < math.inf]
        if wrong:
            return f"a weight is {wrong[0]:g}, and must be a number from 0"
        if type(self.steps) is not int or self.steps < 1:
            return f"'steps' is {self.steps}, and must be a whole number from 1"
        return ""

    def on(self, terms: Sequence[str], like: Tensor) -> Tensor:
        """(T, K) float32 for these terms, beside ``like``; 0 where it does not know one."""
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
    content = {
        "kind": _KIND,
        "terms": list(schedule.terms),
        "steps": schedule.steps,
        "weights": [list(row) for row in schedule.weights],
    }
    with whole_file(path) as stream:
        stream.write((json.dumps(content, indent=1) + "\n").encode())


def read_schedule(path: Path, sha256: str | None = None) -> Schedule:
    """The inverse of :func:`write_schedule`.

    Args:
        sha256: of the file's content, where it must be a certain one.

    Raises:
        InputError: the file is missing or holds no schedule, or its content is another.
    """
    present = sha256_if_readable(path)
    if sha256 is not None and present is not None and present != sha256:
        raise InputError(
            f"--shape-schedule is {path} with the SHA-256 {present[:_SHOWN]}",
            f"it must be the one that results so far were made with, {sha256[:_SHOWN]}",
            "put the former content back, or begin anew under another --name",
        )
    problem = ""
    try:
        content = json.loads(path.read_text())
        if isinstance(content, dict) and content.get("kind") == _KIND:
            terms, steps = tuple(content["terms"]), content["steps"]
            found = Schedule(terms, [list(map(float, row)) for row in content["weights"]], steps)
            problem = found.trouble()
            if not problem:
                return found
        else:
            problem = "it holds none"
    except OSError as error:
        problem = str(error.strerror)
    except (ValueError, TypeError, KeyError, RecursionError):
        problem = "it is damaged"
    raise InputError(
        f"--shape-schedule is {path} ({problem})",
        "it must be a schedule of loss weights",
        f"give the {SCHEDULE_FILE} that a run of rl_shaping wrote",
    )
