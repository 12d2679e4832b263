"""Test scores of frozen rows, each read once and kept: ``results/<name>/test_scores/<identity>.json``.

A second evaluation of the same frozen configuration finds its figures here and leaves test closed.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainables.errors import InputError
from tune_dd.evaluation.intervals import Hits
from tune_dd.runs.folder import RESTORE, check_shape, read_json, write_json

FOLDER = "test_scores"
ACCESS_LOG = "test_access.jsonl"
"""Beside that folder: a line for each reading of test."""
WHAT = "scores on test"
_REMEDY = f"{RESTORE}; or remove it: test is read again, which {ACCESS_LOG} then says"
_SHAPE = {"scores": [dict], "items": int, "hits": str, "per_class": list}


@dataclass(frozen=True)
class TestScores:
    """What one reading of test gave for one frozen row.

    Attributes:
        scores: of each run, by name.
        hits: (runs, items) which items each run's probe got right.
        per_class: accuracy of the probe by class, mean over runs; ``None`` for a class without items.
    """

    __test__ = False  # not for pytest, whatever the name

    scores: list[dict[str, float]]
    hits: Hits
    per_class: list[float | None]


def stored(results: Path, identity: str) -> TestScores | None:
    """The scores, if this frozen row has been on test before.

    Raises:
        InputError: the file is there but damaged.
    """
    path = results / FOLDER / f"{identity}.json"
    if not path.exists():
        return None
    content = read_json(path, WHAT, _REMEDY)
    check_shape(path, WHAT, content, _SHAPE, _REMEDY)
    shape = (len(content["scores"]), content["items"])
    try:
        if min(shape) < 1:
            raise ValueError(f"{shape[0]} runs on {shape[1]} items")
        packed = np.frombuffer(base64.b64decode(content["hits"], validate=True), dtype=np.uint8)
        if len(packed) != math.ceil(shape[0] * shape[1] / 8):
            raise ValueError(f"{len(packed)} bytes of hits for {shape[0]} runs on {shape[1]} items")
    except ValueError as error:
        raise InputError(
            f"{path} is damaged ({error})", f"{WHAT} must be as they were written", _REMEDY
        ) from error
    hits = np.unpackbits(packed, count=shape[0] * shape[1]).reshape(shape).astype(bool)
    return TestScores(content["scores"], hits, content["per_class"])


def store(results: Path, identity: str, name: str, found: TestScores) -> None:
    """Keep the scores; the file appears whole or not at all."""
    folder = results / FOLDER
    folder.mkdir(exist_ok=True)
    content = {
        "name": name,
        "scores": found.scores,
        "per_class": found.per_class,
        "items": found.hits.shape[1],
        "hits": base64.b64encode(np.packbits(found.hits).tobytes()).decode(),
    }
    write_json(folder / f"{identity}.json", content)
