"""The README's commands work as they stand, with tiny budgets, and its links lead somewhere."""

from __future__ import annotations

import functools
import importlib
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.cli.broken_data import image_folder
from tests.conftest import ROOT, Command, run_python
from tests.project.readme_blocks import Block, blocks, broken_links
from tune_dd.cli import VERBS
from tune_dd.sweeps.results import KINDS

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
README = blocks(PAGES[0].read_text())
# Appended to each command: the last value of a flag counts.
TINY = {
    "report": "",
    "search": "--ae-epochs 1 --latent-dim 4 --proto-steps-base 4 --sel-evaluations 12 --shape-episodes 4"
    " --shape-steps 2 --prototypes 1 --num-trials 2",
    "distill": "--ae-epochs 1 --latent-dim 4 --proto-steps-base 4 --sel-evaluations 12 --shape-episodes 4"
    " --shape-steps 2",
    "evaluate": "--top-k 1 --fresh-seeds 2",
    "reproduce": "",
    "verdict": "--ae-epochs 1 --latent-dim 4 --seeds 2 --encoder-seeds 2 --budgets 1 --evaluations 12"
    " --episodes 4",
    "validate": "--learners 4 --episodes 1",
    "use": "",
    "distill environment": "--iterations 2 --iterations-per-report 1 --probe-learners 4",
    "search environment": "--iterations 2 --iterations-per-report 1 --probe-learners 4 --num-trials 2",
}


def tiny(words: Sequence[str]) -> list[str]:
    """A ``tune-dd`` command with its budget cut down, as far as the command takes such flags."""
    verb, flags = words[1], list(words[2:])
    cut = TINY[f"{verb} environment" if flags[:1] == ["environment"] else verb]
    if "--resume" in flags:  # needs no other flag, and refuses those that differ
        cut = ""
    if "accuracy-bytes" in flags:  # needs sizes to choose among
        cut = cut.replace("--prototypes 1", "--prototypes 1 2")
    if "--shape-schedule" in flags:  # is applied once
        cut = cut.replace("--shape-episodes 4", "")
    if "grid" in flags:  # runs all its points
        cut = cut.replace("--num-trials 2", "")
    return [verb, *flags, *shlex.split(cut)]


@functools.cache  # most import RLlib for it, which takes seconds
def help_of(program: str) -> str:
    """What a program of the repository prints for ``--help``."""
    done = run_python(str(ROOT / program), "--help", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_block_says_what_a_test_may_do() -> None:
    assert len(README) > 8
    assert [block.text for block in README if not block.mark] == []
    assert {block.language for block in README} == {"bash", "python"}
    shown = {words[1] for block in README if block.runs for words in block.commands if words[0] == "tune-dd"}
    assert shown == set(VERBS) - {"check"}  # of clusters, which have pages and tests of their own


@pytest.mark.parametrize("block", [b for b in README if b.language == "bash"], ids=lambda block: block.text)
def test_commands_are_understood(block: Block) -> None:
    for words in block.commands:
        if words[0] == "tune-dd":
            if words[1:3] == ["distill", "environment"]:
                words = [words[0], "environments.distill", *words[3:]]
            verb = importlib.import_module(f"tune_dd.{words[1]}")
            if words[1:3] == ["search", "environment"]:
                verb.build_parser(KINDS["environment"]).parse(words[3:])
            else:
                verb.build_parser().parse(words[2:])
        elif words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        elif words[0] == "pip":
            extra = re.search(r"\[(\w+)\]", words[-1])
            assert extra and f"\n{extra[1]} = [" in (ROOT / "pyproject.toml").read_text()
        elif words[0] == "python":
            told = help_of(words[1])
            assert [word for word in words if word.startswith("--") and word not in told] == []
        else:
            assert words[0] in ("git", "cd", "tensorboard")


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_commands_do_what_they_say(tmp_path: Path, command: Command) -> None:
    # In one folder and in order, as somebody who follows the README would.
    image_folder(tmp_path / "photos" / "train", per_class=24, side=12)
    image_folder(tmp_path / "photos" / "test", per_class=6, side=12)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "features").mkdir()
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        labels = np.arange(80) % 4
        points = rng.normal(size=(80, 6)).astype(np.float32) + labels[:, None]
        np.savez(tmp_path / "features" / f"{part}.npz", features=points, labels=labels)
    for block in README:
        if not block.runs:
            continue
        if block.language == "python":
            done = run_python("-c", block.text, cwd=tmp_path)
            assert done.returncode == 0, f"{block.text}\n{done.stderr}"
            continue
        for words in block.commands:
            if words[0] == "python":
                done = run_python(*words[1:], cwd=tmp_path)
            else:
                done = command(*tiny(words), timeout_s=600)
            assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
    # What the README says about results/ holds.
    for name in ("sweep_summary.json", "sweep.json", "tune", "tensorboard", "evaluation.json"):
        assert (tmp_path / "results" / "first" / name).exists(), name
    assert len((tmp_path / "results" / "first" / "test_access.jsonl").read_text().splitlines()) >= 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[here](page.md), [there](gone.md#part), [web](https://example.org)")
    assert broken_links(page) == ["gone.md"]


def test_a_block_without_mark_is_found() -> None:
    text = "<!-- run -->\n```bash\na b && c 'd e'\n```\n\n```bash\nx\n```\n"
    marked, bare = blocks(text)
    assert marked.runs and marked.commands == [["a", "b"], ["c", "d e"]]
    assert not bare.mark
