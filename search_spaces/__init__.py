"""What may be tried: define-by-run search spaces and known good starting points, by name."""

from __future__ import annotations

from search_spaces.latent import LATENT
from search_spaces.space import Space, SpaceContext, Suggests

SPACES: dict[str, Space] = {space.name: space for space in (LATENT,)}

__all__ = ["SPACES", "Space", "SpaceContext", "Suggests"]
