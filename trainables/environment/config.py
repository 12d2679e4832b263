"""Settings of an environment distillation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainables.environment.choices import (
    FAMILIES_TOLD,
    LEVELS,
    MODULE,
    check_family,
    resolved_families,
)
from trainables.errors import InputError
from trainables.schema import check_options, from_flat, option, refuse_unknown

if TYPE_CHECKING:  # gymnasium takes a while to import: only once a task is asked for
    from trainables.environment.tasks import Task

TARGETS = ("soft", "hard")
STATES = ("normal", "real")


@dataclass(frozen=True)
class SetConfig:
    """The distilled set and the learners it is made for."""

    env: str = option("CartPole-v1", "the task: CartPole-v1, CartPole<N>D-v1, Hopper-v5, Pong, ...")
    batch_size: int = option(2, "synthetic states in the set", at_least=1, at_most=1_000_000)
    targets: str = option(
        "soft", "learn the targets, or keep them fixed as one action a state", choices=TARGETS
    )
    states: str = option("normal", "start from noise, or from states of a random policy", choices=STATES)
    inner_lr: float = option(0.3, "learning rate of the inner step at the start", above=0.0, at_most=1e30)
    inner_steps: int = option(1, "gradient steps a learner takes on the set", at_least=1)
    encoder_level: str = option(
        "none", "layers that are learned with the set, before those of the learner (pictures only)",
        choices=tuple(LEVELS),
    )  # fmt: skip
    normalise: bool = option(False, "normalise observations with statistics that travel with the set")
    learn_scale: bool = option(
        False,
        "learn with the set what each entry of a normalised observation is multiplied by before a learner "
        "sees it",
    )
    families: str = option(
        "same",
        "families of learners to train for, joined by '+' (one that is named twice gets twice as many): "
        + f"{FAMILIES_TOLD}, or a network of your own as {MODULE}",
    )
    static_learners: bool = option(False, "train for one draw of learners only")

    def __post_init__(self) -> None:
        check_options(self)
        for family in self.family_names:
            check_family(family)
        if self.learn_scale and not self.normalise:
            raise InputError(
                "--learn-scale is given without --normalise",
                "it scales what is normalised",
                "add --normalise, or leave --learn-scale out",
            )

    @property
    def family_names(self) -> tuple[str, ...]:
        """The families to train for, as often as they are named."""
        return tuple(self.families.split("+"))


@dataclass(frozen=True)
class OuterConfig:
    """Proximal policy meta-optimisation: how the set is learned."""

    iterations: int = option(
        300,
        "meta-iterations, each --num-envs x --rollout-steps environment steps and several outer steps",
        at_least=1,
    )
    learners: int = option(25, "learners in each meta-iteration; --num-envs must be a multiple", at_least=1)
    learner_life: int = option(
        10, "meta-iterations in which a learner acts before a fresh one takes its place", at_least=1
    )
    num_envs: int = option(50, "environments stepped side by side", at_least=1)
    rollout_steps: int = option(40, "steps of each environment in a meta-iteration", at_least=1)
    epochs: int = option(4, "passes over a meta-iteration's steps", at_least=1)
    minibatch_size: int = option(512, "environment steps in one outer step", at_least=1)
    learner_groups: int = option(
        1,
        "groups that the learners are split into; an outer step goes by the steps of one group alone, which "
        "makes it cheaper",
        at_least=1,
    )
    outer_lr: float = option(1e-2, "Adam's learning rate of the set", above=0.0, at_most=1e30)
    inner_lr_lr: float = option(
        1e-2, "Adam's learning rate of the inner learning rate's logarithm", above=0.0, at_most=1e30
    )
    encoder_lr: float = option(
        2.5e-4, "Adam's learning rate of the encoder, where there is one", above=0.0, at_most=1e30
    )
    log_std_lr: float = option(
        2e-3,
        "Adam's learning rate of the logarithms that the set teaches standard deviations by, where actions "
        "are vectors",
        above=0.0,
        at_most=1e30,
    )
    scale_lr: float = option(
        1e-2,
        "Adam's learning rate of the logarithms of what --learn-scale learns",
        above=0.0,
        at_most=1e30,
    )
    critic_lr: float = option(1e-2, "Adam's learning rate of the critic", above=0.0, at_most=1e30)
    final_lr_factor: float = option(
        0.01,
        "what these rates are multiplied by at the end; they fall to it linearly",
        at_least=0.0,
        at_most=1.0,
    )
    clip: float = option(
        0.2, "PPO's clip parameter: the ratio of probabilities counts from 1 - this to 1 + this", above=0.0
    )
    entropy: float = option(0.0, "coefficient of the policy's entropy bonus", at_least=0.0)
    gamma: float = option(0.997, "discount factor", above=0.0, at_most=1.0)
    gae_lambda: float = option(0.95, "lambda of generalised advantage estimation", at_least=0.0, at_most=1.0)
    value_weight: float = option(
        0.5, "coefficient of the value loss, which matters where an encoder learns from it", at_least=0.0
    )
    scale_values: bool = option(
        False, "learn the critic in units of the values' own size, for tasks whose returns are large or small"
    )
    grad_clip: float = option(
        0.5, "largest gradient norm, of the set, of the critic and of whatever else has a rate", above=0.0
    )
    ema_decay: float = option(
        0.9,
        "decay of the set's exponential moving average over meta-iterations, which is the result",
        at_least=0.0,
        at_most=0.9999,
    )
    seed: int = option(0, "of everything that is drawn in distillation", at_least=0)

    def __post_init__(self) -> None:
        check_options(self)
        if self.num_envs % self.learners:
            raise InputError(
                f"--learners is {self.learners} and --num-envs is {self.num_envs}",
                "each learner needs the same number of environments",
                f"give --num-envs {-(-self.num_envs // self.learners) * self.learners}",
            )
        together = math.ceil(self.learners / self.groups)
        if self.minibatch_size < together:
            raise InputError(
                f"--minibatch-size is {self.minibatch_size}",
                f"an outer step needs steps of {together} learners",
                f"give {together} or more",
            )

    @property
    def groups(self) -> int:
        """Groups of learners, each of at least one."""
        return min(self.learner_groups, self.learners)


@dataclass(frozen=True)
class ProbeConfig:
    """How a set is judged while it is learned."""

    probe_learners: int = option(100, "fresh learners in a probe, never those of training", at_least=2)
    probe_episodes: int = option(1, "episodes of each", at_least=1)
    iterations_per_report: int = option(10, "meta-iterations between two probes", at_least=1)
    target_return: float | None = option(
        None,
        "end once the means of two probes, of other learners each, are above this by two standard errors "
        "(default: make all meta-iterations)",
    )
    threads: int = option(1, "threads of PyTorch", at_least=1)

    def __post_init__(self) -> None:
        check_options(self)


def task_of(settings: SetConfig) -> Task:
    """The task that a set is distilled from.

    Raises:
        InputError: there is none of that name, or it does not go with the other settings.
    """
    from trainables.environment.families import learners
    from trainables.environment.tasks import open_task

    task = open_task(settings.env)
    if settings.targets == "hard" and not task.discrete:
        raise InputError(
            f"--targets is hard with --env {task.env_id}",
            "its actions are vectors, and hard targets name one action of several",
            "leave --targets out",
        )
    if settings.encoder_level != "none" and not task.sees_pictures:
        raise InputError(
            f"--encoder-level is {settings.encoder_level}",
            f"{task.env_id} shows no pictures",
            "leave it out, or choose an Atari game",
        )
    for family in settings.family_names:
        learners(family, task, settings.encoder_level)
    return task


PARTS = (SetConfig, OuterConfig, ProbeConfig)


@dataclass(frozen=True)
class EnvironmentConfig:
    """All settings of one environment distillation."""

    distilled: SetConfig = dataclasses.field(default_factory=SetConfig)
    outer: OuterConfig = dataclasses.field(default_factory=OuterConfig)
    probe: ProbeConfig = dataclasses.field(default_factory=ProbeConfig)

    def __post_init__(self) -> None:
        families = len(self.distilled.family_names)
        if self.outer.learners < families:
            raise InputError(
                f"--learners is {self.outer.learners} and --families names {families}",
                "each family needs a learner in every meta-iteration",
                f"give --learners {families} or more",
            )

    @classmethod
    def parse(cls, flat: Mapping[str, Any]) -> EnvironmentConfig:
        """Build it from flat settings; what is left out is what suits the task.

        Raises:
            InputError: for an unknown name or task, or a value that breaks its rule.
        """
        from trainables.environment.usual import usual_settings

        refuse_unknown(flat, PARTS)
        flat = {**usual_settings(flat), **flat}
        if isinstance(flat.get("families"), str):
            flat["families"] = resolved_families(flat["families"])
        return cls(from_flat(SetConfig, flat), from_flat(OuterConfig, flat), from_flat(ProbeConfig, flat))

    def flat(self) -> dict[str, Any]:
        """Every setting by its name."""
        return {
            name: value
            for part in (self.distilled, self.outer, self.probe)
            for name, value in dataclasses.asdict(part).items()
        }
