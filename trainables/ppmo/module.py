"""The RLModule: what is distilled, a critic, and the learners of this meta-iteration.

Two copies exist. A Learner's has everything. An EnvRunner's has the *stepped* learners alone, so sampling
does no inner step and the weights that travel are those.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, nn

from trainables.environment.config import SetConfig
from trainables.environment.critic import Critic
from trainables.environment.distilled_set import DistilledSet
from trainables.environment.learners import Parameters
from trainables.environment.perception import Perception, draw_encoder
from trainables.environment.population import Population, training_population
from trainables.environment.rollouts import random_states
from trainables.environment.tasks import open_task
from trainables.ppmo.batch import LEARNER
from trainables.precision import fast_dtype
from trainables.seeds import derive_seed, generator

SET, SEED, LEARNERS, EMA_DECAY, LIFE = "distilled", "seed", "learners", "ema_decay", "learner_life"
SCALED = "scale_values"
_FORGOTTEN = 0.1
"""The share of what is known of the values' size that each meta-iteration replaces."""
_LEAST_SCALE = 1e-3
_GREATEST_LOG = 30.0
"""Of a learned scale; far beyond what any serves."""
_FIRST_SEEN = 1_000
"""Real states that statistics start from; of pictures many more would fill the memory."""


class PpmoModule(TorchRLModule, ValueFunctionAPI, InferenceOnlyAPI):
    """Parameters: ``x`` (B, *observation), ``y`` (B, actions), ``y_log_std`` (1, actions) for vector actions,
    ``log_inner_lr`` (), ``log_scale`` (*observation) if that is learned, the encoder's, the critic's.

    ``model_config`` holds a :class:`SetConfig` as a dict, the seed, the number of learners, their life, the
    decay of the moving average, and whether the critic learns values in units of ``value_scale``.
    """

    def setup(self) -> None:
        self.settings = SetConfig(**self.model_config[SET])
        self.seed: int = self.model_config[SEED]
        self.task = open_task(self.settings.env)
        self.population = training_population(
            self.settings.family_names, self.task, self.settings.encoder_level, self.model_config[LEARNERS]
        )
        drawn = self.population.draw(generator(self.seed, "shapes"))
        self.stepped = _Bank(drawn)
        self.set_up_statistics(self.settings.encoder_level)
        if self.settings.learn_scale:
            self.log_scale = nn.Parameter(torch.zeros(self.task.observation_shape))
        self.encoder = nn.ParameterDict(
            draw_encoder(self.settings.encoder_level, generator(self.seed, "encoder"))
        )
        if self.inference_only:
            return
        batch, actions = self.settings.batch_size, self.task.actions
        draws = generator(self.seed, "distilled set")
        x = torch.randn(batch, *self.task.observation_shape, generator=draws)
        if self.settings.states == "real":
            x = self._real_states(batch)
        self.x = nn.Parameter(x)
        if self.settings.targets == "hard":
            self.register_buffer("y", nn.functional.one_hot(torch.arange(batch) % actions, actions).float())
        else:
            self.y = nn.Parameter(torch.randn(batch, actions, generator=draws))
        if not self.task.discrete:
            self.y_log_std = nn.Parameter(torch.zeros(1, actions))
        self.log_inner_lr = nn.Parameter(torch.tensor(math.log(self.settings.inner_lr)))
        self.initial = _Bank(drawn)
        self.averaged = _Bank([{name: p.detach() for name, p in self.distilled_parameters().items()}])

    def _real_states(self, count: int) -> Tensor:
        """States of random actions as the set has them, (count, *observation).

        Where they are to be normalised the statistics start from more of these, as else the states would be
        read by later ones, by which they are something else.
        """
        seen = max(count, _FIRST_SEEN)
        states = random_states(self.task, seen, derive_seed(self.seed, "real states"))
        if self.settings.normalise:
            self.observe(states)
        return self.perception().normalise(states[:count])

    def set_up_statistics(self, level: str) -> None:
        """What is known of observations, and beside sampling the critic with the size of its values.

        Args:
            level: of the encoder that the critic stands behind.
        """
        if self.settings.normalise:
            self.register_buffer("mean", torch.zeros(self.task.observation_shape))
            self.register_buffer("variance", torch.ones(self.task.observation_shape))
        if self.inference_only:
            return
        self.critic = Critic(self.task, generator(self.seed, "critic"), level)
        self.register_buffer("value_scale", torch.ones(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.float64))
        self.register_buffer("drawn", torch.zeros((), dtype=torch.int64))

    def get_non_inference_attributes(self) -> list[str]:
        distilled = ["x", "y", "y_log_std", "log_inner_lr", "averaged", "initial"]
        return [*distilled, "critic", "value_scale", "drawn", "seen"]

    def distilled_parameters(self) -> dict[str, Tensor]:
        """What makes up the set, by name; the average over iterations is of these."""
        named = {name: p for name, p in self.named_parameters() if name in _DISTILLED}
        return named | {f"encoder_{name}": p for name, p in self.encoder.items()}

    # Sampling

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        with torch.no_grad():
            features = self.features(batch[Columns.OBS])
            outputs = self.act(self.population, self.stepped.parameters_of(), features)
        return {Columns.ACTION_DIST_INPUTS: outputs}

    def features(self, observations: Tensor) -> Tensor:
        """What learners and critic see of raw observations: (n, *observation) -> (n, *features) float32."""
        with self._arithmetic(observations.device):
            return self.perception()(observations).float()

    def act(self, population: Population, parameters: list[Parameters], features: Tensor) -> Tensor:
        """Inputs of the action distribution for rows that belong to K learners in equal shares, in order.

        (K * n, *features) -> (K * n, actions), or (K * n, 2 * actions) with the log of the deviations.
        """
        outputs = population.outputs(
            parameters, features.unflatten(0, (population.count, -1))
        )  # (K, n, actions)
        log_std = population.log_std(parameters)
        if log_std is not None:
            outputs = torch.cat([outputs, log_std.unsqueeze(1).expand_as(outputs)], -1)
        return outputs.flatten(0, 1)

    def perception(self) -> Perception:
        """How observations are seen now."""
        known = self.settings.normalise
        return Perception(
            self.task.observation_scale,
            self.mean if known else None,
            scaled_variance(self.variance, getattr(self, "log_scale", None)) if known else None,
            dict(self.encoder.items()) or None,
        )

    def _arithmetic(self, device: torch.device) -> contextlib.AbstractContextManager[object]:
        """Narrow numbers for the encoder's and the critic's convolutions, where they take half the time."""
        if not self.task.sees_pictures or fast_dtype(device) == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(device.type, fast_dtype(device))

    # Learning

    def step_learners(
        self, create_graph: bool, which: Tensor | None = None
    ) -> tuple[Population, list[Parameters]]:
        """This meta-iteration's learners after the inner step: all, or those numbered ``which``, (k,)."""
        population, initial = self.population, self.initial.parameters_of()
        if which is not None:
            population, initial = population.part(which, initial)
        with self._arithmetic(self.x.device):
            x = self.perception().encode(self.x)
        return population, population.step(
            initial,
            x.float(),
            self.y,
            self.log_inner_lr.exp(),
            y_log_std=getattr(self, "y_log_std", None),
            loss=loss_of(self.settings),
            steps=self.settings.inner_steps,
            create_graph=create_graph,
        )

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features = self.features(batch[Columns.OBS])
        # Only those whose rows these are take the inner step, which is most of the work.
        which = torch.unique_consecutive(batch[LEARNER]) if LEARNER in batch else None
        outputs = self.act(*self.step_learners(True, which), features)
        # An encoder learns from values too. A scale that did would go by the critic's comfort, so where there
        # is no encoder to lead the gradient to, none goes back.
        seen_by_critic = features if self.encoder else features.detach()
        return {Columns.ACTION_DIST_INPUTS: outputs, Columns.EMBEDDINGS: seen_by_critic}

    def compute_values(self, batch: Mapping[str, Any], embeddings: Any = None) -> Tensor:
        features = self.features(batch[Columns.OBS]) if embeddings is None else embeddings
        with self._arithmetic(features.device):
            values: Tensor = self.critic(features).squeeze(-1)
        return values.float()

    def redraw(self) -> None:
        """Put fresh learners in the place of those whose life is over, and step all of them anew.

        A learner that lives longer than one meta-iteration comes into the states that it leads to itself;
        else others soon take its environments over, and a slow drift goes unseen. Lives end in turns. The
        draws are the same on every Learner and when resumed.
        """
        first = not self.drawn
        self.drawn += 1
        if first or not self.settings.static_learners:
            fresh = self.population.draw(generator(self.seed, "learners", int(self.drawn)))
            turns = torch.arange(self.population.count) + self.drawn
            due = first | (turns % self.model_config[LIFE] == 0)
            self.initial.fill(fresh, due.split(self.population.counts))
        self.stepped.fill(self.step_learners(False)[1])

    def update_average(self) -> None:
        """Move the moving average towards the set as it is."""
        (kept,) = self.averaged.parameters_of()
        for name, parameter in self.distilled_parameters().items():
            kept[name].lerp_(parameter.detach(), 1 - self.model_config[EMA_DECAY])

    @torch.no_grad()
    def observe(self, observations: Tensor) -> None:
        """Take raw observations (n, *observation) into the statistics, those of all Learners alike."""
        scaled = observations.double() * self.task.observation_scale
        count, total, squares = _sums(scaled)
        mean, variance = total / count, (squares / count - (total / count).square()).clamp_min(0)
        whole, share = self.seen + count, count / (self.seen + count)
        apart = mean - self.mean
        self.variance.copy_(
            (1 - share) * self.variance + share * variance + share * (1 - share) * apart.square()
        )
        self.mean.add_(share * apart)
        self.seen.copy_(whole)

    @torch.no_grad()
    def rescale_values(self, targets: Tensor) -> None:
        """Move the unit of values towards the root mean square of raw targets (n,), those of all Learners.

        The critic's last layer makes up for it, so that no value changes (van Hasselt et al., "Learning
        values across many orders of magnitude", 2016, without their shift by the mean).
        """
        count, _, squares = _sums(targets.double())
        share = 1.0 if self.drawn == 1 else _FORGOTTEN
        former = self.value_scale.clone()
        mean_square = former.double().square().lerp(squares / count, share)
        self.value_scale.copy_(mean_square.sqrt().clamp_min(_LEAST_SCALE))
        self.critic.scale_outputs(float(former / self.value_scale))


def distilled_set(state: Mapping[str, Any], settings: SetConfig) -> DistilledSet:
    """The averaged set, from the state of a Learner's module."""
    prefix, suffix = "averaged.", "_0"
    kept = {
        name.removeprefix(prefix).removesuffix(suffix): torch.as_tensor(value, dtype=torch.float32)
        for name, value in state.items()
        if name.startswith(prefix)
    }
    own = "encoder_"
    encoder = {name.removeprefix(own): value for name, value in kept.items() if name.startswith(own)}
    return DistilledSet(
        kept["x"],
        kept["y"] if "y" in kept else torch.as_tensor(state["y"]),
        kept["log_inner_lr"].exp(),
        kept.get("y_log_std"),
        encoder=encoder or None,
        mean=torch.as_tensor(state["mean"]) if settings.normalise else None,
        variance=scaled_variance(torch.as_tensor(state["variance"]), kept.get("log_scale"))
        if settings.normalise
        else None,
        loss=loss_of(settings),
        inner_steps=settings.inner_steps,
    )


def scaled_variance(variance: Tensor, log_scale: Tensor | None) -> Tensor:
    """A variance that normalises and scales in one: dividing by less is multiplying by more.

    Finite whatever was learned, as a file with other variances would not open.
    """
    if log_scale is None:
        return variance
    shrunk = variance * (-2 * log_scale.clamp(-_GREATEST_LOG, _GREATEST_LOG)).exp()
    return shrunk.clamp_max(torch.finfo(shrunk.dtype).max)


def loss_of(settings: SetConfig) -> str:
    """The inner loss: hard targets are probabilities, soft ones logits."""
    return "cross_entropy" if settings.targets == "hard" else "mse"


def _sums(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number, sum and sum of squares of the rows of all Learners, float64."""
    count = torch.full((), float(len(rows)), dtype=torch.float64, device=rows.device)
    sums = count, rows.sum(0), rows.square().sum(0)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        for part in sums:
            torch.distributed.all_reduce(part)
    return sums


_DISTILLED = ("x", "y", "y_log_std", "log_inner_lr", "log_scale")


class _Bank(nn.Module):
    """Parameters of learners as buffers: part of the state, but not trained."""

    def __init__(self, content: list[Parameters]) -> None:
        super().__init__()
        self._names = [list(parameters) for parameters in content]
        for i, parameters in enumerate(content):
            for name, tensor in parameters.items():
                self.register_buffer(self._key(i, name), tensor.clone())

    @staticmethod
    def _key(i: int, name: str) -> str:
        # Parts of a module have names with dots, which torch does not take.
        return f"{name}_{i}".replace(".", "/")

    def parameters_of(self) -> list[Parameters]:
        """The tensors themselves."""
        return [
            {name: self.get_buffer(self._key(i, name)) for name in names}
            for i, names in enumerate(self._names)
        ]

    def fill(self, content: list[Parameters], which: Sequence[Tensor] | None = None) -> None:
        """Overwrite them: of each architecture all learners, or those in ``which``, (K,) bool each."""
        for i, (held, parameters) in enumerate(zip(self.parameters_of(), content, strict=True)):
            rows = slice(None) if which is None else which[i]
            for name, tensor in parameters.items():
                held[name][rows] = tensor.detach()[rows]
