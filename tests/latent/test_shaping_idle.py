"""Settings that nobody would read beside a schedule that is given are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tune_dd import distill, search
from tune_dd.sweeps.latent.settings import LatentSweep

GIVEN = ["--shape-schedule", "schedule.json"]


@pytest.mark.parametrize(
    ("verb", "words", "told"),
    [
        (
            distill,
            ["--methods", "implicit"],
            "schedule.json with implicit, but rl_shaping alone",
        ),
        (
            search,
            ["--methods", "implicit"],
            "schedule.json with implicit, but rl_shaping alone",
        ),
        (
            distill,
            ["--methods", "rl_shaping", "--shape-episodes", "3"],
            "--shape-episodes is 3 with --shape-sched",
        ),
        (
            search,
            ["--methods", "rl_shaping", "--proto-rl-lrs", "0.1", "0.2"],
            "--proto-rl-lrs is 0.1 0.2 with",
        ),
    ],
)
def test_it_is_refused_in_a_line(
    verb: object,
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert verb.main([*words, *GIVEN]) == 2  # type: ignore[attr-defined]
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_on_record_that_holds_it_still_opens() -> None:
    settings = {"shape_schedule": "schedule.json", "shape_episodes": 3}
    content = LatentSweep(name="old", methods=("rl_shaping",), settings=settings).to_json()
    assert LatentSweep.from_json(content).settings == settings
