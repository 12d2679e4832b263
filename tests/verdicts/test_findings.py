"""What is planted in a verdict's rows is found, counted, and said."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.latent.gaussians import gaussian_latents
from tests.verdicts import made_rows
from tune_dd.verdicts import words
from tune_dd.verdicts.findings import claims, panels_of
from tune_dd.verdicts.forest import axis_reach, draw_forest
from tune_dd.verdicts.panels import hits_on_halves

LATENTS = {seed: gaussian_latents(separation=2.0, seed=seed) for seed in (0, 1)}
CONTROLS = (
    "herding", "kmeans_medoids", "best_of_n", "swap_search", "greedy_forward", "untrained_policy",
)  # fmt: skip


def panels(noise: dict[str, float], *, one_set: bool = False, **changed: Any) -> list[dict[str, Any]]:
    plan = made_rows.plan(**{"seeds": range(8), **changed})
    rows = made_rows.rows(plan, LATENTS, noise, one_set=one_set)
    return panels_of(plan, rows, hits_on_halves(plan, rows, LATENTS))


def verdicts(panel: dict[str, Any]) -> list[str]:
    assert [row["contender"] for row in panel["rows"]] == ["rl_selection", *CONTROLS]
    return [row["rl_minus_this"]["selection"]["verdict"] for row in panel["rows"][1:]]


def test_planted_differences_are_found_and_said() -> None:
    # The method and herding are as right as can be; the others are far from it.
    [panel] = panels({**dict.fromkeys(CONTROLS, 4.0), "rl_selection": 0.0, "herding": 0.0})
    assert verdicts(panel) == ["no difference found", *["better"] * 5]
    herding, medoids, *_ = words.sentences(panel)
    assert herding == (
        "RL-Selection against herding, 1 per class: no difference found (+0.0 [-4.5, +4.5]), at about the "
        "same CPU seconds."
    )
    beats = (
        r"RL-Selection beats k-means medoids, 1 per class, by \d+\.\d points \[\d+\.\d, \d+\.\d\] "
        r"\(on 2 of 2 encoders\), at .*"
    )
    assert re.fullmatch(beats, medoids)
    told = words.answer([panel], "planted data")
    assert told.startswith("RL is not shown to help beyond its best control on planted data: ")
    assert "better than its control in 5 of 6 comparisons, worse in 0" in told


@pytest.mark.parametrize(
    ("rl", "controls", "verdict", "opening"),
    [
        (0.0, 4.0, "better", "RL helps on digits"),
        (4.0, 0.0, "worse", "RL does worse on digits"),
        (0.0, 0.0, "no difference found", "RL is not shown to help on digits"),
    ],
)
def test_the_answer_follows_from_all_controls(rl: float, controls: float, verdict: str, opening: str) -> None:
    [panel] = panels({**dict.fromkeys(CONTROLS, controls), "rl_selection": rl})
    assert verdicts(panel) == [verdict] * 6
    assert words.answer([panel], "digits").startswith(opening)


def test_sets_that_are_the_same_are_said_to_be() -> None:
    [panel] = panels(dict.fromkeys((*CONTROLS, "rl_selection"), 0.0), one_set=True)
    assert [(row["same_sets"], row["pairs"]) for row in panel["rows"]] == [(None, None), *[(16, 16)] * 6]
    for told in words.sentences(panel):
        # 1 - (0.025 / 6)^(1 / 120): sets of other seeds may be others.
        assert "no difference found (+0.0 [-4.5, +4.5]; the same set in 16 of 16)" in told
    # Controls that made the sets of herding count once, and there is nothing to be told.
    assert [row["same_as"] for row in panel["rows"]] == [None, None, *["herding"] * 5]
    told = words.answer([panel], "digits")
    counted = "0 of 1 comparison (5 rows with another control's sets left out)"
    assert told.endswith(f"{counted}, worse in 0, and no difference is found in 1.")
    assert "k-means medoids (the sets of herding)" in words.table(panel, seeds=8, encoders=2)


def test_what_could_not_be_told_is_a_range() -> None:
    [panel] = panels({})
    found = [row["rl_minus_this"]["selection"] for row in panel["rows"][1:]]
    unfound = [one for one in found if one["verdict"] == "no difference found"]
    halves = [f"{half:.1f}" for half in sorted(50 * (one["high"] - one["low"]) for one in unfound)]
    told = words.answer([panel], "digits")
    assert len(halves) > 1 and f"Differences under {halves[0]} to {halves[-1]} points, depending" in told


def test_few_seeds_and_encoders_are_warned_of() -> None:
    assert "one encoder" not in words.legend(6, 3, 2)
    assert words.legend(6, 3, 1).endswith("There is one encoder: nothing here tells of others.")
    assert "of the draw of items, nothing else" in words.legend(6, 1, 1)


def test_an_answer_for_some_budgets_names_them() -> None:
    [better] = panels({**dict.fromkeys(CONTROLS, 4.0), "rl_selection": 0.0})
    [equal] = panels(dict.fromkeys((*CONTROLS, "rl_selection"), 0.0))
    told = words.answer([better, {**equal, "budget": 10}], "digits")
    assert told.startswith(
        "RL helps at 1 per class alone on digits: RL-Selection is better than its control in 6"
    )


def test_intervals_are_corrected_for_all_panels() -> None:
    [alone] = panels({})
    first, second = panels({}, budgets=(1, 2))
    one, both = (panel["rows"][3]["rl_minus_this"]["selection"] for panel in (alone, first))
    assert both["mean"] == one["mean"]
    assert both["low"] <= one["low"] <= one["uncorrected"]["low"]
    assert both["high"] >= one["high"] >= one["uncorrected"]["high"]
    assert second["budget"] == 2
    json.dumps([first, second], allow_nan=False)


def test_rewards_that_promise_too_much_are_told() -> None:
    plan = made_rows.plan()
    honest = claims(made_rows.rows(plan, LATENTS, {}))
    assert honest["sets"] == 2 * 3 * 6  # herding's claim nothing
    assert honest["largest_gap"] == 0 and honest["kept"]
    assert "rewards are what the protocol measures" in words.claims_sentence(honest)
    hacked = claims(made_rows.rows(plan, LATENTS, {}, overclaim=0.004))
    assert hacked["largest_gap"] == pytest.approx(0.004) and not hacked["kept"]
    assert "at most 0.40 points" in words.claims_sentence(hacked)


def test_the_table_holds_every_row_and_half() -> None:
    [panel] = panels({})
    lines = words.table(panel, seeds=3, encoders=2).splitlines()
    assert "3 seeds on 2 encoders, 8 reward evaluations, 120 items of the selection half" in lines[0]
    headings = "selection reward RL minus this (selection) by encoder reward evaluations CPU s"
    assert lines[1].split() == headings.split()
    assert "by encoder" not in words.table(panel, seeds=3, encoders=1)
    assert [line.split("  ")[0] for line in lines if not line.startswith("-")][2:] == [
        row["words"] for row in panel["rows"]
    ]


def test_one_wide_interval_does_not_squeeze_the_others() -> None:
    """An interval 45 points wide beside a difference of 20, and usual ones of two."""

    def panel(*rows: tuple[float, float, float]) -> dict[str, Any]:
        found = [{"mean": mean, "low": low, "high": high, "by_encoder": [mean]} for mean, low, high in rows]
        rest = [{"rl_minus_this": {"test": row}} for row in found]
        return {"items": {"test": 100}, "rows": [{}, *rest]}

    usual = [(0.0, -0.02, 0.02), (0.01, -0.01, 0.02)]
    assert axis_reach([panel(*usual)]) == pytest.approx(1.08 * 2)
    assert axis_reach([panel(*usual), panel((0.0, -0.45, 0.45))]) == pytest.approx(1.08 * 8)
    assert axis_reach([panel(*usual), panel((0.2, 0.1, 0.3))]) == pytest.approx(1.08 * 20)


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    draw_forest(tmp_path / "verdict.png", panels({}, budgets=(1, 2)), "Does RL help?", "3 seeds")
    with Image.open(tmp_path / "verdict.png") as image:
        assert image.size[0] > 800 and image.size[1] > 500
