"""Frozen sets on test: each encoder's test latents are opened once, and what was read is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainables.latent.cache import Report
from trainables.latent.test_access import open_test_latents
from tune_dd.evaluation import test_scores
from tune_dd.evaluation.intervals import Hits
from tune_dd.evaluation.scored import class_accuracies
from tune_dd.evaluation.test_scores import TestScores
from tune_dd.verdicts.panels import Row
from tune_dd.verdicts.plan import Plan

ACCESS_LOG = "test_access.jsonl"


def hits_on_test(
    plan: Plan, rows: Sequence[Row], folder: Path, cache: Path, report: Report
) -> dict[str, list[Hits]]:
    """Row's name -> hits on each encoder; opens test only for rows that have not been on it.

    Args:
        folder: the verdict's; hits and the log of readings are kept there.
    """
    encoders = range(len(plan.encoder_seeds))
    found = {
        (row.name, encoder): test_scores.stored(folder, row.identity(encoder))
        for row in rows
        for encoder in encoders
    }
    by_reader: dict[int, list[tuple[Row, int]]] = {}
    for row in rows:
        for encoder in encoders:
            if found[row.name, encoder] is None:
                by_reader.setdefault(row.encoder_read(plan, encoder), []).append((row, encoder))
    for seed, missing in by_reader.items():
        identities = ", ".join(f"{row.name} = {row.identity(encoder)}" for row, encoder in missing)
        test = open_test_latents(
            plan.data,
            plan.with_seed(seed),
            cache,
            report,
            log=folder / ACCESS_LOG,
            reason=f"verdict, encoder seed {seed}: {identities}",
        )
        classes = int(test.y.max()) + 1
        for row, encoder in missing:
            hits = row.hits(encoder, test.x, test.y)
            scores = [{row.panel.objective: float(run.mean())} for run in hits]
            read = TestScores(scores, hits, class_accuracies(hits, test.y.numpy(), classes))
            test_scores.store(folder, row.identity(encoder), row.name, read)
            found[row.name, encoder] = read
    kept: dict[str, list[Hits]] = {row.name: [] for row in rows}
    for (name, _), known in found.items():
        assert known is not None
        kept[name].append(known.hits)
    return kept
