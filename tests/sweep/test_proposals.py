"""Who proposes what: cells apart, good points first, nothing depending on more than the records."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.trial import TrialState

from search_spaces import LATENT_SPACES
from trainables.errors import InputError
from trainables.latent.config import LatentConfig
from trainables.latent.distill_config import METHODS
from tune_dd.sweeps.journal import TrialRecord
from tune_dd.sweeps.latent.cell import LatentCell
from tune_dd.sweeps.latent.settings import LatentSweep
from tune_dd.sweeps.proposals import CellStudy, MismatchError, Proposals

OBJECTIVE = "probe_accuracy"


def sweep(**settings: Any) -> LatentSweep:
    return LatentSweep(name="test", **settings)


def ended(
    trial_id: str, cell: LatentCell, params: dict[str, Any], values: list[float], status: str = "completed"
) -> TrialRecord:
    reports = {number: {OBJECTIVE: value} for number, value in enumerate(values, 1)}
    return TrialRecord(trial_id, cell, params, {}, reports, status=status)


def ended_in(config: LatentSweep, cell: LatentCell, params: dict[str, Any], *more: Any) -> TrialRecord:
    """A trial with the settings that ``config`` gives it."""
    record = ended("0", cell, params, *more)
    record.settings |= config.trial_settings(cell, CellStudy(config, cell).replay(params)[1])
    return record


def worth(params: dict[str, Any]) -> float:
    """One method and a high learning rate are better."""
    method = params["method"]
    rate = {"rl_selection": "sel_lr", "rl_shaping": "shape_lr"}.get(method, "lr")
    return (method == "kernel_ridge") * 0.5 + params[f"{method}.{rate}"]


def run(proposals: Proposals, numbers: range) -> list[TrialRecord]:
    records = []
    for number in numbers:
        proposal = proposals.propose(number, str(number))
        assert proposal is not None
        record = ended(str(number), proposal.cell, proposal.params, [0.1, worth(proposal.params)])
        record.settings |= proposal.settings
        proposals.finish(str(number), record)
        records.append(record)
    return records


def test_cells_take_turns_and_are_modelled_apart() -> None:
    proposals = Proposals(sweep(prototypes=(1, 10), seeds=(0, 1), num_trials=12))
    records = run(proposals, range(12))
    assert proposals.propose(12, "12") is None
    for cell, study in proposals.studies.items():
        own = [record.params for record in records if record.cell == cell]
        assert len(own) == 3
        assert [trial.params for trial in study.trials] == own


def test_known_good_points_come_first() -> None:
    config = sweep(prototypes=(10,), num_trials=12)
    points = LATENT_SPACES["latent"].good_points(config.context(config.cells[0]))
    records = run(Proposals(config), range(12))
    assert [record.params for record in records[: len(points)]] == points
    assert records[len(points)].params not in points


@pytest.mark.parametrize("searcher", ["tpe", "random"])
def test_same_seed_proposes_the_same_and_another_seed_does_not(searcher: str) -> None:
    def proposed(seed: int) -> list[dict[str, Any]]:
        config = sweep(prototypes=(10,), searcher=searcher, num_trials=14, seed=seed)
        return [record.params for record in run(Proposals(config), range(14))]

    assert proposed(3) == proposed(3)
    assert proposed(3) != proposed(4)


@pytest.mark.parametrize("searcher", ["tpe", "random"])
@pytest.mark.parametrize("interrupted_at", [0, 3, 9, 15])
def test_resumed_from_records_proposes_as_if_never_interrupted(searcher: str, interrupted_at: int) -> None:
    config = sweep(prototypes=(1, 10), searcher=searcher, num_trials=24)
    whole = run(Proposals(config), range(24))
    resumed = Proposals(config)
    for record in whole[:interrupted_at]:
        resumed.recall(record.trial_id, record.cell, record)
    rest = run(resumed, range(interrupted_at, 24))
    assert [r.params for r in rest] == [r.params for r in whole[interrupted_at:]]


def test_trial_that_was_running_is_known_and_can_end() -> None:
    config = sweep(prototypes=(10,), num_trials=5)
    params = LATENT_SPACES["latent"].good_points(config.context(config.cells[0]))[0]
    study = CellStudy(config, config.cells[0])
    running = ended("0", config.cells[0], params, [0.5])
    running.status = None
    study.recall("0", running)
    assert study.trials[0].state is TrialState.RUNNING
    assert study.propose("1")[0] != params, "a good point that runs already is not proposed again"
    running.status, running.reports[2] = "completed", {OBJECTIVE: 0.75}
    study.finish("0", running)
    assert study.trials[0].state is TrialState.COMPLETE
    assert study.trials[0].value == 0.75
    assert study.trials[0].intermediate_values == {1: 0.5, 2: 0.75}


def test_how_a_trial_ended_is_told() -> None:
    config = sweep(prototypes=(10,), num_trials=8)
    study = CellStudy(config, config.cells[0])
    for number, (status, values, state) in enumerate(
        [
            ("completed", [0.5, 0.9], TrialState.COMPLETE),
            ("stopped_early", [0.2, 0.3], TrialState.PRUNED),
            ("diverged", [0.1], TrialState.COMPLETE),
            ("failed", [], TrialState.FAIL),
        ]
    ):
        params, _ = study.propose(str(number))
        study.finish(str(number), ended(str(number), config.cells[0], params, values, status))
        told = study.trials[number]
        assert told.state is state
        assert told.intermediate_values == dict(enumerate(values, 1))
        if state is TrialState.COMPLETE:
            assert told.value == values[-1], "the last value, not the best one"


def test_tpe_learns_and_chance_does_not() -> None:
    def late(searcher: str) -> float:
        config = sweep(prototypes=(10,), searcher=searcher, num_trials=60)
        records = run(Proposals(config), range(60))
        return sum(record.params["method"] == "kernel_ridge" for record in records[30:]) / 30

    assert late("tpe") > 0.6
    assert late("random") < 0.5


def test_grid_is_every_good_point_in_every_cell() -> None:
    config = sweep(searcher="grid", prototypes=(1, 5), methods=("implicit", "unrolled"))
    proposals = Proposals(config)
    assert proposals.total == 8
    listed = [proposals.propose(number, str(number)) for number in range(8)]
    assert len({str(proposal) for proposal in listed}) == 8
    assert not config.early_stopping
    assert LatentSweep(name="x", searcher="grid", scheduler="asha").early_stopping


class TestWarmStart:
    def test_old_trials_are_known_and_good_points_not_repeated(self) -> None:
        config = sweep(prototypes=(10,), num_trials=20)
        old = run(Proposals(config), range(20))
        new = Proposals(config)
        for record in old:
            new.learn(record.cell, record)
        assert len(new.studies[config.cells[0]].trials) == 20
        known = [record.params for record in old]
        records = run(new, range(20))
        assert not any(record.params in known for record in records)
        late = sum(record.params["method"] == "kernel_ridge" for record in records) / 20
        assert late > 2 / len(METHODS), "it starts where the old sweep ended"

    def test_what_does_not_fit_is_refused_with_its_reason(self) -> None:
        config = sweep(prototypes=(10,), num_trials=2, methods=("implicit",))
        cell, proposals = config.cells[0], Proposals(config)
        good = LATENT_SPACES["latent"].good_points(config.context(cell))[0]
        proposals.learn(cell, ended_in(config, cell, good, [0.5]))
        for other, record, reason in [
            (
                LatentCell("digits", "conv", 0, 7),
                ended("1", cell, good, [0.5]),
                "no cell digits/conv/seed0/m7",
            ),
            (cell, ended("2", cell, {**good, "implicit.lr": 9.0}, [0.5]), "implicit.lr = 9.0 lies outside"),
            (cell, ended("3", cell, {"method": "unrolled"}, [0.5]), "unrolled"),
            (cell, ended("4", cell, {**good, "implicit.other": 1}, [0.5]), "implicit.other"),
            (cell, ended("5", cell, good, [], "failed"), "has not ended with a score"),
        ]:
            with pytest.raises(MismatchError, match=reason):
                proposals.learn(other, record)
        assert len(proposals.studies[cell].trials) == 1

    @pytest.mark.parametrize(
        ("name", "value"), [("proto_steps_base", 90), ("roundtrip_weight", 0.7), ("steps_per_iteration", 3)]
    )
    def test_other_fixed_settings_make_another_trial(self, name: str, value: float) -> None:
        # Neither is searched in either sweep: the parameters alone look the same.
        common = {"proto_steps_base": 60, "roundtrip_weight": 0.2}
        old = sweep(prototypes=(10,), settings={**common, name: value})
        new = sweep(prototypes=(10,), settings=common, cpus_per_trial=2)
        cell, params = new.cells[0], LATENT_SPACES["latent"].good_points(new.context(new.cells[0]))[0]
        study = CellStudy(new, cell)
        with pytest.raises(MismatchError, match=f"other --{name.replace('_', '-')}$"):
            study.learn(ended_in(old, cell, params, [0.5]))
        study.learn(ended_in(sweep(prototypes=(10,), settings=common), cell, params, [0.5]))
        assert len(study.trials) == 1

    def test_stopped_trials_stay_stopped(self) -> None:
        config = sweep(prototypes=(10,), num_trials=2)
        study = CellStudy(config, config.cells[0])
        params = LATENT_SPACES["latent"].good_points(study.context)[0]
        study.learn(ended_in(config, config.cells[0], params, [0.2, 0.4], "stopped_early"))
        assert study.trials[0].state is TrialState.PRUNED
        assert study.trials[0].intermediate_values == {1: 0.2, 2: 0.4}

    def test_mismatch_is_an_error_of_its_own(self) -> None:
        config = sweep(prototypes=(10,))
        with pytest.raises(MismatchError):
            CellStudy(config, config.cells[0]).replay({"method": "nothing"})


def test_journal_of_another_space_is_told_when_resuming() -> None:
    config = sweep(prototypes=(10,), num_trials=2)
    record = ended("00003", config.cells[0], {"method": "unrolled", "unrolled.gone": 1.0}, [0.5])
    with pytest.raises(InputError, match=r"trial 00003 on record.*--warm-start test"):
        Proposals(config).recall("00003", record.cell, record)


@pytest.mark.parametrize("settings", [{"budgets": (5, 20)}, {"settings": {"sel_budget_per_class": 20}}])
def test_trials_are_compared_with_those_of_their_size(settings: dict[str, Any]) -> None:
    """RL-Selection's budgets are cells of their own: twenty points a class beat one, whoever chose them."""
    config = LatentSweep(
        name="x",
        prototypes=(1, 5),
        methods=("implicit", "rl_selection"),
        searcher="random",
        num_trials=24,
        **settings,
    )
    proposals = Proposals(config)
    tried: dict[int | None, set[str]] = {}
    for number in range(proposals.total):
        proposal = proposals.propose(number, str(number))
        assert proposal is not None
        parsed = LatentConfig.parse(proposal.settings)
        assert config.cell_of(proposal.settings) == proposal.cell
        if parsed.distill.selects:
            assert parsed.distill.selection_budget == proposal.cell.size
        tried.setdefault(proposal.cell.size, set()).add(parsed.distill.method)
    both = {"implicit", "rl_selection"} if "budgets" in settings else {"implicit"}
    assert tried == {1: {"implicit"}, 5: both, 20: {"rl_selection"}}
