"""Ways to learn prototypes, by name.

A method is an objective: a differentiable loss of the prototypes (and of soft labels), given a
batch of real training latents. What is common (optimiser, cycle term, schedule, scoring) stands in
``trainables.latent.run``.
"""

from __future__ import annotations

from trainables.latent.distill_config import DistillConfig
from trainables.latent.prototypes.gradient_matching import GradientMatching
from trainables.latent.prototypes.implicit import ImplicitGradient
from trainables.latent.prototypes.kernel_ridge import KernelRidge
from trainables.latent.prototypes.objective import Objective
from trainables.latent.prototypes.unrolled import UnrolledTraining

OBJECTIVES: dict[str, type[Objective]] = {
    "implicit": ImplicitGradient,
    "unrolled": UnrolledTraining,
    "gradient_matching": GradientMatching,
    "kernel_ridge": KernelRidge,
}


def build_objective(config: DistillConfig) -> Objective:
    """The objective that ``config.method`` names."""
    return OBJECTIVES[config.method](config)
