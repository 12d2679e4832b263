"""What may be tried: define-by-run search spaces and known good starting points, by name."""

from __future__ import annotations

from search_spaces.environment import ENVIRONMENT, SMALLEST_BATCH, EnvironmentContext
from search_spaces.latent import LATENT, LatentContext
from search_spaces.space import Space, SpaceContext, Suggests

LATENT_SPACES = {space.name: space for space in (LATENT,)}
ENVIRONMENT_SPACES = {space.name: space for space in (ENVIRONMENT, SMALLEST_BATCH)}

__all__ = [
    "ENVIRONMENT_SPACES",
    "LATENT_SPACES",
    "EnvironmentContext",
    "LatentContext",
    "Space",
    "SpaceContext",
    "Suggests",
]
