"""Two scores at once: front and hypervolume by hand and by Optuna's own, proposals, and a real tiny sweep."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from matplotlib.image import imread
from optuna._hypervolume import compute_hypervolume

from tests.sweep import sweeps
from tests.sweep.test_search import resume
from trainables.errors import InputError
from trainables.latent.config import LatentConfig
from tune_dd import cli
from tune_dd.sweeps.journal import TrialRecord
from tune_dd.sweeps.latent.settings import LatentSweep
from tune_dd.sweeps.pareto import front, hypervolume, spread
from tune_dd.sweeps.proposals import MismatchError, Proposals

BYTES, ROUNDTRIP = "accuracy-bytes", "accuracy-roundtrip"


def sweep(pareto: str = BYTES, **fields: Any) -> LatentSweep:
    return LatentSweep(**{"name": "x", "pareto": pareto, "prototypes": (1, 5, 10), **fields})


def ended(
    config: LatentSweep, trial_id: str, first: float, second: float, status: str | None = "completed"
) -> TrialRecord:
    """A trial of the one cell with the two scores that are weighed."""
    assert config.axes is not None
    scores = {config.axes[0].metric: first, config.axes[1].metric: second}
    return TrialRecord(trial_id, config.cells[0], {}, {}, {1: scores}, status=status)


def test_hypervolume_worked_out_by_hand() -> None:
    # Slabs from below: 0.8 wide up to 0.2, 0.5 wide up to 0.5, 0.2 wide up to 0.9.
    points = [(0.5, 0.5), (0.2, 0.9), (0.8, 0.2), (0.4, 0.4)]
    assert hypervolume(points) == pytest.approx(0.16 + 0.15 + 0.08)
    assert hypervolume([]) == 0 and hypervolume([(1, 1)]) == 1 and hypervolume([(1, 0), (0, 1)]) == 0


@pytest.mark.parametrize("pareto", [BYTES, ROUNDTRIP])
def test_front_and_hypervolume_are_optunas(pareto: str) -> None:
    config = sweep(pareto, prototypes=(1, 5) if pareto == BYTES else (1,))
    assert config.axes is not None
    study = optuna.create_study(directions=[axis.direction for axis in config.axes])
    draw, records = random.Random(0), []
    for number in range(60):
        # Coarse, so that scores are often equal.
        values = (
            draw.randrange(10) / 10,
            draw.choice([1360, 2720, 6800]) if pareto == BYTES else draw.random(),
        )
        records.append(ended(config, f"{number:05d}", *values))
        study.add_trial(optuna.create_trial(values=list(values)))
    found = front(records, config.cells[0], config)
    pairs = [tuple(record.scores[axis.metric] for axis in config.axes) for record in found]
    assert sorted(pairs) == sorted({tuple(trial.values) for trial in study.best_trials})
    assert pairs == sorted(pairs, reverse=True)
    points = np.array([[draw.random(), draw.random()] for _ in range(40)])
    assert hypervolume([(x, y) for x, y in points]) == pytest.approx(
        compute_hypervolume(1 - points, np.ones(2))
    )


def test_of_equal_trials_one_is_on_the_front() -> None:
    config = sweep()
    records = [ended(config, str(number), 0.9, 1360.0) for number in range(4)]
    records[2].reports[1]["roundtrip_accuracy"] = 0.8
    records += [
        ended(config, "4", 0.9, 2720.0),  # as good, and larger
        ended(config, "5", 0.95, 1360.0, "diverged"),
        ended(config, "6", 0.95, 1360.0, None),
    ]
    assert [record.trial_id for record in front(records, config.cells[0], config)] == ["2"]


def test_a_front_is_thinned_from_end_to_end() -> None:
    assert spread("abcde", 3) == ["a", "c", "e"]
    assert spread("abcde", 1) == ["a"] and spread("ab", 3) == ["a", "b"]


def run(proposals: Proposals, config: LatentSweep, numbers: Sequence[int]) -> list[TrialRecord]:
    """Trials whose accuracy grows with their size, and with the learning rate of one method."""
    records = []
    for number in numbers:
        proposal = proposals.propose(number, str(number))
        assert proposal is not None
        size = proposal.settings.get("sel_budget_per_class") or proposal.settings["m_per_class"]
        worth = 0.5 + 0.03 * size + (proposal.params["method"] == "implicit") * 0.1
        record = ended(config, str(number), worth, 136.0 * 10 * size)
        record.cell, record.params, record.settings = proposal.cell, proposal.params, proposal.settings
        proposals.finish(str(number), record)
        records.append(record)
    return records


def test_one_cell_tries_every_size_and_method_first() -> None:
    config = sweep(num_trials=40, budgets=(2, 5))
    assert [str(cell) for cell in config.cells] == ["digits/conv/seed0"]
    assert not config.early_stopping and sweep(scheduler="none").axes
    records = run(Proposals(config), config, range(30))
    points = config.space_of_choice.good_points(config.context(config.cells[0]))
    assert [record.params for record in records[: len(points)]] == points
    learned = [r.settings for r in records[: len(points)] if r.settings["method"] != "rl_selection"]
    assert {settings["m_per_class"] for settings in learned} == {1, 5, 10}
    for record in records:
        assert config.cell_of(record.settings) == record.cell
        if record.settings["method"] == "rl_selection":  # beside as many prototypes as it keeps points
            assert record.settings["sel_budget_per_class"] in (2, 5)
            assert record.settings["m_per_class"] == record.settings["sel_budget_per_class"]
    assert config.sizes == (1, 2, 5, 10)
    late = [record.params["method"] == "implicit" for record in records[len(points) :]]
    assert sum(late) / len(late) > 0.5, "it learns from both scores"


@pytest.mark.parametrize("interrupted_at", [3, 14])
def test_resumed_from_records_proposes_as_if_never_interrupted(interrupted_at: int) -> None:
    config = sweep(num_trials=18)
    whole = run(Proposals(config), config, range(18))
    resumed = Proposals(config)
    for record in whole[:interrupted_at]:
        resumed.recall(record.trial_id, record.cell, record)
    rest = run(resumed, config, range(interrupted_at, 18))
    assert [record.params for record in rest] == [record.params for record in whole[interrupted_at:]]


def test_a_warm_start_knows_whole_trials_alone() -> None:
    config = sweep(num_trials=12)
    old = run(Proposals(config), config, range(12))
    new = Proposals(config)
    for record in old[1:]:
        new.learn(record.cell, record)
    [study] = new.studies.values()
    assert [trial.values for trial in study.trials] == [
        [record.scores["probe_accuracy"], pytest.approx(np.log(record.scores["size_bytes"]))]
        for record in old[1:]
    ]
    old[0].status = "stopped_early"
    with pytest.raises(MismatchError, match="stopped early"):
        new.learn(old[0].cell, old[0])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"scheduler": "asha"}, "--scheduler is asha with --pareto accuracy-bytes.*leave it out"),
        ({"prototypes": (5,)}, "--prototypes is 5 with --pareto accuracy-bytes.*several sizes"),
        ({"searcher": "grid"}, "--searcher is grid with --pareto accuracy-bytes"),
        ({"pareto": ROUNDTRIP, "objective": "roundtrip_accuracy"}, "--objective .* is the other score"),
        ({"pareto": "accuracy"}, "--pareto is 'accuracy'.*not known"),
        (
            {
                "pareto": ROUNDTRIP,
                "datasets": ("features",),
                "settings": {"features_train": "f.npz"},
            },
            "--pareto is accuracy-roundtrip with --datasets features",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        sweep(**fields)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished sweep of 5 trials of two sizes: its folder and what it printed."""
    storage = tmp_path_factory.mktemp("pareto") / "results"
    log = storage.parent / "log"
    words = (
        "--name two --num-trials 5 --prototypes 1 2 --methods implicit rl_selection --budgets 2 3 --pareto"
    )
    few = "--ae-epochs 2 --proto-steps-base 4 --steps-per-iteration 2 --sel-evaluations 8"
    process = sweeps.start(storage, *words.split(), BYTES, *few.split(), log=log)
    return storage / "two", sweeps.finish(process, log)


def test_the_sweep_says_what_its_front_covers(finished: tuple[Path, str]) -> None:
    folder, text = finished
    sweeps.check_each_trial_once(folder, 5)
    summary = sweeps.summary(folder)
    [cell] = summary["cells"]
    pareto, scores = cell["pareto"], sweeps.scores(folder)
    assert {trial["status"] for trial in summary["trials"]} == {"completed"}, "none is stopped early"
    assert [axis["score"] for axis in pareto["axes"]] == ["probe_accuracy", "size_bytes"]
    # 900 training latents of 32 numbers and a label against one of each class.
    assert (pareto["axes"][1]["reference"], pareto["axes"][1]["ideal"]) == (900 * 136.0, 10 * 136.0)
    for member in pareto["front"]:
        own = scores[member["trial_id"]]
        assert member["probe_accuracy"] == own["probe_accuracy"]
        assert not any(
            other["probe_accuracy"] > own["probe_accuracy"] and other["size_bytes"] <= own["size_bytes"]
            for other in scores.values()
        )
    assert 0.5 < pareto["hypervolume"] <= 1
    assert 1 <= pareto["reached_after"] <= pareto["trials"] == 5
    assert {"herding@1", "herding@2", "herding@3", "closed_form", "full_data"} <= cell["controls"].keys()
    assert f"front of {len(pareto['front'])} trial" in text
    assert re.search(rf"{pareto['front'][0]['trial_id']} +\w+@[123] ", text)
    picture = imread(folder / "pareto.png")
    assert picture.shape[0] > 400 and picture.std() > 0.05


def test_interrupted_it_goes_on_to_the_same_front(finished: tuple[Path, str]) -> None:
    """One trial goes on from its checkpoint, and one had been proposed and never ran."""
    copied = finished[0].with_name("copied")
    shutil.copytree(finished[0], copied)
    kept = [
        event
        for event in sweeps.events(copied)
        if (event["trial"], event["event"]) != ("00003", "ended")
        and (event["trial"] != "00004" or event["event"] == "proposed")
    ]
    (copied / "journal.jsonl").write_text("".join(json.dumps(event) + "\n" for event in kept))
    (copied / "pareto.png").unlink()
    assert "3 trials have ended, 1 goes on from a checkpoint, 1 starts" in resume(copied)
    sweeps.check_each_trial_once(copied, 5)
    assert sweeps.scores(copied) == sweeps.scores(finished[0])
    before, after = (sweeps.summary(place)["cells"][0]["pareto"] for place in (finished[0], copied))
    assert after == before and (copied / "pareto.png").exists()


def test_evaluate_takes_the_front(finished: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = finished
    assert cli.main(["evaluate", str(folder), "--no-test", "--fresh-seeds", "1", "--top-k", "2"]) == 0
    said = capsys.readouterr().out
    summary = sweeps.summary(folder)
    members = [member["trial_id"] for member in summary["cells"][0]["pareto"]["front"]]
    configs = {trial["trial_id"]: trial["config"] for trial in summary["trials"]}
    cells = json.loads((folder / "evaluation_without_test.json").read_text())["cells"]
    rows = [row for cell in cells for row in cell["rows"] if row["kind"] == "learned"]
    assert [row["trial_id"] for row in rows] == spread(members, 2)
    for cell, trial_id in zip(cells, spread(members, 2), strict=True):
        distill = LatentConfig.parse(configs[trial_id]).distill
        assert cell["cell"] == f"digits/conv/seed0/m{distill.m_per_class}" and cell["cell"] in said
        # Controls of as many points as the cell's own sets have, and of no other number.
        kept = {distill.selection_budget} - {distill.m_per_class} if distill.selects else set()
        sizes = {row["name"].partition("@")[2] for row in cell["rows"] if row["kind"] == "control"}
        assert sizes - {""} == set(map(str, kept))
