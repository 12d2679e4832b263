"""Import arrows: tune_dd -> search_spaces, trainables; pure cores never reach Ray; one door to test data."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("tune_dd", "search_spaces", "trainables")
FORBIDDEN = {
    "tune_dd": ("tests", "benchmarks"),
    "search_spaces": ("tune_dd", "trainables", "tests", "benchmarks"),
    "trainables": ("tune_dd", "search_spaces", "tests", "benchmarks"),
}
PURE = ("trainables.latent", "trainables.environment")
TEST_DOOR = "trainables.latent.test_access"
# Who may import or name what: test data are reached through evaluate and verdict, and through nothing else.
ONLY = {
    "load_test_pool": {TEST_DOOR},
    # These two load test items as well, where they are told to.
    "load_custom_images": {"trainables.latent.datasets", "trainables.latent.custom_images"},
    "load_features": {"trainables.latent.datasets"},
    TEST_DOOR: {"tune_dd.evaluation.cells", "tune_dd.verdicts.on_test"},
    "tune_dd.evaluation.cells": {"tune_dd.evaluate"},
    "tune_dd.verdicts.on_test": {"tune_dd.verdicts.session"},
    "tune_dd.verdicts.session": {"tune_dd.verdict"},
}


def module_files(root: Path) -> dict[str, Path]:
    """Dotted name -> file, for every module of the three packages."""
    files = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def imports(module: str, path: Path) -> Iterator[str]:
    """Everything a module imports, inside functions too, as dotted names (of attributes as well)."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value


def names(path: Path) -> set[str]:
    """Every plain name and attribute that a module mentions."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {node.id for node in nodes if isinstance(node, ast.Name)}
    return plain | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def violations(root: Path) -> list[str]:
    """One line for each import against the architecture."""
    files = module_files(root)
    imported = {module: set(imports(module, path)) for module, path in files.items()}
    found = []
    for module, targets in imported.items():
        for target in sorted(targets):
            if any(within(target, package) for package in FORBIDDEN[module.split(".")[0]]):
                found.append(f"{module} imports {target}")
        for guarded, allowed in ONLY.items():
            mentions = targets | {name for name in names(files[module]) if name == guarded}
            if module not in allowed | {guarded} and any(
                within(target, guarded) or target.endswith("." + guarded) for target in mentions
            ):
                found.append(f"{module} imports {guarded}")
        if any(within(module, package) for package in PURE):
            found += [
                f"{module} reaches ray: {' -> '.join(path)}" for path in _paths_to_ray(module, imported)
            ]
    return found


def _paths_to_ray(start: str, imported: dict[str, set[str]]) -> list[list[str]]:
    """The shortest chain of imports from a module to Ray, if there is one."""
    seen, queue = {start}, [[start]]
    while queue:
        path = queue.pop(0)
        # Importing a.b.c runs a and a.b as well.
        parents = [path[-1].rsplit(".", n)[0] for n in range(1, path[-1].count(".") + 1)]
        for target in sorted(imported[path[-1]] | set(parents)):
            if within(target, "ray"):
                return [[*path, target]]
            if target in imported and target not in seen:
                seen.add(target)
                queue.append([*path, target])
    return []


def test_the_project_keeps_its_arrows() -> None:
    assert violations(ROOT) == []


def test_the_door_to_test_data_exists() -> None:
    # Were it renamed, the rule above would guard nothing.
    files = module_files(ROOT)
    doors = {"tune_dd.evaluation.cells", "tune_dd.verdicts.on_test", "tune_dd.verdicts.session"}
    assert {TEST_DOOR, *doors, "tune_dd.evaluate", "tune_dd.verdict"} <= set(files)
    assert "load_test_pool" in files[TEST_DOOR].read_text()
    assert {"load_custom_images", "load_features"} <= names(files["trainables.latent.datasets"])


BAD = {
    "spaces import the sweep": ("search_spaces/a.py", "from tune_dd import flags", "search_spaces.a imports"),
    "spaces import trainables": ("search_spaces/a.py", "import trainables.errors", "search_spaces.a imports"),
    "trainables import the sweep": ("trainables/a.py", "import tune_dd.cli", "trainables.a imports tune_dd"),
    "inside a function": ("trainables/a.py", "def f():\n    import search_spaces", "trainables.a imports"),
    "by name": (
        "trainables/a.py",
        "import importlib\nimportlib.import_module('tune_dd.cli')",
        "trainables.a",
    ),
    "the pure part imports ray": ("trainables/latent/a.py", "from ray import tune", "reaches ray"),
    "the environment part too": ("trainables/environment/a.py", "import ray.tune", "reaches ray"),
    "ray by a detour": (
        "trainables/latent/a.py",
        "from ..trial import x",
        "latent.a -> trainables.trial -> ray",
    ),
    "a search opens test data": (
        "tune_dd/search.py",
        "def f():\n    from trainables.latent import test_access",
        "tune_dd.search imports trainables.latent.test_access",
    ),
    "a search opens test data by a detour": (
        "tune_dd/search.py",
        "from tune_dd.evaluation.cells import test",
        "tune_dd.search imports tune_dd.evaluation.cells",
    ),
    "the sweep loads the test pool": (
        "tune_dd/evaluation/cells.py",
        "from trainables.latent.datasets import load_test_pool",
        "tune_dd.evaluation.cells imports load_test_pool",
    ),
    "the sweep loads test images": (
        "tune_dd/search.py",
        "from trainables.latent.custom_images import load_custom_images",
        "tune_dd.search imports load_custom_images",
    ),
    "a trial loads test features": (
        "trainables/trial.py",
        "from trainables.latent import feature_files\nfeature_files.load_features(test=True)",
        "trainables.trial imports load_features",
    ),
    "as an attribute": (
        "trainables/latent/a.py",
        "from trainables.latent import datasets\ndatasets.load_test_pool()",
        "trainables.latent.a imports load_test_pool",
    ),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree of the same shape, without a fault."""
    good = {
        "tune_dd/__init__.py": "",
        "tune_dd/evaluation/__init__.py": "",
        "tune_dd/evaluate.py": "from tune_dd.evaluation.cells import test\nimport ray",
        "tune_dd/evaluation/cells.py": "from trainables.latent.test_access import open_test_latents",
        "search_spaces/__init__.py": "import optuna",
        "trainables/__init__.py": "",
        "trainables/trial.py": "import ray\nfrom trainables.latent import datasets",
        "trainables/latent/__init__.py": "",
        "trainables/latent/datasets.py": "def load_test_pool(): ...",
        "trainables/latent/test_access.py": "from .datasets import load_test_pool\nload_test_pool()",
    }
    for name, text in good.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_tree_without_fault_passes(tree: Path) -> None:
    assert violations(tree) == []


@pytest.mark.parametrize(("file", "text", "expected"), BAD.values(), ids=BAD)
def test_each_wrong_arrow_is_found(tree: Path, file: str, text: str, expected: str) -> None:
    (tree / file).parent.mkdir(exist_ok=True)
    (tree / file).write_text(text)
    assert any(expected in line for line in violations(tree)), violations(tree)
