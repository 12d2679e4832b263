"""The method's authors' stored sets, where the checkout has them beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "rl-to-sl"


def authors_file(name: str) -> Path:
    """Path of one of their files; where it is absent the test is skipped."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"the authors' {name} is not here")
    return path
