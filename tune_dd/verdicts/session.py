"""From a plan to a verdict: encoders, cells, test, and what is written and said."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from trainables.errors import InputError
from trainables.latent.cache import Report
from trainables.latent.latents import LatentData, cached_key
from trainables.latent.real_images import load_real_images
from trainables.schema import flag_name
from tune_dd.runs.folder import check_shape, read_json, versions, write_json
from tune_dd.sweeps.live_display import LiveDisplay
from tune_dd.sweeps.plurals import counted
from tune_dd.sweeps.ray_session import local_cpus
from tune_dd.verdicts import cells, words
from tune_dd.verdicts.encoders import prepare, prepare_large
from tune_dd.verdicts.findings import claims, panels_of
from tune_dd.verdicts.forest import draw_forest
from tune_dd.verdicts.on_test import ACCESS_LOG, hits_on_test
from tune_dd.verdicts.panels import hits_on_halves, rows_of
from tune_dd.verdicts.plan import Cell, Plan, cells_of
from tune_dd.verdicts.questions import QUESTIONS
from tune_dd.verdicts.work import do_all

SETTINGS_FILE = "settings.json"
VERDICT = "verdict"
"""Name of the findings, as JSON and as a picture."""
UNREAD = "verdict_without_test"
"""The same where test was not read: findings on test are never replaced by those of validation."""
_LOCK_FILE = ".lock"


@dataclass(frozen=True)
class Session:
    """One run of the command.

    Attributes:
        folder: results of this verdict.
        cache: encoders and latents.
        workers: cells at a time; ``None`` takes all CPUs.
        read_test: ``False`` leaves test closed.
    """

    plan: Plan
    folder: Path
    cache: Path
    workers: int | None
    read_test: bool
    display: LiveDisplay


def reach_verdict(session: Session) -> int:
    """Do what is missing, and say what it comes to.

    Returns:
        The exit code: 1 where workers died so often that cells are missing.

    Raises:
        InputError: the folder holds a verdict of other settings, or somebody else is at work on it.
    """
    session.folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = filelock.FileLock(session.folder / _LOCK_FILE).acquire(timeout=0)
    except filelock.Timeout:
        raise InputError(
            f"{session.folder} is being filled by another process",
            "two would do the same work",
            "wait for it, or give another --name",
        ) from None
    try:
        with lock:
            _check_settings(session.folder, session.plan.settings())
            return _reach(session)
    finally:
        _remove_unused(session.folder)


def _remove_unused(folder: Path) -> None:
    """What was refused before anything was made leaves no folder."""
    if [path.name for path in folder.iterdir()] in ([], [_LOCK_FILE]):
        (folder / _LOCK_FILE).unlink(missing_ok=True)
        folder.rmdir()


def _check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse other settings than those of the cells that are there."""
    path, what = folder / SETTINGS_FILE, "a verdict's settings"
    if not path.exists():
        return
    content = read_json(path, what)
    check_shape(path, what, content, {"settings": dict}, f"remove {folder}, or give another --name")
    known = content["settings"]
    others = [
        f"{flag_name(name)} is {_as_given(name, value)} and was {_as_given(name, known.get(name))}"
        for name, value in settings.items()
        if known.get(name) != value
    ]
    if others:
        raise InputError(
            f"{', '.join(others)} for {folder}",
            "a verdict goes on with the settings that it began with",
            f"give those, or another --name, or remove {folder}",
        )


def _as_given(name: str, value: Any) -> str:
    """A setting as its flag takes it: of seeds, how many."""
    if not isinstance(value, list):
        return "left out" if value is None else str(value)
    return str(len(value)) if name.endswith("seeds") else " ".join(map(str, value))


def _reach(session: Session) -> int:
    plan, started = session.plan, time.monotonic()
    report = _indented(session.display)
    load_real_images(plan.data, session.cache, report).refuse_more("--budgets", max(plan.all_budgets))
    keys = {
        seed: cached_key(plan.data, plan.with_seed(seed), session.cache, report) for seed in plan.all_encoders
    }
    untrained = prepare_large(plan, keys, session.cache, report)
    every = list(cells_of(plan, keys))
    # Only now that nothing is left to refuse: settings that were refused must not bind those that follow.
    write_json(session.folder / SETTINGS_FILE, {"settings": plan.settings()})
    folder = session.folder / cells.FOLDER
    folder.mkdir(exist_ok=True)
    other = plan.with_seed(plan.cross_encoder_seed) if plan.reads_other_encoder else None
    jobs = {
        cell.identity: cells.Job(
            cell,
            plan.data,
            plan.with_seed(cell.encoder_seed),
            other,
            session.cache,
            folder / f"{cell.identity}.pt",
        )
        for cell in every
    }
    for job in jobs.values():
        if job.path.exists():
            cells.read(job.path, job.cell)  # damage is told now, not after hours of other cells
    workers = session.workers or local_cpus()
    lost = do_all(list(jobs.values()), untrained, workers, session.display)
    if lost:
        print(
            f"tune-dd verdict: {len(lost)} of {counted(len(jobs), 'cell')} are missing, as their workers "
            f"died each time (the first is {lost[0].cell.contender}, {lost[0].cell.budget} per class): "
            "the same command goes on where this one stopped.",
            file=sys.stderr,
        )
        return 1
    done = [(cell, cells.read(jobs[cell.identity].path, cell)) for cell in every]
    latents = {seed: prepare(plan.data, plan.with_seed(seed), session.cache, report) for seed in keys}
    rows = rows_of(plan, done)
    hits = hits_on_halves(plan, rows, latents)
    if session.read_test:
        hits = {
            "test": hits_on_test(plan, rows, session.folder, session.cache, session.display.say),
            **hits,
        }
    panels = panels_of(plan, rows, hits)
    claimed = claims(rows)
    told = _tell(plan, panels, claimed)
    content = _content(plan, panels, claimed, told, latents, done, time.monotonic() - started)
    name = VERDICT if session.read_test else UNREAD
    write_json(session.folder / f"{name}.json", content)
    draw_forest(
        session.folder / f"{name}.png",
        panels,
        f"Does RL help? {plan.data.dataset}, {_part_words(session.read_test)}",
        f"{counted(len(plan.seeds), 'seed')} on each of {counted(len(plan.encoder_seeds), 'encoder')}; "
        f"95% intervals for other seeds and items, corrected for their number; dots: each encoder",
    )
    read = (
        f"each reading of test is a line of {ACCESS_LOG} there" if session.read_test else "test was not read"
    )
    print(f"\nwritten to {session.folder}: {name}.json, {name}.png; {read}")
    return 0


def _indented(display: LiveDisplay) -> Report:
    return lambda line: display.say(f"  {line}")


def _tell(plan: Plan, panels: Sequence[Mapping[str, Any]], claimed: Mapping[str, Any]) -> dict[str, Any]:
    """Print tables, sentences, the check and the answer; returns the words that summaries keep."""
    sentences = [words.sentences(panel) for panel in panels]
    told = {
        "sentences": [sentence for own in sentences for sentence in own],
        "reward_hacking": words.claims_sentence(claimed),
        "answer": words.answer(panels, plan.data.dataset),
    }
    for panel in panels:
        print("\n" + words.table(panel, len(plan.seeds), len(plan.encoder_seeds)))
    print(f"\n{words.legend(len(told['sentences']), len(plan.seeds), len(plan.encoder_seeds))}\n")
    print("\n".join(told["sentences"]))
    print(f"\n{told['reward_hacking']}\n\n{told['answer']}", flush=True)
    return told


def _content(
    plan: Plan,
    panels: Sequence[Mapping[str, Any]],
    claimed: Mapping[str, Any],
    told: Mapping[str, Any],
    latents: Mapping[int, LatentData],
    done: Sequence[tuple[Cell, cells.Done]],
    wall_s: float,
) -> dict[str, Any]:
    first = latents[plan.encoder_seeds[0]].provenance
    return {
        **told,
        "settings": plan.settings(),
        "contenders": {name: list(QUESTIONS[name].contenders()) for name in plan.questions},
        "claims": dict(claimed),
        "panels": list(panels),
        "data": {name: first[name] for name in ("data_fingerprint", "split_digest", "split_sizes")},
        "latents": {str(seed): data.key for seed, data in latents.items()},
        "cells": len(done),
        "cells_cpu_s": sum(found.cpu_s - found.made.spared_cpu_s for _, found in done),
        "wall_time_s": wall_s,
        "versions": versions(),
    }


def _part_words(read_test: bool) -> str:
    return "on test" if read_test else "on the selection half of validation"
