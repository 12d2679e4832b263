"""Learners of the user's own: ``FILE.py:NAME`` says what builds such a network.

The file is run like any program of the user's, each time that its learners are asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import math
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from trainables.environment.choices import MODULE, is_module
from trainables.environment.general_learner import ModuleLearner
from trainables.environment.inner_step import inner_step
from trainables.environment.learners import LOG_STD, Parameters
from trainables.environment.perception import Perception, draw_encoder
from trainables.environment.tasks import Task
from trainables.errors import InputError
from trainables.seeds import generator
from trainables.whole_files import sha256_of

_SEEN = (2, 3)
"""Learners, and observations of each, that a network is tried with."""


def module_learner(family: str, task: Task, level: str) -> ModuleLearner:
    """Copies of the network that a file builds, tried once.

    Args:
        family: ``FILE.py:NAME``; NAME is a class or function in it that, without arguments, gives a module
            as :class:`ModuleLearner` has them.
        level: of the encoder whose features the network sees in place of observations.

    Raises:
        InputError: there is no such file or name in it, or what it gives cannot be a learner of the task.
    """
    path, name = _parts(family)
    if not name:
        raise InputError(
            f"--families names '{family}'",
            "what builds the network is to be named behind the colon",
            f"write it as {MODULE}",
        )
    if not path.is_file():
        raise InputError(f"--families names '{family}'", f"there is no file {path}", "correct the path")
    drawn = generator(0, "trying a module")
    encoder = draw_encoder(level, drawn) or None
    seen = torch.randn(math.prod(_SEEN), *task.observation_shape, generator=drawn)
    encoded = Perception(encoder=encoder).encode(seen)
    features = encoded.reshape(*_SEEN, *encoded.shape[1:])
    with _told(family, name, features):
        make = vars(_executed(path)).get(name)
        if make is None:
            raise NameError(f"the file has no {name}")
        _check_built(name, make(), make())
        learner = ModuleLearner(make)
        parameters = learner.draw(_SEEN[0], drawn)
        shape = tuple(learner(parameters, features).shape)
        learner(parameters, features[:, :1])  # an episode alone shows one observation at a time
    expected = (*_SEEN, task.actions)
    if shape != expected:
        raise InputError(
            f"--families names '{family}', which maps {tuple(features.shape[1:])} to {shape[1:]}",
            f"a learner of {task.env_id} must map them to {expected[1:]}",
            "mend the file",
        )
    deviations = parameters.get(LOG_STD)
    if (deviations is not None) == task.discrete or (
        deviations is not None and tuple(deviations.shape[1:]) != (task.actions,)
    ):
        rule = (
            f"actions of {task.env_id} have no deviations"
            if task.discrete
            else f"actions of {task.env_id} are vectors, whose deviations a parameter {LOG_STD} "
            f"({task.actions},) tells"
        )
        raise InputError(f"--families names '{family}'", rule, f"mend {LOG_STD} in the file")
    with _told(family, name, features):
        _take_a_step(learner, parameters, features, task)
    return learner


def _check_built(name: str, one: object, other: object) -> None:
    """Hold two networks that were built in turn against what learners must be.

    Raises:
        TypeError: they are none, one and the same, or not to be trained as a whole.
    """
    if not isinstance(one, nn.Module) or not isinstance(other, nn.Module):
        raise TypeError(f"{name}() is no torch.nn.Module but of type {type(one).__name__}")
    named = dict(one.named_parameters())
    if not named:
        raise TypeError(f"{name}() has no parameters to learn")
    if {id(parameter) for parameter in other.parameters()} & {id(parameter) for parameter in named.values()}:
        raise TypeError(f"{name}() gives the same parameters each time, but each learner needs its own")
    fixed = [parameter for parameter, tensor in named.items() if not tensor.requires_grad]
    if fixed:
        raise TypeError(
            f"{fixed[0]} does not require a gradient, but a learner's step changes all parameters"
        )


def _take_a_step(learner: ModuleLearner, parameters: Parameters, features: Tensor, task: Task) -> None:
    """An inner step, differentiated as distillation does.

    Raises:
        ArithmeticError: what comes out is not finite.
    """
    targets = torch.zeros(_SEEN[1], task.actions, requires_grad=True)
    log_std = None if task.discrete else torch.zeros(1, task.actions)
    stepped = inner_step(learner, parameters, features[0], targets, torch.tensor(1e-3), y_log_std=log_std)
    outputs = learner(stepped, features)
    (gradient,) = torch.autograd.grad(outputs.sum(), [targets])
    if not (outputs.isfinite().all() and gradient.isfinite().all()):
        raise ArithmeticError("its outputs or their gradients are not finite")


@contextlib.contextmanager
def _told(family: str, name: str, features: Tensor) -> Iterator[None]:
    """Whatever the user's code raises, as a message."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise InputError(
            f"--families names '{family}': {type(error).__name__}: {textwrap.shorten(str(error), 200)}",
            f"{name} must build, without arguments, a network for inputs {tuple(features.shape[2:])} that "
            "torch.func.vmap can call and one step can train",
            "mend the file",
        ) from error


def digests(families: Iterable[str]) -> dict[str, str]:
    """SHA-256 of the file of each family that is of the user's own."""
    return {family: sha256_of(_parts(family)[0]) for family in families if is_module(family)}


def _parts(family: str) -> tuple[Path, str]:
    path, _, name = family.rpartition(":")
    return Path(path).expanduser(), name


def _executed(path: Path) -> ModuleType:
    # A name of its own, so that files that are called alike in several folders do not meet; and listed, as
    # dataclasses and others look their module up.
    name = f"_tune_dd_{hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # a file that ends in .py has both
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # A program's own folder is where its imports are looked for first.
    folder = str(path.absolute().parent)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    finally:
        with contextlib.suppress(ValueError):  # the file may have changed the list itself
            sys.path.remove(folder)
    return module
