"""Networks from the user's own files as learners."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
import torch

from trainables.environment.config import EnvironmentConfig, task_of
from trainables.environment.distilled_set import load_distilled_set
from trainables.environment.families import learners
from trainables.environment.own_modules import digests, module_learner
from trainables.environment.tasks import open_task
from trainables.environment.validation import stepped_learners, validate
from trainables.errors import InputError

REPOSITORY = Path(__file__).parents[2]
CART_POLE = open_task("CartPole-v1")
SET = load_distilled_set(REPOSITORY / "examples/distilled/cartpole_1d_b2.pt")
NETWORKS = """\
import math
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Sizes:  # looks its own module up
    width: "int" = 64


def ours():
    sizes = (4, Sizes().width, Sizes().width, 2)
    layers = [nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]
    for layer, gain in zip(layers, (math.sqrt(2), math.sqrt(2), 0.01)):
        nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])


def of_pictures():
    return nn.Linear(512, 6)


class Reacher(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.log_std = nn.Linear(11, 2), nn.Parameter(torch.zeros(2))

    def forward(self, seen):
        return self.body(seen)


def of_three():
    return nn.Linear(4, 3)


def of_vectors():
    return nn.Linear(11, 2)


def counting():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))


def nothing():
    return None


def asking(width):
    return nn.Linear(4, width)


class Aside(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.unused = nn.Linear(4, 2), nn.Linear(3, 3)

    def forward(self, seen):
        return self.body(seen)


def empty():
    return nn.Flatten()


def frozen():
    return nn.Linear(4, 2).requires_grad_(False)


alone = nn.Linear(4, 2)


def shared():
    return alone


class Detached(Aside):
    def forward(self, seen):
        return self.body(seen).detach()


class Endless(Aside):
    def forward(self, seen):
        return self.body(seen) / 0


class Threes(Aside):
    def forward(self, seen):
        return self.body(seen).reshape(3, 2)


def leaving():
    raise SystemExit(3)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "nets.py"
    path.write_text(NETWORKS)
    return path


def test_the_reference_network_from_a_file_learns_what_ours_does(file: Path) -> None:
    returns = validate(SET, CART_POLE, 20, 1, family=f"{file}:ours")
    assert returns.mean > 450, "the set teaches our 500"
    assert validate(SET, CART_POLE, 20, 1, family=f"{file}:ours", inner_steps=0).mean < 60


def test_draws_do_not_hang_on_where_the_file_lies(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "copy.py"
    other.parent.mkdir()
    other.write_text(NETWORKS)
    one, two = (
        next(stepped_learners(SET, CART_POLE, 3, f"{path}:ours", None, 0))[1] for path in (file, other)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["0.weight"][0], one["0.weight"][1])


def test_parameters_that_are_never_used_stay_as_they_are(file: Path) -> None:
    stepped, untrained = (
        next(stepped_learners(SET, CART_POLE, 2, f"{file}:Aside", steps, 0))[1] for steps in (None, 0)
    )
    assert torch.equal(stepped["unused.weight"], untrained["unused.weight"])
    assert not torch.equal(stepped["body.weight"], untrained["body.weight"])


def test_a_file_imports_from_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beside_the_networks.py").write_text(NETWORKS)
    (tmp_path / "importing.py").write_text(
        "import sys\n\nfrom beside_the_networks import ours\n\nsys.path.insert(0, '/of/the/file')\n"
    )
    before = list(sys.path)
    monkeypatch.setattr(sys, "path", list(before))
    module_learner(f"{tmp_path}/importing.py:ours", CART_POLE, "none")
    assert sys.path == ["/of/the/file", *before]


def test_it_sees_what_learners_of_the_task_see(file: Path) -> None:
    (behind,) = learners(f"{file}:of_pictures", open_task("Pong"), "l4")
    assert behind.draw(2, torch.Generator())["weight"].shape == (2, 6, 512)
    assert "log_std" in module_learner(f"{file}:Reacher", open_task("Reacher-v4"), "none").draw(
        1, torch.Generator()
    )


@pytest.mark.parametrize(
    ("name", "env", "told"),
    [
        ("of_three", "CartPole-v1", "maps (3, 4) to (3, 3), but a learner of CartPole-v1 must map"),
        ("counting", "CartPole-v1", "RuntimeError: Batch norm"),
        ("nothing", "CartPole-v1", "nothing() is no torch.nn.Module but of type NoneType"),
        ("asking", "CartPole-v1", "missing 1 required positional argument: 'width'"),
        ("absent", "CartPole-v1", "the file has no absent"),
        ("empty", "CartPole-v1", "empty() has no parameters to learn"),
        ("frozen", "CartPole-v1", "weight does not require a gradient"),
        ("shared", "CartPole-v1", "gives the same parameters each time"),
        ("Detached", "CartPole-v1", "RuntimeError: "),
        ("Endless", "CartPole-v1", "its outputs or their gradients are not finite"),
        ("Threes", "CartPole-v1", "RuntimeError: "),
        ("leaving", "CartPole-v1", "SystemExit: 3"),
        ("", "CartPole-v1", "is to be named behind the colon"),
        ("of_vectors", "Reacher-v4", "whose deviations a parameter log_std (2,) tells: mend log_std"),
    ],
)  # fmt: skip
def test_what_cannot_learn_the_task_is_told(file: Path, name: str, env: str, told: str) -> None:
    family = f"{file}:{name}"
    settings = EnvironmentConfig.parse({"env": env, "families": family})
    with pytest.raises(InputError) as error:
        task_of(settings.distilled)
    assert told in str(error.value) and str(error.value).count(family) == 1


def test_a_log_std_where_there_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "nets.py"
    path.write_text(NETWORKS.replace("nn.Linear(11, 2)", "nn.Linear(4, 2)"))
    with pytest.raises(InputError, match="actions of CartPole-v1 have no deviations"):
        module_learner(f"{path}:Reacher", CART_POLE, "none")


def test_absent_and_broken_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        module_learner(f"{tmp_path}/absent.py:Net", CART_POLE, "none")
    broken = tmp_path / "broken.py"
    broken.write_text("from nowhere_at_all import Net\n")
    with pytest.raises(InputError, match="ModuleNotFoundError: No module named 'nowhere_at_all'"):
        module_learner(f"{broken}:Net", CART_POLE, "none")


def test_settings_name_whole_paths(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    settings = EnvironmentConfig.parse({"families": "same+nets.py:ours"})
    assert settings.distilled.families == f"same+{file}:ours"
    digest = hashlib.sha256(NETWORKS.encode()).hexdigest()
    assert digests(settings.distilled.family_names) == {f"{file}:ours": digest}
