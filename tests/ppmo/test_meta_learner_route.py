"""RLlib's own way to differentiate through a step gives the outer gradients that ours gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ray.rllib.algorithms.algorithm_config import DifferentiableAlgorithmConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.differentiable_learner_config import DifferentiableLearnerConfig
from ray.rllib.core.learner.torch.torch_differentiable_learner import TorchDifferentiableLearner
from ray.rllib.core.learner.torch.torch_meta_learner import TorchMetaLearner
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from torch import Tensor, nn

from trainables.environment.config import EnvironmentConfig
from trainables.ppmo.algorithm import Ppmo, algorithm_config
from trainables.ppmo.learner import PpmoLearner
from trainables.ppmo.module import PpmoModule

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
LABELS = "labels"


class NetworkModule(PpmoModule):
    """The learner before its step as parameters; whoever calls exchanges them for stepped ones."""

    def setup(self) -> None:
        super().setup()
        if not self.inference_only:
            self.network = nn.ParameterDict(self.initial.parameters_of()[0])

    def get_non_inference_attributes(self) -> list[str]:
        return [*super().get_non_inference_attributes(), "network"]

    def redraw(self) -> None:
        super().redraw()
        with torch.no_grad():
            for name, drawn in self.initial.parameters_of()[0].items():
                self.network[name].copy_(drawn)

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        # The set is features already; observations are brought to them.
        seen = batch[Columns.OBS] if LABELS in batch else self.features(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: self.act(self.population, [dict(self.network.items())], seen)}


class InnerStep(TorchDifferentiableLearner):
    """Gradient descent on the set with its own learning rate."""

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Tensor], fwd_out: dict[str, Tensor]
    ) -> Tensor:
        module = self.module[module_id].unwrapped()
        outputs, labels = fwd_out[Columns.ACTION_DIST_INPUTS], batch[LABELS]
        if module.task.discrete:
            return (outputs - labels).square().mean()
        means, log_std = outputs.chunk(2, -1)
        return (means - labels).square().mean() + (log_std - module.y_log_std).square().mean()

    def apply_gradients(self, gradients: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        rate = self.module[DEFAULT_MODULE_ID].unwrapped().log_inner_lr.exp()
        ((module_id, named),) = gradients.items()
        # The set and the critic are no part of the inner loss and have no gradient.
        return {
            module_id: {
                name: held if named[name] is None else held - rate * named[name]
                for name, held in params[module_id].items()
            }
        }


class Recording(PpmoLearner):
    """Keeps the gradients of every outer step."""

    def compute_gradients(self, loss_per_module: dict[str, Tensor], **kwargs: Any) -> dict[str, Tensor]:
        found: dict[str, Tensor] = super().compute_gradients(loss_per_module, **kwargs)
        module = self._own
        names = ("x", "y", "y_log_std", "log_inner_lr")
        own = {name: p.grad.clone() for name, p in module.named_parameters() if name in names}
        self.recorded = [*getattr(self, "recorded", []), own]
        return found


class MetaRecording(TorchMetaLearner, Recording):
    """Hands the set to the inner learner; the rest is RLlib's."""

    def update(self, *args: Any, **kwargs: Any) -> Any:
        module = self._own
        # These very parameters, as the outer steps change them in place.
        rows = SampleBatch({Columns.OBS: module.x, LABELS: module.y})
        batch = MultiAgentBatch({DEFAULT_MODULE_ID: rows}, env_steps=len(module.x))
        return super().update(*args, others_training_data=[TrainingData(batch=batch)], **kwargs)


class MetaConfig(PPOConfig, DifferentiableAlgorithmConfig):
    """PPO whose Learner holds others."""

    def get_default_learner_class(self) -> type[TorchMetaLearner]:
        return MetaRecording


def gradients(config: PPOConfig) -> list[dict[str, Tensor]]:
    """Of the set, in the outer steps of one meta-iteration."""
    algorithm = config.build_algo()
    try:
        algorithm.train()
        found: list[dict[str, Tensor]] = algorithm.learner_group._learner.recorded
        return found
    finally:
        algorithm.stop()


@pytest.mark.parametrize("env", ["CartPole-v1", "Reacher-v5"])
def test_both_routes_have_the_same_gradients(env: str) -> None:
    settings = EnvironmentConfig.parse(
        {
            "env": env,
            "batch_size": 8,
            "learners": 1,
            "num_envs": 10,
            "rollout_steps": 20,
            "minibatch_size": 50,
        }
    )
    ours = algorithm_config(settings).training(learner_class=Recording)
    given = {name: value for name, value in ours.to_dict().items() if name not in ("class", "algo_class")}
    theirs = MetaConfig(algo_class=Ppmo).update_from_dict(given)
    theirs.rl_module(
        rl_module_spec=RLModuleSpec(module_class=NetworkModule, model_config=ours.rl_module_spec.model_config)
    ).training(learner_class=MetaRecording)
    theirs.learners(differentiable_learner_configs=[DifferentiableLearnerConfig(learner_class=InnerStep)])
    one, two = gradients(ours), gradients(theirs)
    assert len(one) == len(two) == 16
    for own, other in zip(one, two, strict=True):
        assert own.keys() == other.keys()
        assert len(own) == (3 if env == "CartPole-v1" else 4)
        for name, gradient in own.items():
            assert gradient.abs().max() > 0
            assert (gradient - other[name]).norm() < 1e-4 * gradient.norm(), name
