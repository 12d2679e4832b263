"""Plain PPO, the control: a learner trained by the rewards themselves, on the parts that distil.

Network, initialisation, critic, environments, advantages, minibatches and loss are those of
:mod:`trainables.ppmo.algorithm`; only that nothing is distilled.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any

import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from torch import Tensor, nn

from trainables.environment.config import EnvironmentConfig, SetConfig
from trainables.environment.imitation import Policy
from trainables.environment.learners import Parameters
from trainables.environment.population import Population, training_population
from trainables.environment.rollouts import episode_returns
from trainables.environment.tasks import open_task
from trainables.environment.validation import Returns
from trainables.ppmo.algorithm import algorithm_config
from trainables.ppmo.learner import PpmoLearner
from trainables.ppmo.module import SEED, SET, PpmoModule
from trainables.seeds import derive_seed, generator

_DEFAULTS = {"iterations": 75, "outer_lr": 3e-3}


class DirectModule(PpmoModule):
    """One learner, a parameter like any other: nothing is stepped, averaged or drawn again."""

    def setup(self) -> None:
        self.settings = SetConfig(**self.model_config[SET])
        self.seed: int = self.model_config[SEED]
        self.task = open_task(self.settings.env)
        self.population = training_population(("same",), self.task, "none", 1)
        (drawn,) = self.population.draw(generator(self.seed, "learner"))
        self.learner = nn.ParameterDict(drawn)
        self.encoder = nn.ParameterDict()
        self.set_up_statistics("none")

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        with torch.no_grad():
            return self._forward_train(batch)

    def step_learners(
        self, create_graph: bool, which: Tensor | None = None
    ) -> tuple[Population, list[Parameters]]:
        return self.population, [dict(self.learner.items())]

    def redraw(self) -> None:
        """Count the iterations, as minibatches and learning rates follow from their number."""
        self.drawn += 1

    def update_average(self) -> None:
        """There is none: a policy is judged as it stands."""


class DirectLearner(PpmoLearner):
    """An optimiser each for the learner and the critic, clipped and annealed as in distillation."""

    def parameter_groups(self, module: Any, rates: Mapping[str, float]) -> dict[str, tuple[list[Any], float]]:
        return {
            "learner": (list(module.learner.parameters()), rates["outer_lr"]),
            "critic": (list(module.critic.parameters()), rates["critic_lr"]),
        }


def direct_settings(flat: Mapping[str, Any]) -> EnvironmentConfig:
    """Settings for plain PPO; what is left out is as it does well.

    Args:
        flat: by the names of distillation: ``env``, ``normalise`` and those of the outer algorithm, whose
            ``outer_lr`` is that of the learner. What only distillation has does nothing; the number of
            learners is 1.

    Raises:
        InputError: for an unknown name, or a value that breaks its rule.
    """
    return EnvironmentConfig.parse({**_DEFAULTS, **flat, "learners": 1, "families": "same"})


def direct_config(settings: EnvironmentConfig, num_env_runners: int = 0, num_learners: int = 0) -> PPOConfig:
    """What ``build_algo`` takes; arguments as of :func:`~trainables.ppmo.algorithm.algorithm_config`."""
    config = algorithm_config(settings, num_env_runners, num_learners)
    model = config.rl_module_spec.model_config
    return config.rl_module(
        rl_module_spec=RLModuleSpec(module_class=DirectModule, model_config=model)
    ).training(learner_class=DirectLearner)


class DirectRun:
    """Trains one learner. A Ray session must exist. Close it after use.

    Args:
        settings: of :func:`direct_settings`.

    Attributes:
        iteration: iterations done.
        learning_cpu_s: CPU seconds of this process spent on them, judging left out.
    """

    def __init__(self, settings: EnvironmentConfig) -> None:
        self.settings = settings
        self.iteration = 0
        self.learning_cpu_s = 0.0
        self._algorithm = direct_config(settings).build_algo()

    @property
    def _module(self) -> DirectModule:
        module: DirectModule = self._algorithm.env_runner.module
        return module

    @property
    def done(self) -> bool:
        """Whether all iterations have been made."""
        return self.iteration >= self.settings.outer.iterations

    @property
    def env_steps(self) -> int:
        """Environment steps sampled."""
        return self.iteration * self.settings.outer.num_envs * self.settings.outer.rollout_steps

    def step(self) -> None:
        """One iteration."""
        started = time.process_time()
        self._algorithm.train()
        self.iteration += 1
        self.learning_cpu_s += time.process_time() - started

    def policy(self) -> Policy:
        """The learner as it stands."""
        module = self._module
        (learner,) = module.population.architectures
        parameters = {name: p.detach().clone() for name, p in module.learner.items()}
        # Copied, as the next iteration changes the module in place.
        return Policy(learner, parameters, copy.deepcopy(module.perception()))

    def returns(self, episodes: int, greedy: bool = False) -> Returns:
        """Of episodes that are none of training's."""
        policy, task = self.policy(), self._module.task
        seed = derive_seed(self.settings.outer.seed, "direct returns", self.iteration)
        played = episode_returns(
            task, policy.learner, policy.parameters, policy.perception, episodes, seed, greedy
        )
        return Returns(played[0])

    def close(self) -> None:
        """End the algorithm's processes and environments."""
        self._algorithm.stop()
