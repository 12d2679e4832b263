"""RL-Shaping's promises to whoever runs it."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.latent.gaussians import gaussian_latents
from trainables.errors import InputError
from trainables.latent.distill_config import DistillConfig
from trainables.latent.latents import LatentData
from trainables.latent.methods import start_run
from trainables.latent.shaping import run as run_module
from trainables.latent.shaping.run import ShapingRun
from trainables.latent.shaping.schedules import Schedule, read_schedule, write_schedule

SMALL = {
    "shape_episodes": 20,
    "shape_batch": 4,
    "shape_decisions": 3,
    "shape_steps": 5,
    "proto_steps_base": 15,
}


def config(**settings: Any) -> DistillConfig:
    return DistillConfig(**{"method": "rl_shaping", "m_per_class": 2, **SMALL, **settings})


def finished(settings: DistillConfig, data: LatentData) -> tuple[ShapingRun, list[dict[str, float]]]:
    run = start_run(settings, data)
    assert isinstance(run, ShapingRun)
    reports = []
    while not run.done:
        reports.append(run.step())
    return run, reports


def written(**changed: object) -> str:
    """A good schedule as a file holds it, but for what is changed (``None``: left out)."""
    good = {"kind": "tune-dd schedule of loss weights", "terms": ["probe"], "steps": 5, "weights": [[1.0]]}
    return json.dumps({name: value for name, value in {**good, **changed}.items() if value is not None})


@pytest.fixture(scope="module")
def data() -> LatentData:
    return gaussian_latents(separation=1.5)


def test_the_first_report_is_the_trained_start_and_no_later_one_is_worse(data: LatentData) -> None:
    run, reports = finished(config(), data)
    base = start_run(config(method="implicit"), data)
    while not base.done:
        scores = base.step()
    assert reports[0]["roundtrip_accuracy"] == scores["roundtrip_accuracy"]
    assert [report["episodes"] for report in reports] == [0, 4, 8, 12, 16, 20]
    assert run.iteration == run.config.iterations == 6
    rewards = [report["reward_of_best"] for report in reports]
    assert rewards[0] == reports[0]["reward_of_start"]
    assert rewards[-1] >= rewards[0]
    assert run.schedule is not None
    assert torch.tensor(run.schedule.weights).shape == (3, 6)


@pytest.mark.parametrize(("episodes", "batch", "reports"), [(1, 32, 2), (33, 32, 3), (200, 32, 6)])
def test_reports_by_the_number_of_updates(episodes: int, batch: int, reports: int) -> None:
    assert config(shape_episodes=episodes, shape_batch=batch).iterations == reports


def test_a_single_episode_is_a_run_too(data: LatentData) -> None:
    _, reports = finished(config(shape_episodes=1), data)
    assert reports[-1]["episodes"] == 1


def test_the_same_seed_gives_the_same_and_another_seed_another(data: LatentData) -> None:
    first, second, other = (finished(config(seed=seed), data)[0] for seed in (0, 0, 1))
    assert torch.equal(first.points, second.points)
    assert not torch.equal(first.points, other.points)


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_restored_run_goes_on_bit_for_bit(data: LatentData, after: int) -> None:
    whole, reports = finished(config(), data)
    cut = start_run(config(), data)
    for _ in range(after):
        cut.step()
    stream = io.BytesIO()
    torch.save(cut.state_dict(), stream)
    stream.seek(0)
    restored = start_run(config(), data)
    restored.load_state_dict(torch.load(stream, weights_only=True))
    assert isinstance(restored, ShapingRun)
    while not restored.done:
        last = restored.step()
    assert torch.equal(restored.points, whole.points)
    timing = {"optimise_cpu_s"}
    assert {k: v for k, v in last.items() if k not in timing} == {
        k: v for k, v in reports[-1].items() if k not in timing
    }
    assert restored.schedule == whole.schedule


def test_a_state_of_other_prototypes_is_refused(data: LatentData) -> None:
    run, _ = finished(config(), data)
    with pytest.raises(InputError, match="needs the state of rl_shaping"):
        start_run(config(m_per_class=3), data).load_state_dict(run.state_dict())


def test_a_learned_schedule_is_applied_to_another_seed_and_other_data(
    data: LatentData, tmp_path: Path
) -> None:
    run, _ = finished(config(), data)
    assert run.schedule is not None
    path = tmp_path / "schedule.json"
    write_schedule(path, run.schedule)
    assert read_schedule(path) == run.schedule
    applied, reports = finished(config(shape_schedule=str(path), seed=1), gaussian_latents(classes=5))
    assert reports[-1]["episodes"] == 1
    assert applied.schedule is not None
    assert torch.allclose(
        torch.tensor(applied.schedule.weights), torch.tensor(run.schedule.weights), rtol=1e-4
    )
    with pytest.raises(InputError, match="give --shape-decisions 3"):
        start_run(config(shape_schedule=str(path), shape_decisions=8), data)
    with pytest.raises(InputError, match="give --shape-steps 5"):
        start_run(config(shape_schedule=str(path), shape_steps=25), data)
    with pytest.raises(InputError, match="no decoder"):
        start_run(config(shape_schedule=str(path)), gaussian_latents(codec=False))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("{", "damaged"),
        ("[" * 100_000, "damaged"),
        ("[]", "holds none"),
        (json.dumps({"kind": "other"}), "holds none"),
        (written(steps=None), "damaged"),
        (written(steps=0), "'steps' is 0, and must be a whole number from 1"),
        (written(terms=["prob"]), "'prob' is no term of the loss: probe, "),
        (written(terms=["probe", "probe"], weights=[[1.0, 1.0]]), "probe, probe, and must be different ones"),
        (written(terms=[], weights=[[]]), "its terms are none"),
        (written(weights=[[1.0], [-1.0]]), "a weight is -1, and must be a number from 0"),
        (written(weights=[[1.0, 2.0]]), "rows of 1 weights, one for each term"),
        (written(weights=[]), "rows of 1 weights"),
    ],
)
def test_what_is_no_schedule_is_refused_in_one_line(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "schedule.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=said):
        read_schedule(path)


def test_a_schedule_says_nothing_of_terms_that_it_does_not_know() -> None:
    schedule = Schedule(("probe", "cycle"), [[1.0, 0.5], [2.0, 0.25]], 25)
    on = schedule.on(("cycle", "realism", "probe"), torch.zeros(1))
    assert on.tolist() == [[0.5, 0.0, 1.0], [0.25, 0.0, 2.0]]


def test_features_are_shaped_by_direct_accuracy() -> None:
    data = gaussian_latents(codec=False)
    run, reports = finished(config(), data)
    assert "roundtrip_accuracy" not in reports[-1]
    assert run.schedule is not None
    assert "cycle" not in run.schedule.terms


def test_the_start_is_kept_where_no_episode_is_better(data: LatentData) -> None:
    """Episodes that only lose: at such a learning rate points fly apart."""
    run, reports = finished(config(shape_lr=100.0), data)
    assert reports[-1]["reward_of_best"] == reports[0]["reward_of_start"]
    assert reports[-1]["roundtrip_accuracy"] == reports[0]["roundtrip_accuracy"]
    assert run.schedule is not None, "that of the best episode can be looked at all the same"


def test_soft_labels_are_refused() -> None:
    with pytest.raises(InputError, match="labels is soft"):
        config(labels="soft")


def test_a_round_trip_as_the_reward_needs_a_decoder() -> None:
    with pytest.raises(InputError, match="--shape-reward is roundtrip_accuracy"):
        start_run(config(shape_reward="roundtrip_accuracy"), gaussian_latents(codec=False))


def test_what_would_not_fit_into_memory_is_refused_before_anything_is_trained(
    data: LatentData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "MOST_BYTES", 1000)
    with pytest.raises(InputError, match="there are 6 prototypes of 8 dimensions"):
        start_run(config(), data)


@pytest.mark.parametrize(
    "settings",
    [
        {"shape_decisions": 1, "shape_episodes": 5},  # a last batch of one episode with one decision
        {"proto_rl_lr": 1e30},
        {"shape_lr": 1e30},
        {"shape_loss_weight": 1e300},
        {"inner_l2": 1e-300},
    ],
    ids=str,
)
def test_whatever_goes_wrong_reports_are_finite_and_the_start_is_not_given_up(
    data: LatentData, settings: dict[str, float]
) -> None:
    run, reports = finished(config(**settings), data)
    for report in reports:
        assert all(math.isfinite(value) for value in report.values()), report
    assert torch.isfinite(run.points).all()
    assert run.diverged or run._best_score >= run.open_task().start_score
    json.dumps(None if run.schedule is None else run.schedule.weights, allow_nan=False)


def test_a_poor_start_is_not_given_up_for_what_diverged(data: LatentData) -> None:
    """Whose score is below zero, which is what a careless sum of an accuracy and a loss gives."""
    run, reports = finished(config(lr=1000.0, shape_lr=1e30, shape_loss_weight=10.0), data)
    assert torch.isfinite(run.points).all()
    assert reports[-1]["reward_of_best"] == reports[0]["reward_of_start"]


def test_a_start_that_diverges_is_a_result_at_chance(data: LatentData) -> None:
    run, reports = finished(config(lr=1e30), data)
    assert run.diverged and len(reports) == 1
    assert reports[-1]["probe_accuracy"] == pytest.approx(1 / 3)
