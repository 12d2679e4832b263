"""A script puts its own folder first on sys.path: its neighbours must not hide anybody else's module."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]


def taken_names(modules: Iterable[str]) -> list[str]:
    """Those names that the standard library or an installed distribution also has at its top level."""
    own = {"tune_dd", "search_spaces", "trainables"}
    others = set(sys.stdlib_module_names) | (set(packages_distributions()) - own)
    return sorted(set(modules) & others)


def test_no_module_beside_a_script_hides_another() -> None:
    names = [path.stem for path in (ROOT / "tune_dd").iterdir() if path.suffix == ".py" or path.is_dir()]
    assert "cli" in names
    assert taken_names(names) == []


def test_taken_names_are_found() -> None:
    assert taken_names(["select", "torch", "flags"]) == ["select", "torch"]
