"""The distilled sets that ship do what the JSON beside each says, and its command is one that exists."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.environment.distilled_set import load_distilled_set
from trainables.environment.tasks import open_task
from trainables.environment.validation import validate
from tune_dd.environments.distill import build_parser

pytestmark = pytest.mark.timeout(60)
PLACE = Path(__file__).parents[2] / "examples" / "distilled"
SETS = sorted(PLACE.glob("*.pt"))
by_name = pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)


def beside(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    return content


def test_there_are_small_and_large_sets_of_one_to_five_dimensions() -> None:
    wanted = {f"cartpole_{n}d_b{size}" for n in range(1, 6) for size in (n + 1, 512)}
    assert wanted <= {path.stem for path in SETS}
    assert {path.stem for path in SETS} == {path.stem for path in PLACE.glob("*.json")}


@by_name
def test_files_hold_what_their_names_say(path: Path) -> None:
    found = re.fullmatch(r"cartpole_(\d+)d_b(\d+)", path.stem)
    assert found is not None
    dimensions, size = map(int, found.groups())
    # With the keys that the authors' own loader reads, and no other.
    content = torch.load(path, weights_only=True)
    assert {name: tuple(tensor.shape) for name, tensor in content.items()} == {
        "x": (size, 4 * dimensions),
        "y": (size, 2 * dimensions),
        "inner_lr": (),
    }
    told = beside(path)
    program, *verbs, env_flag, env = shlex.split(told["command"])[:5]
    assert [program, *verbs, env_flag] == ["tune-dd", "distill", "environment", "--env"]
    assert open_task(env).observation_shape == (4 * dimensions,)
    flags = build_parser().parse(shlex.split(told["command"])[3:])
    assert (flags["env"], flags["batch_size"], flags["seed"]) == (told["env"], size, told["seed"])


@by_name
def test_fresh_learners_reach_what_is_told(path: Path) -> None:
    told = beside(path)
    # Learners of another seed than those that the JSON tells of.
    found = validate(load_distilled_set(path), open_task(told["env"]), 20, 1, seed=1)
    sampled = told["validation"]["sampled"]
    assert sampled["mean"] >= 490
    assert found.mean > sampled["mean"] - 4 * max(found.sem, sampled["sd"] / 20**0.5) - 1
