"""RLlib's PPO with the parts of this package, from an :class:`EnvironmentConfig`."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from trainables.environment.config import EnvironmentConfig, task_of
from trainables.errors import InputError
from trainables.ppmo.batch import PpmoBatch
from trainables.ppmo.env_runner import PpmoEnvRunner
from trainables.ppmo.learner import PpmoLearner
from trainables.ppmo.module import EMA_DECAY, LEARNERS, LIFE, SCALED, SEED, SET, PpmoModule


class Ppmo(PPO):
    """Proximal policy meta-optimisation (Wilhelm and Ventura, 2025), set up by :func:`algorithm_config`."""


def algorithm_config(
    settings: EnvironmentConfig, num_env_runners: int = 0, num_learners: int = 0
) -> PPOConfig:
    """The configuration that ``build_algo`` takes.

    Args:
        num_env_runners: remote processes that sample; with 0 the algorithm's own does.
        num_learners: remote processes that learn; with 0 the algorithm's own does.

    Raises:
        InputError: if the environments cannot be shared out evenly, or a minibatch is too small.
    """
    distilled, outer = settings.distilled, settings.outer
    env = task_of(distilled).env_id
    batch_size = outer.num_envs * outer.rollout_steps // max(1, num_learners)
    num_envs = outer.num_envs // max(1, num_env_runners)
    if num_envs * max(1, num_env_runners) != outer.num_envs or num_envs % outer.learners:
        raise InputError(
            f"{num_env_runners} environment runners share {outer.num_envs} environments",
            f"each needs the same number for each of {outer.learners} learners",
            f"give --num-envs {outer.learners * num_env_runners} or a multiple of it",
        )
    # Several Learners share the episodes, so that one of them may have no step of a group.
    groups = outer.groups if num_learners < 2 else 1
    if outer.minibatch_size * groups < outer.learners:
        raise InputError(
            f"{num_learners} Learners share {outer.learners} learners' episodes, and --minibatch-size is "
            f"{outer.minibatch_size}",
            "an outer step needs steps of all learners then",
            f"give {outer.learners} or more",
        )
    return (
        PPOConfig(algo_class=Ppmo)
        .environment(env)
        .env_runners(
            env_runner_cls=PpmoEnvRunner,
            num_env_runners=num_env_runners,
            num_envs_per_env_runner=num_envs,
            rollout_fragment_length=outer.rollout_steps,
        )
        .learners(num_learners=num_learners, num_gpus_per_learner=0)
        .rl_module(
            rl_module_spec=RLModuleSpec(
                module_class=PpmoModule,
                model_config={
                    SET: dataclasses.asdict(distilled),
                    SEED: outer.seed,
                    LEARNERS: outer.learners,
                    EMA_DECAY: outer.ema_decay,
                    LIFE: outer.learner_life,
                    SCALED: outer.scale_values,
                },
            )
        )
        .training(
            learner_class=PpmoLearner,
            learner_connector=partial(_learner_connector, settings),
            add_default_connectors_to_learner_pipeline=False,
            train_batch_size_per_learner=batch_size,
            minibatch_size=min(outer.minibatch_size, batch_size),
            num_epochs=outer.epochs,
            gamma=outer.gamma,
            lambda_=outer.gae_lambda,
            clip_param=outer.clip,
            entropy_coeff=outer.entropy,
            vf_loss_coeff=outer.value_weight,
            vf_clip_param=float("inf"),
            use_kl_loss=False,
            grad_clip=outer.grad_clip,
            learner_config_dict={
                "outer_lr": outer.outer_lr,
                "inner_lr_lr": outer.inner_lr_lr,
                "encoder_lr": outer.encoder_lr,
                "log_std_lr": outer.log_std_lr,
                "scale_lr": outer.scale_lr,
                "critic_lr": outer.critic_lr,
                "final_lr_factor": outer.final_lr_factor,
                "iterations": outer.iterations,
                "groups": groups,
            },
        )
        .debugging(seed=outer.seed % 2**32, log_level="ERROR")
        .reporting(
            min_time_s_per_iteration=0,
            min_sample_timesteps_per_iteration=0,
            min_train_timesteps_per_iteration=0,
        )
    )


def _learner_connector(
    settings: EnvironmentConfig, observation_space: Any, action_space: Any, device: Any = None
) -> ConnectorV2:
    return PpmoBatch(settings.outer.gamma, settings.outer.gae_lambda, settings.outer.learners, device)
