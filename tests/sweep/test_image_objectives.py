"""Scores of images as what a search maximises: in reports, on record, on a worker that is used again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.tune.trainable import trainable as ray_trainable

from tests.sweep.test_tune_parts import reported
from trainables.errors import InputError
from trainables.latent.config import DataConfig, EncoderConfig, LatentConfig
from trainables.latent.distilled_set import DistilledSet
from trainables.latent.image_scorer import open_image_scorer
from trainables.latent.image_scoring import CROSS_ENCODER, PIXEL, ImageScoring
from trainables.latent.latents import LatentData, prepare_latents
from trainables.latent_distillation import CACHE, LatentDistillation
from tune_dd.sweeps.journal import TrialRecord
from tune_dd.sweeps.latent.settings import LatentSweep
from tune_dd.sweeps.proposals import CellStudy, MismatchError
from tune_dd.sweeps.results import ranking

FEW = {"ae_epochs": 2, "proto_steps_base": 6, "steps_per_iteration": 2}


def sweep(objective: str, **settings: Any) -> LatentSweep:
    return LatentSweep(name="x", prototypes=(1,), objective=objective, settings={**FEW, **settings})


def quiet(line: str) -> None:
    pass


@pytest.fixture(params=[(CROSS_ENCODER, {}), (PIXEL, {"pixel_passes": 3})], ids=lambda param: param[0])
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """All settings of a trial, by each objective."""
    monkeypatch.setattr(ray_trainable, "DEFAULT_STORAGE_PATH", str(tmp_path / "ray"))
    config = sweep(request.param[0], **request.param[1])
    return {
        **config.trial_settings(config.cells[0], {"method": "implicit"}),
        CACHE: str(shared_cache / "tune-dd"),
    }


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, "cross_encoder_seed": None, "pixel_passes": None}


def test_reports_hold_it_and_all_else_stays(settings: dict[str, Any], tmp_path: Path) -> None:
    asked = CROSS_ENCODER if settings["cross_encoder_seed"] == 100 else PIXEL
    bare = reported(LatentDistillation(plain(settings)))
    trial = LatentDistillation(plain(settings))
    assert trial.reset(dict(settings)), "a used worker"
    whole = reported(trial)
    assert [{name: value for name, value in r.items() if name != asked} for r in whole] == bare
    assert all(0 < report[asked] <= 1 for report in whole)
    first = LatentDistillation(dict(settings))
    first.train()
    first.save(str(tmp_path / "checkpoint"))
    second = LatentDistillation(dict(settings))
    second.restore(str(tmp_path / "checkpoint"))
    assert reported(second) == whole[1:], "restored, it goes on bit for bit"
    diverged = reported(LatentDistillation({**settings, "lr": 1e30}))[-1]
    assert diverged["diverged"] == 1 and diverged[asked] == pytest.approx(0.1)


@pytest.fixture(scope="module")
def digits(shared_cache: Path) -> tuple[LatentConfig, LatentData, Path]:
    cache = shared_cache / "tune-dd"
    scoring = ImageScoring(pixel_passes=20, cross_encoder_seed=100)
    config = LatentConfig(encoder=EncoderConfig(ae_epochs=2), scoring=scoring)
    return config, prepare_latents(DataConfig(), config.encoder, cache, quiet), cache


def test_images_that_show_their_class_score_and_others_do_not(
    digits: tuple[LatentConfig, LatentData, Path],
) -> None:
    config, data, cache = digits
    scorer = open_image_scorer(config, data, cache, quiet, "cpu")
    assert scorer is not None
    rows = torch.cat([torch.nonzero(data.train_y == c)[:2, 0] for c in range(10)])
    real = DistilledSet(data.train_x[rows], data.train_y[rows], indices=rows)
    turned = dataclasses.replace(real, y=(real.y + 1) % 10)
    found, wrong = scorer.score(real, 0), scorer.score(turned, 0)
    assert scorer.score(real, 0) == found
    for name in (CROSS_ENCODER, PIXEL):
        assert found[name] > 0.45 and wrong[name] < 0.2, name
    assert scorer.chance() == {CROSS_ENCODER: 0.1, PIXEL: 0.1}
    assert scorer.of_full_data()[CROSS_ENCODER] >= found[CROSS_ENCODER]


def test_settings_that_decide_the_score_are_on_record() -> None:
    config = sweep(CROSS_ENCODER)
    assert config.to_json()["settings"]["cross_encoder_seed"] == 100
    assert LatentSweep.from_json(json.loads(json.dumps(config.to_json()))).scoring == config.scoring
    assert sweep(PIXEL).to_json()["settings"]["pixel_passes"] == 100
    recorded = sweep("probe_accuracy")
    assert {"pixel_passes", "cross_encoder_seed"}.isdisjoint(recorded.to_json()["settings"])
    kept = LatentSweep.still_meant({"pixel_passes": 5, "cross_encoder_seed": 3}, {"objective": PIXEL})
    assert kept == {"pixel_passes": 5}


def ended(config: LatentSweep, scores: dict[str, float], trial_id: str = "0") -> TrialRecord:
    [cell] = config.cells
    point = config.space_of_choice.good_points(config.context(cell))[0]
    settings = config.trial_settings(cell, CellStudy(config, cell).replay(point)[1])
    return TrialRecord(trial_id, cell, point, settings, {1: scores}, status="completed")


def test_a_warm_start_takes_trials_with_the_same_score_alone() -> None:
    config = sweep(CROSS_ENCODER)
    scores = {"probe_accuracy": 0.9, CROSS_ENCODER: 0.8}
    study = CellStudy(config, config.cells[0])
    study.learn(ended(config, scores))
    assert study.trials[0].value == 0.8
    with pytest.raises(MismatchError, match="other --cross-encoder-seed"):
        study.learn(ended(sweep(CROSS_ENCODER, cross_encoder_seed=7), scores))
    with pytest.raises(MismatchError, match="no cross_encoder_accuracy"):
        study.learn(ended(sweep("probe_accuracy"), {"probe_accuracy": 0.9}))
    # The other way round it does not matter what else was scored.
    CellStudy(sweep("probe_accuracy"), config.cells[0]).learn(ended(config, scores))


def test_equal_scores_are_ranked_by_the_probe() -> None:
    config = sweep(PIXEL)
    records = [ended(config, {PIXEL: 0.5, "probe_accuracy": p}, str(n)) for n, p in enumerate((0.7, 0.9))]
    assert [record.trial_id for record in ranking(records, config.cells[0], config)] == ["1", "0"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"objective": CROSS_ENCODER, "seeds": (0, 100)}, "--cross-encoder-seed is 100 for --seeds 0 100"),
        ({"settings": {"pixel_passes": 5}}, "--pixel-passes is 5 with --objective probe_accuracy"),
        (
            {
                "objective": PIXEL,
                "datasets": ("features",),
                "settings": {"features_train": "f.npz"},
            },
            "--objective is pixel_accuracy with --datasets features, but .*no image",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        LatentSweep(name="x", **fields)


def test_the_cost_is_told() -> None:
    config = sweep(PIXEL)
    settings = config.trial_settings(config.cells[0], {"method": "implicit"})
    kind = config.open()
    few = kind.trial_s({**settings, "pixel_passes": 10})
    # Three reports, ten images, as many more passes.
    assert kind.trial_s({**settings, "pixel_passes": 110}) - few == pytest.approx(100 * 3 * 10 * 0.0007)
