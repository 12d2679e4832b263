"""The distilled sets that ship do what the JSON beside each says, and its command is one that exists."""

from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.environment.config import EnvironmentConfig, OuterConfig, SetConfig
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


# What returns the sets were made to reach, of 500: of the fewest states by dimensions, of 512 states, and of
# unlike learners.
LEAST_OF_FEW = {1: 499.5, 2: 498.0, 3: 498.0, 4: 496.0, 5: 494.0, 8: 494.0, 10: 475.0}
LEAST_OF_MANY = 498.0
LEAST_OF_FAMILIES = {"ortho1": 450.0, "xe": 450.0, "random_size": 480.0, "random_hidden": 480.0}
FAMILIES = [path for path in SETS if path.stem.endswith("_families")]
CART_POLES = [path for path in SETS if re.fullmatch(r"cartpole_\d+d_b\d+", path.stem)]


@pytest.mark.parametrize("path", CART_POLES, ids=lambda path: path.stem)
def test_cart_poles_have_the_keys_that_the_authors_loader_reads_and_no_other(path: Path) -> None:
    dimensions, size = map(int, re.findall(r"\d+", path.stem))
    content = torch.load(path, weights_only=True)
    assert {name: tuple(tensor.shape) for name, tensor in content.items()} == {
        "x": (size, 4 * dimensions),
        "y": (size, 2 * dimensions),
        "inner_lr": (),
    }


@by_name
def test_files_hold_what_their_names_say(path: Path) -> None:
    told, found = beside(path), load_distilled_set(path)
    env, size = told["env"], len(found.x)
    cart_pole = re.fullmatch(r"CartPole(\d*)D?-v1", env)
    task = f"cartpole_{cart_pole[1] or 1}d" if cart_pole else env.lower().replace("-", "_")
    assert path.stem.removesuffix("_families") == f"{task}_b{size}"
    found.check_fits(open_task(env), path.name)
    program, *verbs = shlex.split(told["command"])[:3]
    assert [program, *verbs] == ["tune-dd", "distill", "environment"]
    flags = build_parser().parse(shlex.split(told["command"])[3:])
    settings = EnvironmentConfig.parse(flags.given_for(SetConfig, OuterConfig))
    assert (settings.distilled.env, settings.distilled.batch_size) == (env, size)
    assert settings.outer.seed == told["seed"]
    if "config" in told or path in CART_POLES:  # older ones name their commit alone
        # Defaults that change make the command another one: then the set has to be learned anew. An option
        # that is younger than the set was as its own default.
        younger = {**asdict(SetConfig()), **asdict(OuterConfig())}
        assert {**asdict(settings.distilled), **asdict(settings.outer)} == {**younger, **told["config"]}


@pytest.mark.parametrize("path", FAMILIES, ids=lambda path: path.stem)
def test_learners_of_other_families_reach_what_is_told(path: Path) -> None:
    told, found = beside(path), load_distilled_set(path)
    for family, least in LEAST_OF_FAMILIES.items():
        sampled = told["validation"][family]
        assert sampled["mean"] >= least
        now = validate(found, open_task(told["env"]), 20, 1, seed=1, family=family)
        error = math.hypot(max(now.sem, sampled["sd"] / 20**0.5), sampled["sem"])
        assert abs(now.mean - sampled["mean"]) < 4 * error + 1


@by_name
def test_fresh_learners_reach_what_is_told(path: Path) -> None:
    told = beside(path)
    # Learners of another seed than those that the JSON tells of.
    found = validate(load_distilled_set(path), open_task(told["env"]), 20, 1, seed=1)
    sampled = told["validation"]["sampled"]
    if path in CART_POLES:
        dimensions, size = map(int, re.findall(r"\d+", path.stem))
        assert sampled["mean"] >= (LEAST_OF_MANY if size == 512 else LEAST_OF_FEW[dimensions])
    error = math.hypot(max(found.sem, sampled["sd"] / 20**0.5), sampled["sem"])
    assert abs(found.mean - sampled["mean"]) < 4 * error + 1
