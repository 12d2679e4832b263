"""``tune-dd evaluate``: a sweep's best configurations again on fresh seeds, then on test data."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.latent.pixel_recipe import PIXEL_PASSES
from tune_dd.flags import FlagParser, add_sweep, main_guard, parser

if TYPE_CHECKING:
    from trainables.latent.image_scoring import ImageScoring
    from tune_dd.flags import Flags
    from tune_dd.sweeps.latent.settings import LatentSweep

_LEGEND = """\
Accuracies in percent +- half-width of the 95% interval over seeds (over encoders, with --encoder-seeds);
without +- where every seed gives the same points. Differences in points, each with its own 95% interval, for
other seeds and items on these encoders: among 20 rows one may leave out zero by luck. * chosen on validation:
of the rows within one standard error (of an accuracy over that many items) of the best, the best by the other
accuracy, round trip or probe."""
_IMAGE_LEGEND = """\
Scores of images, decoded or real: pixel, of a ConvNet and an MLP that were trained on them alone, a network
for each seed; other encoder, of a probe trained on them as an encoder sees them that made none of them."""


def build_parser() -> FlagParser:
    """The flags of ``tune-dd evaluate``."""
    made = parser(
        "tune-dd evaluate",
        "Distil the best configurations of each cell of a sweep again on fresh seeds, beside all controls, "
        "choose on validation, then read test once for what was frozen.",
    )
    add_sweep(made)
    made.add_flag("--top-k", int, "configurations per cell", default=3, at_least=1)
    made.add_flag("--fresh-seeds", int, "seeds per configuration", default=5, at_least=1)
    made.add_flag(
        "--encoder-seeds",
        int,
        "encoders per cell: the sweep's own, and further ones that are trained for this",
        default=1,
        at_least=1,
    )
    made.add_flag(
        "--cross-encoder-seed",
        int,
        "also train the probe on each row's images as an encoder of this seed sees them, which is trained "
        "where it is not cached (default: the one that the sweep's objective asked, if it did)",
        at_least=0,
    )
    made.add_flag(
        "--pixel",
        bool,
        "also train networks on each row's images alone; takes long, and happens by itself where the sweep's "
        "objective was one",
    )
    made.add_flag(
        "--pixel-passes",
        int,
        f"passes of these networks over a row's images (default: the sweep's, otherwise {PIXEL_PASSES})",
        at_least=1,
    )
    made.add_flag("--test", bool, "read the test data after everything is frozen", default=True)
    return made


@main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; returns the exit code."""
    flags = build_parser().parse(argv)

    from trainables.errors import InputError
    from tune_dd.evaluation.published import publish_evaluation
    from tune_dd.runs.folder import check_writable
    from tune_dd.sweeps.finished import open_sweep
    from tune_dd.sweeps.latent.cluster_cache import borrow_entries
    from tune_dd.sweeps.latent.settings import LatentSweep

    folder, summary, config = open_sweep(flags["results"], flags["cache"])
    if not isinstance(config, LatentSweep):
        commands = config.open().next_commands(folder, summary)
        raise InputError(
            f"{folder} is a sweep of kind {config.KIND}",
            "evaluate distils images and features again, to read test data that such sweeps do not have",
            f"use {next(iter(commands.values()), 'tune-dd validate')}",
        )
    borrow_entries(config, config.cache_folder)
    check_writable("RESULTS", folder)
    try:
        _evaluate(flags, folder, summary, config)
    finally:
        publish_evaluation(folder)  # whatever happened, test may have been read
    return 0


def _evaluate(flags: Flags, folder: Path, summary: dict[str, Any], config: LatentSweep) -> None:
    """Confirm the best trials of each cell, show them, and write what was found."""
    from trainables.errors import InputError
    from tune_dd.evaluation.cells import evaluate_cell
    from tune_dd.evaluation.published import publish_evaluation
    from tune_dd.evaluation.table import chosen_sentence, evaluation_table
    from tune_dd.runs.folder import versions, write_json
    from tune_dd.sweeps.finished import resume_command
    from tune_dd.sweeps.plurals import counted
    from tune_dd.sweeps.results import EVALUATION_FILE, SWEEP_SUMMARY_FILE, UNREAD_FILE

    scoring = _scoring(flags, config)
    plans = _plans(summary, config, flags["top_k"], scoring)
    ended = sum(trial["status"] != "unfinished" for trial in summary["trials"])
    if summary["state"] != "finished":
        stands = (
            f"the sweep {summary['name']} is not finished"
            f" ({summary['state']}, {counted(ended, 'trial')} ended)"
        )
        # A time budget was given beforehand; any other stop leaves open what the search would choose.
        if flags["test"] and summary["state"] != "time budget spent":
            raise InputError(
                stands,
                "test is read for what a search has chosen at its end",
                f"finish it with {resume_command(folder)}, or leave test closed with --no-test",
            )
        print(stands)
    cells = []
    for plan in plans:
        cells.append(
            evaluate_cell(
                plan,
                folder,
                config.cache_folder,
                flags["fresh_seeds"],
                flags["encoder_seeds"],
                flags["test"],
                _report,
            )
        )
        publish_evaluation(folder)
        print("\n" + evaluation_table(cells[-1]), flush=True)
    print(f"\n{_LEGEND}\n" + (f"{_IMAGE_LEGEND}\n" if scoring.wanted else ""))
    for cell in cells:
        print(chosen_sentence(cell))
    content = {"versions": versions(), "trials_ended": ended, "cells": cells}
    if not flags["test"]:  # what test has told stays in its own file
        write_json(folder / UNREAD_FILE, content)
        print(f"\nwritten to {folder / UNREAD_FILE}; test was not read")
        return
    for line in _replaced(folder / EVALUATION_FILE, cells):
        print(line)
    # The larger file first: where the disk is full, neither changes.
    write_json(folder / SWEEP_SUMMARY_FILE, {**summary, "evaluation": {**content, "outdated": False}})
    write_json(folder / EVALUATION_FILE, content)
    print(
        f"\nwritten to {folder / EVALUATION_FILE}; each reading of test is a line of test_access.jsonl there"
    )


def _replaced(path: Path, cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """What an earlier evaluation had chosen otherwise, whose figures on test were known before this one."""
    from trainables.errors import InputError
    from tune_dd.runs.folder import read_json

    try:
        earlier = read_json(path, "an evaluation").get("cells", []) if path.exists() else []
    except InputError:
        return []  # damaged: there is nothing to be told of it
    now = {cell["cell"]: cell["chosen"] for cell in cells}
    return [
        f"\n{cell['cell']}: an earlier evaluation chose {cell['chosen']}, and test was read for it; this "
        f"one takes its place in {path.name}"
        for cell in earlier
        if now.get(cell["cell"], cell["chosen"]) != cell["chosen"]
    ]


def _scoring(flags: Flags, config: LatentSweep) -> ImageScoring:
    """The scores of images that are asked for; what the sweep maximised is, unless a flag says otherwise.

    Raises:
        InputError: passes are given for networks that nobody asks for.
    """
    from trainables.errors import InputError
    from trainables.latent.image_scoring import ImageScoring

    own, given = config.scoring, flags["pixel_passes"]
    seed = own.cross_encoder_seed if flags["cross_encoder_seed"] is None else flags["cross_encoder_seed"]
    if flags["pixel"] or own.pixel_passes is not None:
        return ImageScoring(given or own.pixel_passes or PIXEL_PASSES, seed)
    if given is not None:
        raise InputError(
            f"--pixel-passes is {given} without --pixel",
            "no networks are trained on images unless they are asked for",
            "add --pixel or leave it out",
        )
    return ImageScoring(cross_encoder_seed=seed)


def _plans(summary: dict[str, Any], config: LatentSweep, top_k: int, scoring: ImageScoring) -> list[Any]:
    """What to evaluate: the first ``top_k`` different configurations of each cell's ranking.

    Of a front as many of its members, its ends among them; those of different sizes each beside controls of
    their own size.
    """
    from trainables.latent.config import LatentConfig
    from tune_dd.evaluation.cells import Candidate, CellPlan
    from tune_dd.sweeps.finished import no_scores
    from tune_dd.sweeps.pareto import spread

    trials = {trial["trial_id"]: trial for trial in summary["trials"]}
    plans = []
    for cell in summary["cells"]:
        candidates: list[Candidate] = []
        front = [member["trial_id"] for member in cell["pareto"]["front"]] if config.axes else []
        for trial_id in spread(front, top_k) if config.axes else cell["ranking"]:
            settings = LatentConfig.parse(trials[trial_id]["config"])
            if len(candidates) < top_k and settings not in [known.config for known in candidates]:
                candidates.append(Candidate(trial_id, settings))
        by_size: dict[int, list[Candidate]] = {}
        for candidate in candidates:
            by_size.setdefault(candidate.config.distill.m_per_class, []).append(candidate)
        for m_per_class, own in by_size.items():
            distills = [candidate.config.distill for candidate in own]
            kept = {distill.selection_budget for distill in distills if distill.selects} - {m_per_class}
            plans.append(
                CellPlan(
                    name=cell["cell"] + (f"/m{m_per_class}" if config.sizes else ""),
                    candidates=tuple(own),
                    objective=summary["objective"],
                    budgets=tuple(sorted(kept))
                    if config.sizes
                    else tuple(budget for budget in config.budgets if budget != m_per_class),
                    taken_seeds=config.seeds,
                    gpus_per_trial=config.gpus_per_trial,
                    scoring=scoring,
                )
            )
    if not plans:
        raise no_scores(summary, "evaluate")
    return plans


def _report(line: str) -> None:
    print(f"  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
