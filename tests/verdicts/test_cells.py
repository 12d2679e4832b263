"""A cell's file, its name, and a question with every objective from cells to test."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.verdicts import made_rows
from trainables.errors import InputError
from trainables.latent.cache import default_cache
from trainables.latent.config import DataConfig, EncoderConfig
from trainables.latent.distill_config import DistillConfig
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.latents import prepare_latents
from tune_dd.verdicts import cells, plan
from tune_dd.verdicts.cells import Done
from tune_dd.verdicts.contenders import Made
from tune_dd.verdicts.objectives import OBJECTIVES
from tune_dd.verdicts.on_test import hits_on_test
from tune_dd.verdicts.panels import hits_on_halves, rows_of
from tune_dd.verdicts.plan import Cell
from tune_dd.verdicts.questions import QUESTIONS

KEYS = {0: "a", 1: "b", 100: "c"}


def identities(of: plan.Plan, keys: dict[int, str] = KEYS) -> dict[tuple[Any, ...], str]:
    return {
        (cell.contender, cell.budget, cell.encoder_seed, cell.config.seed): cell.identity
        for cell in plan.cells_of(of, keys)
    }


def test_every_cell_has_a_name_of_its_own() -> None:
    found = identities(made_rows.plan(budgets=(1, 10)))
    assert len(found) == 2 * 2 * (6 * 3 + 1)  # herding knows no seed
    assert len(set(found.values())) == len(found)


def test_names_change_with_what_a_cell_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    before = identities(made_rows.plan())
    # More seeds, encoders or budgets leave the cells alone that are there.
    assert before.items() <= identities(made_rows.plan(seeds=(0, 1, 2, 3), budgets=(1, 2))).items()
    spent = identities(made_rows.plan(counts={"selection": 9}))
    encoded = identities(made_rows.plan(), {**KEYS, 0: "other", 1: "another"})
    monkeypatch.setattr(plan, "code_version", lambda: "of tomorrow")
    coded = identities(made_rows.plan())
    for other in (spent, encoded, coded):
        assert other.keys() == before.keys()
        assert not set(other.values()) & set(before.values())


def test_impossible_plans_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    features = DataConfig(dataset="features", features_train="x.npz")
    with pytest.raises(InputError, match="--encoder-seeds is 2 with --dataset features"):
        made_rows.plan(data=features, encoder=EncoderConfig(backbone="identity"))
    made_rows.plan(cross_encoder_seed=1)  # no question reads it
    ask_everything(monkeypatch)
    with pytest.raises(InputError, match="--cross-encoder-seed is 1, but distillation sees"):
        made_rows.plan(cross_encoder_seed=1)


def ask_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the question about selection be answered by every objective."""
    asked = dataclasses.replace(QUESTIONS["selection"], objectives=tuple(OBJECTIVES))
    monkeypatch.setitem(QUESTIONS, "selection", asked)


def test_a_question_with_every_objective(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From cells to hits on test, each encoder's opened once however many rows are read by it."""
    ask_everything(monkeypatch)
    cache = default_cache()
    of = made_rows.plan(
        encoder=EncoderConfig(ae_epochs=1, latent_dim=4, encoder_threads=1), seeds=(0,), encoder_seeds=(0,)
    )
    latents = {seed: prepare_latents(of.data, of.with_seed(seed), cache, print) for seed in (0, 100)}
    done = []
    for cell in plan.cells_of(of, {seed: data.key for seed, data in latents.items()}):
        path = tmp_path / f"{cell.identity}.pt"
        cells.do(cells.Job(cell, of.data, of.with_seed(0), of.with_seed(100), cache, path))
        done.append((cell, cells.read(path, cell)))
    rows = rows_of(of, done)
    assert len(rows) == 3 * 7
    found = {"test": hits_on_test(of, rows, tmp_path, cache, print), **hits_on_halves(of, rows, latents)}
    assert {part: by_row[rows[0].name][0].shape for part, by_row in found.items()} == {
        "test": (1, 597), "selection": (1, 150), "reward": (1, 150)
    }  # fmt: skip
    for row in rows:
        [classifier] = row.classifiers(0)
        assert classifier is not None
        # On the half that chose its penalty, seen by the right encoder, it is as right as it says.
        assert found["reward"][row.name][0].mean() == pytest.approx(classifier.reward_accuracy)
    best = max(found["test"][row.name][0].mean() for row in rows if row.panel.objective == "probe_accuracy")
    assert best > 0.2  # an encoder of one epoch, ten classes
    log = (tmp_path / "test_access.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in log] == [latents[0].key, latents[100].key]
    again = hits_on_test(of, rows, tmp_path, cache, print)
    assert all(np.array_equal(again[row.name][0], found["test"][row.name][0]) for row in rows)
    assert (tmp_path / "test_access.jsonl").read_text().splitlines() == log


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cell.pt"
    cell = Cell("selection", "herding", DistillConfig(method="rl_selection"), 0, ("probe_accuracy",), "one")
    with pytest.raises(
        InputError, match="is damaged, but a cell's file must be as it was written: remove it"
    ):
        cells.read(path, cell)
    torch.save({"set": {}}, path)
    with pytest.raises(InputError, match="remove it; it is made again"):
        cells.read(path, cell)
    points = DistilledSet(torch.zeros(2, 3), torch.arange(2))
    cells.write(path, cell, Done(Made(points, 8), 1.0, {"probe_accuracy": None}))
    assert cells.read(path, cell).made.evaluations == 8
    with pytest.raises(InputError, match="remove it; it is made again"):
        cells.read(path, dataclasses.replace(cell, identity="two"))
    for name, wrong in (("evaluations", "8"), ("classifiers", [])):
        torch.save({**torch.load(path, weights_only=True), name: wrong}, tmp_path / "wrong.pt")
        with pytest.raises(InputError, match="remove it; it is made again"):
            cells.read(tmp_path / "wrong.pt", cell)
