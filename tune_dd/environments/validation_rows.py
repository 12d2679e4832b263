"""Results of a validation as a table for a terminal and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.environment.distilled_set import DistilledSet
from trainables.environment.own_modules import digests
from trainables.environment.validation import Returns
from trainables.whole_files import sha256_of
from tune_dd.flags import Flags
from tune_dd.runs.folder import versions
from tune_dd.runs.score_table import aligned
from tune_dd.sweeps.plurals import counted

SCHEMA = 1
"""Raised when a reader of the former version would misread the file."""
UNTRAINED = "untrained"
HEADINGS = ("learners", "actions", "steps", "mean", "SD", "SEM", "least", "n")


@dataclass(frozen=True)
class Row:
    """Returns of the learners of one family.

    Attributes:
        family: their family.
        mode: how they act, ``sampled`` or ``greedy``.
        inner_steps: gradient steps that they took on the set; 0 for untrained ones.
    """

    family: str
    mode: str
    inner_steps: int
    returns: Returns

    @property
    def name(self) -> str:
        """The learners in a word."""
        return self.family if self.inner_steps else UNTRAINED

    def __str__(self) -> str:
        steps = f", {counted(self.inner_steps, 'step')}" if self.inner_steps else ""
        return f"{self.name}, {self.mode}{steps}: {self.returns.mean:,.1f}"


def table(rows: Sequence[Row]) -> str:
    """Rows under each other."""
    cells = [
        [
            row.name,
            row.mode,
            str(row.inner_steps),
            f"{row.returns.mean:,.1f}",
            *_spread(row.returns),
            f"{row.returns.by_learner.min():,.1f}",
            str(len(row.returns.by_learner)),
        ]
        for row in rows
    ]
    head, *lines = aligned([list(HEADINGS), *cells], left=(0, 1))
    return "\n".join([head, "-" * max(map(len, [head, *lines])), *lines])


def content(
    rows: Sequence[Row],
    distilled: DistilledSet,
    env_id: str,
    file: Path,
    encoder: Path | None,
    flags: Flags,
) -> dict[str, Any]:
    """What a JSON file says of a validation; a number that is not finite is null there.

    Args:
        file, encoder: where the set came from.
        flags: of the verb: ``learners``, ``episodes``, ``seed`` and ``threads``.
    """
    return {
        "schema_version": SCHEMA,
        "env": env_id,
        "file": str(file),
        "sha256": sha256_of(file.expanduser()),
        "encoder": None
        if encoder is None
        else {"file": str(encoder), "sha256": sha256_of(encoder.expanduser())},
        "batch_size": len(distilled.x),
        "inner_lr": float(distilled.inner_lr),
        **{name: flags[name] for name in ("learners", "episodes", "seed", "threads")},
        "modules": digests(dict.fromkeys(row.family for row in rows)),
        "rows": [
            {
                "env": env_id,
                "file": str(file),
                "learner": row.name,
                "family": row.family,
                "mode": row.mode,
                "inner_steps": row.inner_steps,
                "mean": _number(row.returns.mean),
                "sd": _number(row.returns.sd),
                "sem": _number(row.returns.sem),
                "least": _number(float(row.returns.by_learner.min())),
                "n": len(row.returns.by_learner),
            }
            for row in rows
        ],
        "versions": versions(),
    }


def _spread(returns: Returns) -> list[str]:
    """Standard deviation and error; one learner has none."""
    if len(returns.by_learner) == 1:
        return ["", ""]
    return [f"{returns.sd:,.1f}", f"{returns.sem:,.1f}"]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
