"""One cell's work and its file, ``cells/<identity>.pt``: whole or not at all, and never made twice."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from trainables.errors import InputError
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.latents import LatentData
from trainables.latent.probe import LinearClassifier
from trainables.tensor_files import load_tensors, save_tensors
from tune_dd.runs.folder import check_shape
from tune_dd.verdicts.contenders import Made
from tune_dd.verdicts.encoders import prepare
from tune_dd.verdicts.objectives import OBJECTIVES
from tune_dd.verdicts.plan import Cell
from tune_dd.verdicts.questions import QUESTIONS

FOLDER = "cells"


@dataclass(frozen=True)
class Job:
    """A cell, and where its latents and its file lie.

    Attributes:
        data: which data.
        encoder: the one that the set is made with.
        other: the one that distillation never sees; ``None`` where it is not read.
    """

    cell: Cell
    data: DataConfig
    encoder: EncoderConfig
    other: EncoderConfig | None
    cache: Path
    path: Path


@dataclass(frozen=True)
class Done:
    """What a cell came to, frozen.

    Attributes:
        made: the set, what it cost and what it claims.
        cpu_s: CPU seconds that making it takes alone, scoring left out.
        classifiers: what learned from it by objective; ``None`` where its points are not finite.
    """

    made: Made
    cpu_s: float
    classifiers: Mapping[str, LinearClassifier | None]


def do(job: Job) -> None:
    """Make the cell's set on one thread, train its classifiers, and write both down."""
    torch.set_num_threads(1)
    cell = job.cell
    data = _latents(job.data, job.encoder, job.cache)
    other = None if job.other is None else _latents(job.data, job.other, job.cache)
    contender = QUESTIONS[cell.question].contenders()[cell.contender]
    started = time.process_time()
    made = contender.make(cell.config, data)
    cpu_s = time.process_time() - started + made.spared_cpu_s
    classifiers: dict[str, LinearClassifier | None] = {}
    for name in cell.objectives:
        read = other if OBJECTIVES[name].other_encoder else data
        assert read is not None
        try:
            classifiers[name] = OBJECTIVES[name].fit(made.distilled, data, read)
        except (FloatingPointError, torch.linalg.LinAlgError):
            classifiers[name] = None
    write(job.path, cell, Done(made, cpu_s, classifiers))


@functools.lru_cache(maxsize=4)
def _latents(data: DataConfig, encoder: EncoderConfig, cache: Path) -> LatentData:
    """Opened once by a worker, not once for each of its cells."""
    return prepare(data, encoder, cache)


def write(path: Path, cell: Cell, done: Done) -> None:
    """The cell's file; it appears whole or not at all."""
    distilled = dataclasses.asdict(done.made.distilled)
    content = {
        "cell": {**dataclasses.asdict(cell), "objectives": list(cell.objectives)},
        "set": {name: value.cpu().clone() for name, value in distilled.items() if value is not None},
        "evaluations": done.made.evaluations,
        "claimed_reward": done.made.claimed_reward,
        "spared_cpu_s": done.made.spared_cpu_s,
        "cpu_s": done.cpu_s,
        "classifiers": {
            name: None if found is None else dataclasses.asdict(found)
            for name, found in done.classifiers.items()
        },
    }
    save_tensors(path, content)


def read(path: Path, cell: Cell) -> Done:
    """The inverse of :func:`write`.

    Raises:
        InputError: the file is missing, damaged, or another cell's.
    """
    try:
        content = load_tensors(path)
        if content["cell"]["identity"] != cell.identity:
            raise ValueError("it is another cell's")
        check_shape(
            path, "a cell's file", content, {"evaluations": int, "cpu_s": float, "spared_cpu_s": float}
        )
        return Done(
            Made(
                DistilledSet(**content["set"]),
                content["evaluations"],
                content["claimed_reward"],
                content["spared_cpu_s"],
            ),
            content["cpu_s"],
            {
                name: None if found is None else LinearClassifier(**found)
                for name, found in content["classifiers"].items()
            },
        )
    except (InputError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is damaged", "a cell's file must be as it was written", "remove it; it is made again"
        ) from error
