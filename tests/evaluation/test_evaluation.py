"""An evaluation on features with a known structure: who is chosen, and how often test is opened."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from trainables.errors import InputError
from trainables.latent.config import LatentConfig
from trainables.latent.latents import prepare_latents
from trainables.latent.prototypes.run import PrototypeRun
from tune_dd.evaluation.cells import Candidate, CellPlan, choose, evaluate_cell
from tune_dd.evaluation.confirmation import fresh_seeds
from tune_dd.evaluation.table import chosen_sentence, evaluation_table
from tune_dd.evaluation.test_scores import ACCESS_LOG

CLASSES, DIMENSIONS = 4, 12


def quiet(line: str) -> None:
    pass


def write_features(folder: Path) -> dict[str, str]:
    """Gaussian classes, near enough to each other that a bad distilled set shows."""
    rng = np.random.default_rng(0)
    means = 1.6 * np.eye(CLASSES, DIMENSIONS)
    paths = {}
    for part, per_class in (("train", 150), ("test", 60)):
        labels = np.repeat(np.arange(CLASSES), per_class)
        features = means[labels] + rng.normal(size=(len(labels), DIMENSIONS))
        np.savez(folder / f"{part}.npz", features=features.astype(np.float32), labels=labels)
        paths[f"features_{part}"] = str(folder / f"{part}.npz")
    return paths


def plan_for(paths: dict[str, str]) -> CellPlan:
    def candidate(name: str, **settings: object) -> Candidate:
        flat = {"dataset": "features", **paths, "m_per_class": 2, "init": "random", **settings}
        return Candidate(name, LatentConfig.parse(flat))

    poor = candidate("poor", method="implicit", lr=1e-6, proto_steps_base=1)
    good = candidate("good", method="implicit", lr=0.1, proto_steps_base=40)
    return CellPlan("toy", (poor, good), "probe_accuracy", (5,), (1001,))


def row_of(cell: dict, name: str) -> dict:
    return next(row for row in cell["rows"] if row["name"] == name)


@pytest.fixture
def plan(tmp_path: Path) -> CellPlan:
    return plan_for(write_features(tmp_path))


def test_the_better_one_is_chosen_and_controls_stand_beside_it(plan: CellPlan, tmp_path: Path) -> None:
    told: list[str] = []
    cell = evaluate_cell(plan, tmp_path, tmp_path / "cache", 3, 1, True, told.append)
    assert cell["chosen"] == "implicit (good)"
    assert f"{sum(row['kind'] == 'control' for row in cell['rows'])} controls made on the same seeds" in told
    assert cell["seeds"] == [1000, 1002, 1003]  # 1001 was the search's
    names = {row["name"] for row in cell["rows"]}
    assert {"full_data", "random", "herding", "k_center", "closed_form", "herding@5"} <= names
    assert "random_teacher_labels" not in names  # the other label track
    good, poor = row_of(cell, "implicit (good)"), row_of(cell, "implicit (poor)")
    assert good["test"]["probe_accuracy"]["mean"] > poor["test"]["probe_accuracy"]["mean"]
    assert poor["chosen_minus_this_on_test"]["verdict"] == "better"
    assert good["chosen_minus_this_on_test"] is None
    for row in cell["rows"]:
        # Classes are equally large here, so that their accuracies average to the whole.
        by_class = list(row["test_per_class"].values())
        assert np.mean(by_class) == pytest.approx(row["test"]["probe_accuracy"]["mean"])
        assert len(by_class) == CLASSES and set(row["validation_per_class"]) == {"0", "1", "2", "3"}
    full, random = (row_of(cell, name)["test"] for name in ("full_data", "random"))
    assert set(random) == set(full) and "roundtrip_accuracy" not in full  # there is no decoder
    text = evaluation_table(cell)
    assert "* implicit (good)" in text and "test: 240 items" in text
    assert "implicit (good) reaches" in chosen_sentence(cell)


def test_test_scores_equal_those_of_another_library(plan: CellPlan, tmp_path: Path) -> None:
    """The chosen row's first seed, distilled here and read by scikit-learn's logistic regression."""
    cell = evaluate_cell(plan, tmp_path, tmp_path / "cache", 1, 1, True, quiet)
    config = plan.candidates[1].config
    data = prepare_latents(config.data, config.encoder, tmp_path / "cache", quiet)
    run = PrototypeRun(dataclasses.replace(config.distill, seed=1000), data)
    while not run.done:
        run.step()
    distilled = run.distilled()
    raw = np.load(config.data.features_train)["features"]
    # Standardisation is affine: recover it from the training rows to bring raw test features along.
    train = prepare_latents(config.data, config.encoder, tmp_path / "cache", quiet).train_x
    assert train.shape[1] == raw.shape[1]
    from trainables.latent.test_access import open_test_latents

    test = open_test_latents(
        config.data, config.encoder, tmp_path / "cache", quiet, log=tmp_path / "own.jsonl", reason="a test"
    )
    accuracies = []
    for l2 in (1.0, 1e-1, 1e-2, 1e-3, 1e-4):
        model = LogisticRegression(C=1 / (l2 * len(distilled.x)), tol=1e-10, max_iter=5000)
        model.fit(distilled.x.double().numpy(), distilled.y.numpy())
        reward = (model.predict(data.reward_x.double().numpy()) == data.reward_y.numpy()).mean()
        hits = (model.predict(test.x.double().numpy()) == test.y.numpy()).mean()
        accuracies.append((reward, l2, hits))
    expected = max(accuracies)[2]
    assert row_of(cell, "implicit (good)")["test"]["probe_accuracy"]["mean"] == pytest.approx(
        expected, abs=1e-9
    )


def test_test_is_opened_once_per_frozen_row(plan: CellPlan, tmp_path: Path) -> None:
    log = tmp_path / ACCESS_LOG
    unread = evaluate_cell(plan, tmp_path, tmp_path / "cache", 2, 1, False, quiet)
    assert not log.exists() and unread["rows"][0]["test"] is None
    assert "test: not read" in evaluation_table(unread)
    first = evaluate_cell(plan, tmp_path, tmp_path / "cache", 2, 1, True, quiet)
    again = evaluate_cell(plan, tmp_path, tmp_path / "cache", 2, 1, True, quiet)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == 1 and "implicit (good)" in lines[0]["reason"]
    for one, two in zip(first["rows"], again["rows"], strict=True):
        assert one["test"] == two["test"]
    # Other seeds freeze other rows: the full-data probe is the only one that is not read again.
    evaluate_cell(plan, tmp_path, tmp_path / "cache", 3, 1, True, quiet)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == 2 and "full_data" in lines[0]["reason"] and "full_data" not in lines[1]["reason"]


def test_evaluation_leaves_the_test_file_closed_when_told(plan: CellPlan, tmp_path: Path) -> None:
    Path(plan.candidates[0].config.data.features_test or "").write_text("never to be opened")
    cell = evaluate_cell(plan, tmp_path, tmp_path / "cache", 1, 1, False, quiet)
    assert cell["test_items"] is None


def test_fresh_seeds_avoid_those_of_the_search() -> None:
    assert fresh_seeds(3, (1000, 1002)) == [1001, 1003, 1004]
    assert torch.tensor(fresh_seeds(5, ())).unique().numel() == 5


def test_what_the_selection_half_cannot_tell_apart_is_decided_by_the_round_trip() -> None:
    objective = {"first": 0.95, "second": 0.94, "third": 0.80}
    other = {"first": 0.60, "second": 0.90, "third": 0.99}
    # One standard error of 95% is 1.8 points on 150 items and 0.2 points on 10,000.
    assert choose(objective, other, items=150) == "second"
    assert choose(objective, other, items=10_000) == "first"
    assert choose(objective, dict.fromkeys(objective, 0.0), items=150) == "first"


def test_seeds_that_change_nothing_count_as_one_run(tmp_path: Path) -> None:
    """One prototype a class from k-means is the class mean, and all data fit into a batch."""
    flat = {"dataset": "features", **write_features(tmp_path), "proto_steps_base": 5}
    same = Candidate("same", LatentConfig.parse({**flat, "m_per_class": 1, "init": "kmeans"}))
    plan = CellPlan("toy", (same,), "probe_accuracy", (), ())
    cell = evaluate_cell(plan, tmp_path, tmp_path / "cache", 3, 1, True, quiet)
    row = row_of(cell, "implicit (same)")
    assert row["test"]["probe_accuracy"]["n"] == 1 and row["test"]["probe_accuracy"]["low"] is None
    assert row_of(cell, "random")["test"]["probe_accuracy"]["n"] == 3
    assert row_of(cell, "random")["chosen_minus_this_on_test"]["low"] is not None


def test_several_encoders_give_an_interval_over_encoders(plan: CellPlan, tmp_path: Path) -> None:
    flat = {"ae_epochs": 1, "m_per_class": 1, "init": "kmeans", "proto_steps_base": 5}
    on_images = CellPlan("digits", (Candidate("one", LatentConfig.parse(flat)),), "probe_accuracy", (), ())
    cell = evaluate_cell(on_images, tmp_path, tmp_path / "cache", 2, 3, True, quiet)
    assert cell["encoder_seeds"] == [0, 1000, 1001]
    found = row_of(cell, "implicit (one)")["test"]["probe_accuracy"]
    assert found["n"] == 3 and found["low"] < found["mean"] < found["high"]
    with pytest.raises(InputError, match="no encoder to train again"):
        evaluate_cell(plan, tmp_path, tmp_path / "cache", 2, 3, True, quiet)


def test_controls_and_learned_rows_compute_where_the_trials_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial without a GPU's share computes on the CPU, though ``auto`` would take a GPU."""
    flat = {"ae_epochs": 1, "m_per_class": 1, "proto_steps_base": 2}
    plan = CellPlan("digits", (Candidate("one", LatentConfig.parse(flat)),), "probe_accuracy", (), ())
    before = evaluate_cell(plan, tmp_path, tmp_path / "cache", 1, 1, False, quiet)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    again = evaluate_cell(plan, tmp_path, tmp_path / "cache", 1, 1, False, quiet)
    assert [row["validation"] for row in again["rows"]] == [row["validation"] for row in before["rows"]]
    if torch.cuda.device_count() == 0:
        with pytest.raises(InputError, match="0 usable GPUs"):
            evaluate_cell(
                dataclasses.replace(plan, gpus_per_trial=0.5),
                tmp_path,
                tmp_path / "cache",
                1,
                1,
                False,
                quiet,
            )


def test_a_score_of_zero_is_no_missing_score(plan: CellPlan, tmp_path: Path) -> None:
    cell = evaluate_cell(plan, tmp_path, tmp_path / "cache", 1, 1, True, quiet)
    row = row_of(cell, "random")

    def cells_of_the_line() -> list[str]:
        [line] = [line for line in evaluation_table(cell).splitlines() if line.split()[:1] == ["random"]]
        return line.split()

    assert cells_of_the_line()[3] == "-"
    row["test"]["roundtrip_accuracy"] = {**row["test"]["probe_accuracy"], "mean": 0.0}
    assert cells_of_the_line()[3] == "0.0"
