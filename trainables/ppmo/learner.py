"""The outer learner: RLlib's PPO, with minibatches that give each initialisation its share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from trainables.ppmo.batch import LEARNER
from trainables.ppmo.module import SCALED, PpmoModule
from trainables.seeds import generator


class PpmoLearner(PPOTorchLearner):
    """Back-propagates the PPO loss of stepped learners through the inner step.

    The set, its standard deviations, the inner learning rate, the observations' scale, the critic and the
    encoder between them have an optimiser each, so each is clipped by its own norm. Their rates fall linearly
    over the iterations, to ``final_lr_factor`` times what they were.
    """

    def build(self) -> None:
        super().build()
        self._rates = {
            name: optimizer.param_groups[0]["lr"] for name, optimizer in self._named_optimizers.items()
        }
        self._own.redraw()

    @property
    def _own(self) -> PpmoModule:
        module: PpmoModule = self.module[DEFAULT_MODULE_ID].unwrapped()
        return module

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        groups = self.parameter_groups(self.module[module_id].unwrapped(), config.learner_config_dict)
        for name, (parameters, rate) in groups.items():
            self.register_optimizer(
                module_id=module_id,
                optimizer_name=name,
                optimizer=torch.optim.Adam(parameters, lr=rate, eps=1e-5, fused=True),
                params=parameters,
                lr_or_lr_schedule=rate,
            )

    def parameter_groups(self, module: Any, rates: Mapping[str, float]) -> dict[str, tuple[list[Any], float]]:
        """What each optimiser trains, and its rate at the start, by the optimiser's name."""
        distilled = [p for name, p in module.named_parameters() if name in ("x", "y")]
        groups = {
            "distilled": (distilled, rates["outer_lr"]),
            # At the set's rate actions would soon vary no more, and nothing new would be tried.
            "log_std": ([] if module.task.discrete else [module.y_log_std], rates["log_std_lr"]),
            "inner_lr": ([module.log_inner_lr], rates["inner_lr_lr"]),
            "scale": ([module.log_scale] if module.settings.learn_scale else [], rates["scale_lr"]),
            "encoder": (list(module.encoder.parameters()), rates["encoder_lr"]),
            "critic": (list(module.critic.parameters()), rates["critic_lr"]),
        }
        return {name: group for name, group in groups.items() if group[0]}

    def postprocess_gradients(self, gradients_dict: dict[Any, Any]) -> dict[Any, Any]:
        """Clip those of each optimiser by their norm, and drop those whose norm is not finite.

        This and the next in place of RLlib's, which look at one tensor after another, several times: on small
        sets that takes a tenth of the meta-iteration.
        """
        for optimizer in self._named_optimizers.values():
            (group,) = optimizer.param_groups
            norm = torch.nn.utils.clip_grad_norm_(group["params"], self.config.grad_clip, foreach=True)
            if not norm.isfinite():
                optimizer.zero_grad()
        return gradients_dict

    def apply_gradients(self, gradients_dict: dict[Any, Any]) -> None:
        """Step by the gradients that the parameters hold."""
        for optimizer in self._named_optimizers.values():
            optimizer.step()

    def _create_iterator_if_necessary(
        self,
        *,
        training_data: Any,
        num_total_minibatches: int = 0,
        num_epochs: int = 1,
        minibatch_size: int | None = None,
        **kwargs: Any,
    ) -> Iterator[MultiAgentBatch]:
        batch = self._make_batch_if_necessary(training_data=training_data)
        (rows,) = batch.policy_batches.values()
        counted = rows.get(Columns.LOSS_MASK)
        self._sampled, self._targets = (
            rows[name].flatten(0, 1) if counted is None else rows[name][counted]
            for name in (Columns.OBS, Postprocessing.VALUE_TARGETS)
        )
        # The same number on each Learner, whatever its share of the episodes: they wait for each other.
        number = math.ceil(self.config.train_batch_size_per_learner / (minibatch_size or len(batch)))
        groups = self.config.learner_config_dict["groups"]
        draws = generator(self._own.seed, "minibatches", int(self._own.drawn))
        for _ in range(num_epochs):
            for minibatch in minibatches(rows, number, groups, draws):
                yield MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(minibatch)}, len(minibatch))

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        super().before_gradient_based_update(timesteps=timesteps)
        given = self.config.learner_config_dict
        done = min(1.0, (int(self._own.drawn) - 1) / given["iterations"])
        for name, optimizer in self._named_optimizers.items():
            optimizer.param_groups[0]["lr"] = self._rates[name] * (1 - done * (1 - given["final_lr_factor"]))

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        super().after_gradient_based_update(timesteps=timesteps)
        self._own.update_average()
        if self._own.settings.normalise:  # not before: the learners that sampled saw by the former statistics
            self._own.observe(self._sampled)
        if self._own.model_config[SCALED]:
            self._own.rescale_values(self._targets * self._own.value_scale)
        self._own.redraw()


def minibatches(
    rows: Mapping[str, torch.Tensor], number: int, groups: int, draws: torch.Generator
) -> Iterator[dict[str, torch.Tensor]]:
    """Cut a batch at random into about ``number`` parts, each with as many rows of every learner in it.

    Args:
        rows: columns of shape (K, M, ...).
        groups: into so many the learners are cut, at most K; each part has rows of one group alone, and the
            groups take turns.

    Yields:
        Columns of shape (k * m, ...), learner after learner; with several groups also one of their numbers.
    """
    some = next(iter(rows.values()))
    order = torch.rand(some.shape[:2], generator=draws).argsort(1).to(some.device)  # (K, M)
    mixed = torch.randperm(len(some), generator=draws) if groups > 1 else torch.arange(len(some))
    among = [group.sort().values.to(some.device)[:, None] for group in mixed.tensor_split(groups)]
    parts = math.ceil(number / groups)
    for part, learners in itertools.product(range(parts), among):
        chosen = order[learners.squeeze(1), part::parts]  # (k, m)
        columns = {name: column[learners, chosen].flatten(0, 1) for name, column in rows.items()}
        if groups > 1:
            columns[LEARNER] = learners.expand_as(chosen).flatten()
        yield columns
