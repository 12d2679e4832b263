"""What a verdict is made of: its settings, and the cells of work that follow from them."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainables.errors import InputError
from trainables.latent.cache import content_key
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.distill_config import DistillConfig
from trainables.whole_files import sha256_of
from tune_dd.evaluation.confirmation import code_version
from tune_dd.verdicts import objectives as objectives_module
from tune_dd.verdicts.contenders import Contender
from tune_dd.verdicts.objectives import OBJECTIVES
from tune_dd.verdicts.questions import QUESTIONS, Question


@dataclass(frozen=True)
class Plan:
    """The settings of a verdict, all that its figures depend on.

    Attributes:
        data: which data, and their split.
        encoder: which encoder; its seed is set by the verdict.
        questions: names of questions.
        budgets: points per class; ``None``: those that each question usually has.
        seeds: of distillation, on each encoder.
        encoder_seeds: encoders that sets are made with.
        counts: what each question's contenders may spend.
        cross_encoder_seed: of the encoder that distillation never sees.

    Raises:
        InputError: there are several encoders of features, a question needs images where there are none, or
            the other encoder is no other.
    """

    data: DataConfig
    encoder: EncoderConfig
    questions: tuple[str, ...]
    budgets: tuple[int, ...] | None
    seeds: tuple[int, ...]
    encoder_seeds: tuple[int, ...]
    counts: Mapping[str, int]
    cross_encoder_seed: int

    def __post_init__(self) -> None:
        if not self.has_decoder and len(self.encoder_seeds) > 1:
            raise InputError(
                f"--encoder-seeds is {len(self.encoder_seeds)} with --dataset features",
                "features were computed elsewhere, so there is no encoder to train again",
                "leave it out",
            )
        for name in self.questions:
            if not self.has_decoder and QUESTIONS[name].needs_images:
                raise InputError(
                    f"--questions is {name} with --dataset features",
                    "features have no decoder, and its sets are compared by their images",
                    "leave it out",
                )
        if self.reads_other_encoder and self.cross_encoder_seed in self.encoder_seeds:
            raise InputError(
                f"--cross-encoder-seed is {self.cross_encoder_seed}",
                "distillation sees the encoder of that seed, so it is no other",
                f"give another one, such as {max(self.encoder_seeds) + 1}",
            )

    @property
    def has_decoder(self) -> bool:
        return self.encoder.backbone != "identity"

    @property
    def reads_other_encoder(self) -> bool:
        """Whether any question needs the encoder that distillation never sees."""
        return any(
            OBJECTIVES[name].other_encoder
            for question in self.questions
            for name in self.objectives(QUESTIONS[question])
        )

    def budgets_of(self, question: str) -> tuple[int, ...]:
        """Points per class for which a question is asked."""
        return self.budgets or QUESTIONS[question].budgets

    @property
    def all_budgets(self) -> tuple[int, ...]:
        """Of all questions."""
        return tuple(budget for question in self.questions for budget in self.budgets_of(question))

    @property
    def all_encoders(self) -> tuple[int, ...]:
        """Seeds of the encoders that sets are made with or items are seen by."""
        return self.encoder_seeds + ((self.cross_encoder_seed,) if self.reads_other_encoder else ())

    def objectives(self, question: Question) -> tuple[str, ...]:
        """Those of a question that these data have: features have no decoder."""
        return tuple(name for name in question.objectives if self.has_decoder or not OBJECTIVES[name].decodes)

    def with_seed(self, encoder_seed: int) -> EncoderConfig:
        """The encoder of one seed."""
        return dataclasses.replace(self.encoder, encoder_seed=encoder_seed)

    def settings(self) -> dict[str, Any]:
        """Plain values for JSON; two verdicts of the same settings are one."""
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for part in ("data", "encoder"):
            own |= dataclasses.asdict(own.pop(part))
        del own["encoder_seed"]  # encoder_seeds are those that count
        own |= {QUESTIONS[name].count_name: count for name, count in own.pop("counts").items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()}


@dataclass(frozen=True)
class Cell:
    """One piece of work: a set, made by one contender from one seed on one encoder.

    Attributes:
        question, contender: their names.
        config: the contender's settings, seed included.
        encoder_seed: of the encoder.
        objectives: what the set is scored by.
        identity: a hash of all that determines what comes out; the name of its file.
    """

    question: str
    contender: str
    config: DistillConfig
    encoder_seed: int
    objectives: tuple[str, ...]
    identity: str

    @property
    def budget(self) -> int:
        """Points per class."""
        return self.config.m_per_class


def cells_of(plan: Plan, keys: Mapping[int, str]) -> Iterator[Cell]:
    """Every cell of a verdict; those that differ in cost alternate, so that progress is even.

    Args:
        keys: content keys of the latents by encoder seed, the other encoder's too where it is read.
    """
    contenders = {name: QUESTIONS[name].contenders() for name in plan.questions}
    configs = {
        (name, budget, seed): dataclasses.replace(
            QUESTIONS[name].configure(budget, plan.counts[name]), seed=seed
        )
        for seed in plan.seeds
        for name in plan.questions
        for budget in plan.budgets_of(name)
    }
    for encoder_seed in plan.encoder_seeds:
        for (question, _, seed), config in configs.items():
            objectives = plan.objectives(QUESTIONS[question])
            read = _keys_read(plan, objectives, encoder_seed, keys)
            for name, contender in contenders[question].items():
                if contender.seeded or seed == plan.seeds[0]:
                    identity = _identity(config, name, contender, objectives, read)
                    yield Cell(question, name, config, encoder_seed, objectives, identity)


def _keys_read(
    plan: Plan, objectives: tuple[str, ...], encoder_seed: int, keys: Mapping[int, str]
) -> list[str]:
    other = any(OBJECTIVES[name].other_encoder for name in objectives)
    return [keys[encoder_seed], *([keys[plan.cross_encoder_seed]] if other else [])]


def _identity(
    config: DistillConfig, name: str, contender: Contender, objectives: tuple[str, ...], read: list[str]
) -> str:
    sources = [_digest(inspect.getfile(of)) for of in (contender.make, objectives_module)]
    return content_key(
        {
            "config": dataclasses.asdict(config),
            "contender": name,
            "objectives": list(objectives),
            "latents": read,
            "code": [code_version(), *sources],
            "torch": torch.__version__,
        }
    )


@functools.cache
def _digest(source: str) -> str:
    return sha256_of(Path(source))
