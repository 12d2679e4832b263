"""The settings of one distilled set: the method, what it starts from, and what it learns by."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainables.errors import InputError
from trainables.schema import check_options, option

PROTOTYPE_METHODS = ("implicit", "unrolled", "gradient_matching", "kernel_ridge")
METHODS = (*PROTOTYPE_METHODS, "rl_selection", "rl_shaping")
LABEL_TRACKS = ("hard", "soft")
INITIALISATIONS = ("random", "herding", "kmeans")
SELECTION_STARTS = ("random", "herding", "kmeans_medoids")
SELECTION_POLICIES = ("sequential", "one_shot")
SHAPING_REWARDS = ("auto", "roundtrip_accuracy", "probe_accuracy")
RL_ITERATIONS = 6
"""Reports of a method with a policy: as many as the others usually give, so that a scheduler can compare."""


@dataclass(frozen=True)
class DistillConfig:
    """How prototypes are learned from latents."""

    method: str = option(
        "implicit", "how prototypes are learned, or (rl_selection) real points chosen", choices=METHODS
    )
    labels: str = option("hard", "labels of the prototypes: fixed one-hot, or learned", choices=LABEL_TRACKS)
    m_per_class: int = option(10, "prototypes per class", at_least=1)
    proto_steps_base: int = option(60, "optimisation steps on the prototypes", at_least=1)
    steps_per_iteration: int = option(10, "steps between two reports (a training_iteration)", at_least=1)
    lr: float = option(
        0.1, "Adam's learning rate on the prototypes, annealed to zero", above=0.0, at_most=1e30
    )
    init: str = option("kmeans", "real points the prototypes start from", choices=INITIALISATIONS)
    roundtrip_weight: float = option(
        0.0, "weight of the cycle term |E(D(x)) - x|^2 that keeps prototypes decodable", at_least=0.0
    )
    inner_l2: float = option(
        1e-2, "L2 penalty of the probe (or ridge) that the method differentiates through", above=0.0
    )
    unroll_steps: int = option(20, "steps of the unrolled probe training", at_least=1)
    batch_size: int = option(8192, "training latents in one step's outer loss (all, where fewer)", at_least=1)
    sel_budget_per_class: int | None = option(
        None,
        "real points per class that rl_selection keeps (default: as many as prototypes)",
        at_least=1,
    )
    sel_policy: str = option(
        "sequential",
        "rl_selection's policy: exchange points of the best subset so far, or draw whole subsets at once",
        choices=SELECTION_POLICIES,
    )
    sel_init: str = option("herding", "the subset that rl_selection starts from", choices=SELECTION_STARTS)
    sel_evaluations: int = option(
        512, "reward evaluations of one rl_selection: subsets that a probe is trained on", at_least=1
    )
    sel_loss_weight: float = option(
        0.05,
        "weight, in rl_selection's reward, of the probe's loss on training latents beside its accuracy on the"
        " reward half",
        at_least=0.0,
    )
    sel_episodes: int = option(8, "subsets drawn for one update of rl_selection's policy", at_least=1)
    sel_lr: float = option(
        0.1,
        "Adam's learning rate on rl_selection's policy; 0: it stays as it starts",
        at_least=0.0,
        at_most=1e30,
    )
    sel_entropy: float = option(0.0, "weight of the policy's entropy in its objective", at_least=0.0)
    shape_episodes: int = option(
        128,
        "episodes of one rl_shaping: schedules of loss weights that prototypes are trained by",
        at_least=1,
    )
    shape_batch: int = option(32, "episodes side by side, for one update of the actor-critic", at_least=2)
    shape_decisions: int = option(8, "times in an episode that loss weights are set", at_least=1)
    shape_steps: int = option(25, "optimisation steps after each such decision", at_least=1)
    shape_lr: float = option(
        0.01,
        "Adam's learning rate on the prototypes in an episode, annealed to zero",
        above=0.0,
        at_most=1e30,
    )
    shape_reward: str = option(
        "auto",
        "what an episode is rewarded by, on the reward half (auto: round trip where there is a decoder)",
        choices=SHAPING_REWARDS,
    )
    shape_loss_weight: float = option(
        0.05,
        "weight, in rl_shaping's reward, of the probe's loss on training latents beside that accuracy",
        at_least=0.0,
    )
    proto_rl_lr: float = option(
        0.01,
        "Adam's learning rate on rl_shaping's actor and critic; 0: they stay as they start",
        at_least=0.0,
        at_most=1e30,
    )
    shape_entropy: float = option(1e-3, "weight of the actor's entropy in its objective", at_least=0.0)
    shape_schedule: str | None = option(
        None, "a schedule.json of rl_shaping, to be applied instead of learning one", metavar="FILE"
    )
    shape_schedule_sha256: str | None = option(
        None,
        "SHA-256 that the file of --shape-schedule has to have (default: the one that it has at first)",
        metavar="HEX",
    )
    seed: int = option(0, "seed of the distillation", at_least=0)
    threads: int = option(
        1, "CPU threads of one run; part of the configuration, as sums depend on it", at_least=1
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.method not in PROTOTYPE_METHODS and self.labels == "soft":
            raise InputError(
                f"--labels is soft with the method {self.method}",
                "real points keep the labels that they have"
                if self.selects
                else "its loss terms shape points of fixed labels",
                f"leave --labels out, or choose a method among {', '.join(PROTOTYPE_METHODS)}",
            )

    @property
    def selects(self) -> bool:
        """Whether the method chooses real points instead of learning prototypes."""
        return self.method == "rl_selection"

    @property
    def shapes(self) -> bool:
        """Whether the method schedules loss weights, after prototypes were trained."""
        return self.method == "rl_shaping"

    @property
    def selection_budget(self) -> int:
        """Real points per class that a selection keeps."""
        return self.sel_budget_per_class or self.m_per_class

    @property
    def shape_updates(self) -> int:
        """Batches of episodes; the last one may be smaller."""
        return 1 if self.shape_schedule else math.ceil(self.shape_episodes / self.shape_batch)

    @property
    def iterations(self) -> int:
        """Reports of a full run; the last one may be shorter."""
        if self.selects:
            return min(RL_ITERATIONS, self.sel_evaluations)
        if self.shapes:  # the training of the prototypes first, then batches of episodes
            return 1 + min(RL_ITERATIONS - 1, self.shape_updates)
        return math.ceil(self.proto_steps_base / self.steps_per_iteration)
