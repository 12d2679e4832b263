"""Scores of images beside the probe's: which rows get them, who may read test for them, and how often."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.test_evaluation import plan_for, row_of, write_features
from trainables.errors import InputError
from trainables.latent.config import LatentConfig
from trainables.latent.image_scoring import CROSS_ENCODER, ImageScoring
from tune_dd import cli
from tune_dd.evaluation.cells import Candidate, CellPlan, evaluate_cell
from tune_dd.evaluation.table import chosen_sentence, evaluation_table
from tune_dd.evaluation.test_scores import ACCESS_LOG
from tune_dd.runs.folder import write_json
from tune_dd.sweeps.latent.settings import LatentSweep

PIXEL = ("pixel_accuracy", "pixel_accuracy_mlp", "pixel_accuracy_mean")


def quiet(line: str) -> None:
    pass


def plan_on_digits(scoring: ImageScoring) -> CellPlan:
    flat = {"ae_epochs": 5, "m_per_class": 2, "init": "kmeans", "proto_steps_base": 5}
    return CellPlan(
        "digits", (Candidate("one", LatentConfig.parse(flat)),), "probe_accuracy", (), (), scoring=scoring
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A cell with all scores, evaluated on two seeds, and the folder of its results."""
    place = tmp_path_factory.mktemp("images")
    plan = plan_on_digits(ImageScoring(pixel_passes=10, cross_encoder_seed=7))
    return evaluate_cell(plan, place, place / "cache", 2, 1, True, quiet), place


def test_every_row_of_few_points_is_scored(both: tuple[dict[str, Any], Path]) -> None:
    cell, _ = both
    for row in cell["rows"]:
        for part in ("validation", "test"):
            expected = {CROSS_ENCODER} if row["name"] == "full_data" else {CROSS_ENCODER, *PIXEL}
            assert expected == set(row[part]) & {CROSS_ENCODER, *PIXEL}, row["name"]
    # The networks differ by seed where the set does not; the other encoder's probe has nothing to differ by.
    herding = row_of(cell, "herding")["test"]
    assert (herding["pixel_accuracy"]["n"], herding[CROSS_ENCODER]["n"]) == (2, 1)
    assert herding["pixel_accuracy"]["std"] > 0
    assert herding["pixel_accuracy_mean"]["mean"] == pytest.approx(
        (herding["pixel_accuracy"]["mean"] + herding["pixel_accuracy_mlp"]["mean"]) / 2
    )


def test_what_is_known_of_digits_shows(both: tuple[dict[str, Any], Path]) -> None:
    cell, _ = both
    tests = {
        row["name"]: {name: found["mean"] for name, found in row["test"].items()} for row in cell["rows"]
    }
    full = tests["full_data"][CROSS_ENCODER]
    assert full > 0.85
    # Real images are read by another encoder about as well as by their own; the closed form shows nothing.
    assert abs(tests["herding"][CROSS_ENCODER] - tests["herding"]["probe_accuracy"]) < 0.15
    assert tests["closed_form"][CROSS_ENCODER] < full - 0.2 < tests["closed_form"]["probe_accuracy"]
    assert tests["herding"]["pixel_accuracy"] > 0.4


def test_test_is_opened_once_for_scores_of_images(both: tuple[dict[str, Any], Path]) -> None:
    cell, place = both
    log = place / ACCESS_LOG

    def reasons() -> list[str]:
        return [json.loads(line)["reason"] for line in log.read_text().splitlines()]

    before = reasons()
    assert len(before) == 2 and before[1].startswith("evaluate digits, images: implicit (one) = ")
    again = evaluate_cell(plan_on_digits(ImageScoring(10, 7)), place, place / "cache", 2, 1, True, quiet)
    assert [row["test"] for row in again["rows"]] == [row["test"] for row in cell["rows"]]
    assert [row["validation"] for row in again["rows"]] == [row["validation"] for row in cell["rows"]]
    assert reasons() == before
    # Other passes make other networks: these alone are read.
    evaluate_cell(plan_on_digits(ImageScoring(1, 7)), place, place / "cache", 2, 1, True, quiet)
    assert len(reasons()) == 3 and "full_data" not in reasons()[2]


def test_scores_of_images_leave_the_others_as_they_were(
    both: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    cell, place = both
    plain = evaluate_cell(plan_on_digits(ImageScoring()), tmp_path, place / "cache", 2, 1, False, quiet)
    assert plain["chosen"] == cell["chosen"] and not (tmp_path / ACCESS_LOG).exists()
    for row, other in zip(plain["rows"], cell["rows"], strict=True):
        assert row["validation"].items() <= other["validation"].items()


def test_the_table_has_their_columns(both: tuple[dict[str, Any], Path]) -> None:
    cell, _ = both
    heading, *lines = evaluation_table(cell).splitlines()[1:]
    assert re.search(r"pixel \(test\) +pixel, MLP \(test\) +other encoder \(test\)$", heading.rstrip())
    [full] = [line for line in lines if line.split()[:1] == ["full_data"]]
    found = row_of(cell, "full_data")["test"][CROSS_ENCODER]["mean"]
    assert full.split()[-3:] == ["-", "-", f"{100 * found:.1f}"]


@pytest.mark.parametrize("scoring", [ImageScoring(pixel_passes=5), ImageScoring(cross_encoder_seed=5)])
def test_features_have_no_images(tmp_path: Path, scoring: ImageScoring) -> None:
    plan = plan_for(write_features(tmp_path))
    with pytest.raises(InputError, match=r"--(pixel|cross-encoder-seed) is given for toy, but features"):
        dataclasses.replace(plan, scoring=scoring)


def test_the_other_encoder_is_another(tmp_path: Path) -> None:
    plan = plan_on_digits(ImageScoring(cross_encoder_seed=0))
    with pytest.raises(InputError, match=r"--cross-encoder-seed is 0 .* such as 1"):
        evaluate_cell(plan, tmp_path, tmp_path / "cache", 2, 1, True, quiet)


@pytest.mark.parametrize("objective", [CROSS_ENCODER, "pixel_accuracy"])
def test_rows_are_compared_by_what_was_maximised(both: tuple[dict[str, Any], Path], objective: str) -> None:
    probe, place = both
    assert probe["compared_by"] == "probe_accuracy"
    plan = dataclasses.replace(plan_on_digits(ImageScoring(10, 7)), objective=objective)
    cell = evaluate_cell(plan, place, place / "cache", 2, 1, True, quiet)
    assert cell["compared_by"] == objective
    chosen = row_of(cell, cell["chosen"])["test"][objective]["mean"]
    for row in cell["rows"]:
        difference = row["chosen_minus_this_on_test"]
        if row["name"] == cell["chosen"] or objective not in row["test"]:  # full data train no network
            assert difference is None
        else:
            assert difference["mean"] == pytest.approx(chosen - row["test"][objective]["mean"])
    said = {CROSS_ENCODER: "other encoder", "pixel_accuracy": "pixel"}[objective]
    assert f"chosen minus this, {said} (test)" in evaluation_table(cell)
    sentence = chosen_sentence(cell)
    assert sentence.endswith(f"controls beyond the interval, by {said}.")
    assert ("against the full-data probe" in sentence) == (objective == CROSS_ENCODER)


def finished_sweep(storage: Path) -> Path:
    """The folder of a sweep of one trial, as ``search`` leaves it for ``evaluate``."""
    config = LatentSweep(
        name="s",
        storage=str(storage),
        cache=str(storage / "cache"),
        prototypes=(1,),
        settings={"ae_epochs": 1, "proto_steps_base": 2},
    )
    [cell] = config.cells
    settings = config.trial_settings(cell, {"method": "implicit"})
    trial = {"trial_id": "0", "cell": str(cell), "status": "completed", "iterations": 1, "config": settings}
    summary = {
        "schema_version": 1,
        "name": "s",
        "state": "finished",
        "objective": config.objective,
        "config": config.to_json(),
        "versions": {},
        "data": {},
        "cells": [{"cell": str(cell), "best": "0", "ranking": ["0"], "under_way": []}],
        "trials": [{**trial, "scores": {"probe_accuracy": 0.5}}],
    }
    (storage / "s").mkdir()
    write_json(storage / "s" / "sweep_summary.json", summary)
    return storage / "s"


def test_the_command_takes_the_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = finished_sweep(tmp_path)
    words = ["evaluate", str(folder), "--fresh-seeds", "1", "--pixel-passes", "2"]
    assert cli.main(words) == 2
    complaint = capsys.readouterr().err
    assert re.fullmatch(r"tune-dd evaluate: --pixel-passes is 2 without --pixel, .*\n", complaint)
    assert cli.main([*words, "--pixel", "--cross-encoder-seed", "9"]) == 0
    out = capsys.readouterr().out
    assert "other encoder (test)" in out and "Scores of images" in out
    [cell] = json.loads((folder / "evaluation.json").read_text())["cells"]
    assert {CROSS_ENCODER, *PIXEL} <= set(row_of(cell, cell["chosen"])["test"])
    assert len((folder / ACCESS_LOG).read_text().splitlines()) == 2
