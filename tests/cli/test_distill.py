"""``tune-dd distill``: the real command with tiny budgets."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli import broken_data
from tests.conftest import Command, interrupted_at
from trainables.errors import InputError
from trainables.latent.artifacts import load_artifacts
from trainables.latent.config import LatentConfig
from trainables.whole_files import sha256_of
from tune_dd import cli, search
from tune_dd.distill import build_parser, default_run_name, describe, next_command, parse_config

TINY = shlex.split(
    "--ae-epochs 1 --latent-dim 4 --m-per-class 2 --proto-steps-base 4 --steps-per-iteration 2"
)
CONTROLS = {
    "full_data", "random", "herding", "k_center", "kmeans_medoids", "kmeans_centroids", "class_mean",
    "closed_form", "random_teacher_labels",
}  # fmt: skip


def config_of(*words: str) -> LatentConfig:
    return parse_config(build_parser().parse(words), ["implicit"])


def summary_of(run: Path) -> Any:
    return json.loads((run / "experiment_summary.json").read_text())


def test_the_same_seed_gives_the_same_bytes_of_scores(command: Command, tmp_path: Path) -> None:
    texts = []
    for turn in ("a", "b"):
        # Each with a cache of its own, so that the encoder is trained twice.
        done = command("distill", *TINY, "--name", turn, "--cache", f"cache-{turn}")
        assert done.returncode == 0, done.stderr
        run = tmp_path / "results" / turn / "digits" / "conv" / "implicit-m2-s0"
        summary = summary_of(run)
        texts.append(json.dumps([summary["scores"], summary["per_class_accuracy"]]))
    assert texts[0] == texts[1]


def test_a_run_leaves_summary_artefacts_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["distill", *TINY, "--run-name", "mine", "--sel-budget-per-class", "3"]) == 0
    out = capsys.readouterr().out
    run = tmp_path / "results" / "runs" / "digits" / "conv" / "mine"
    files = {path.name for path in run.iterdir()}
    pictures = {"prototypes.png", "selection.png", "tsne.png"}
    assert files == {"experiment_summary.json", "distillation_artifacts.pt"} | pictures
    assert list(run.parent.iterdir()) == [run]
    for name in files:
        assert name in out

    summary = summary_of(run)
    budget = {f"{name}@3" for name in ("random", "herding", "k_center", "kmeans_medoids")}
    scores = summary["scores"]
    assert set(scores) == CONTROLS | budget | {"implicit"}
    assert not {"optimise_cpu_s", "cpu_s", "wall_s"} & set().union(*scores.values())
    assert LatentConfig.parse(summary["config"]).distill.m_per_class == 2
    assert summary["versions"]["torch"] == torch.__version__.split("+")[0]
    assert summary["data"]["data_fingerprint"] and summary["data"]["split_digest"]
    assert set(summary["per_class_accuracy"]["implicit"]) == set("0123456789")

    artifacts = load_artifacts(run / "distillation_artifacts.pt")
    assert artifacts.sets["implicit"].x.shape == (20, 4)
    assert artifacts.sets["herding@3"].indices is not None
    assert artifacts.prototype_state["implicit"]["steps"] == 4
    assert summary["artifact_schema_version"] == 1


def test_chosen_points_come_with_their_images_and_their_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = "--methods rl_selection implicit --sel-budget-per-class 3 --sel-evaluations 20"
    assert cli.main(["distill", *TINY, *words.split()]) == 0
    out = capsys.readouterr().out
    assert "3 real points per class, sequential policy, 20 reward evaluations from herding" in out
    assert "reward evaluation 20  loss" in out
    run = tmp_path / "results" / "runs" / "digits" / "conv" / "rl_selection+implicit-m2-b3-s0"
    pictures = {path.name for path in run.glob("*.png")}
    assert {"selection.png", "selection_rl_selection.png", "tsne_rl_selection.png"} < pictures
    scores = summary_of(run)["scores"]["rl_selection"]
    assert scores["reward_evaluations"] == 20
    assert scores["reward_accuracy"] >= scores["reward_of_start"]
    artifacts = load_artifacts(run / "distillation_artifacts.pt")
    chosen, state = artifacts.sets["rl_selection"], artifacts.prototype_state["rl_selection"]
    assert chosen.indices is not None
    assert chosen.indices.shape == (30,)
    assert state["policy_parameters"]["distance"] == pytest.approx(scores["policy_distance"])


def test_a_shaped_set_comes_with_its_schedule_which_another_seed_can_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = "--methods rl_shaping --shape-decisions 2 --shape-steps 5 --roundtrip-weight 0.5 --shape-lr 0.05"
    learning = "--shape-episodes 12 --shape-batch 6 --shape-loss-weight 1 --run-name first"
    assert cli.main(["distill", *TINY, *words.split(), *learning.split()]) == 0
    out = capsys.readouterr().out
    assert "12 episodes of 2 decisions, each for 5 steps" in out
    assert "episode 12  loss" in out
    run = tmp_path / "results" / "runs" / "digits" / "conv" / "first"
    assert {path.name for path in run.glob("*.png")} == {
        "prototypes.png", "prototypes_before.png", "schedule.png", "selection.png", "tsne.png",
    }  # fmt: skip
    scores = summary_of(run)["scores"]["rl_shaping"]
    assert scores["episodes"] == 12
    schedule = json.loads((run / "schedule.json").read_text())
    state = load_artifacts(run / "distillation_artifacts.pt").prototype_state["rl_shaping"]
    assert state["schedule"]["weights"] == schedule["weights"]
    assert "policy" in state
    given = ["--shape-schedule", str(run / "schedule.json"), "--seed", "1", "--run-name", "second"]
    assert cli.main(["distill", *TINY, *words.split(), *given]) == 0
    assert f"the schedule {run / 'schedule.json'} of 2 decisions" in capsys.readouterr().out
    again = json.loads((run.parent / "second" / "schedule.json").read_text())
    assert again["terms"] == schedule["terms"]
    config = summary_of(run.parent / "second")["config"]
    assert config["shape_schedule_sha256"] == sha256_of(run / "schedule.json")
    assert cli.main(["distill", *TINY, *words.split(), "--shape-schedule", "nothing.json"]) == 2
    assert "it must be a schedule of loss weights" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shape_lr", "said", "drawn"),
    [
        ("1e-12", "no episode was better than the set that they started from, which is kept", True),
        ("1e30", "every episode diverged, so the set is the one that they started from", False),
    ],
)
def test_a_start_that_is_kept_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    shape_lr: str, said: str, drawn: bool,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    words = "--methods rl_shaping --shape-decisions 2 --shape-steps 5 --shape-episodes 4 --shape-batch 2"
    assert cli.main(["distill", *TINY, *words.split(), "--shape-lr", shape_lr]) == 0
    assert f"rl_shaping: {said}" in capsys.readouterr().out
    assert bool(list(tmp_path.rglob("schedule.png"))) == drawn


def test_features_have_no_decoder_and_no_pictures_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    broken_data.features(tmp_path)  # nothing is broken in these
    words = "--dataset features --features-train features.npz --methods kernel_ridge unrolled --labels soft"
    assert cli.main(["distill", *words.split(), "--m-per-class", "2", "--proto-steps-base", "4"]) == 0
    run = tmp_path / "results" / "runs" / "features" / "identity" / "kernel_ridge+unrolled-soft-m2-s0"
    pictures = {path.name for path in run.glob("*.png")}
    assert pictures == {"tsne_kernel_ridge.png", "tsne_unrolled.png"}
    out = capsys.readouterr().out
    assert not any("roundtrip_accuracy" in scores for scores in summary_of(run)["scores"].values())
    heading, *rows = re.split("\n\n(?=hard labels)", out)[1].split("\n\n")[0].splitlines()
    column = (
        heading.replace("round trip", "round_trip").split().index("round_trip") - 1
    )  # two words of heading
    assert {row.split()[column] for row in rows} == {"-"}
    soft = out.split("soft labels  ")[1]
    assert [line.split()[:2] for line in soft.splitlines()[2:4]] == [
        ["learned:", "kernel_ridge"],
        ["learned:", "unrolled"],
    ]


def test_own_images_of_unequal_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    broken_data.image_folder(tmp_path / "images", per_class=14, side=11)
    broken_data.image_folder(tmp_path / "images" / "..", classes=("more",), per_class=30, side=9)
    (tmp_path / "more").rename(tmp_path / "images" / "more")
    words = "--dataset custom --custom-train-dir images --override-image-size 10"
    assert cli.main(["distill", *words.split(), *TINY]) == 0, capsys.readouterr().err
    run = tmp_path / "results" / "runs" / "custom" / "conv" / "implicit-m2-s0"
    assert set(summary_of(run)["per_class_accuracy"]["implicit"]) == {"cat", "dog", "more"}
    assert (run / "prototypes.png").stat().st_size > 1000


def test_a_run_is_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["distill", *TINY]) == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    capsys.readouterr()
    assert cli.main(["distill", *TINY]) == 2
    assert "exists already" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_an_interrupt_ends_in_one_line_and_leaves_no_run(tmp_path: Path) -> None:
    words = ("distill", "--ae-epochs", "5000", "--cache", "cache")
    code, _, err = interrupted_at("encoder conv: epoch", *words, cwd=tmp_path)
    assert (code, err) == (130, "\ntune-dd distill: interrupted.\n")
    assert not (tmp_path / "results").exists()


def test_the_encoder_takes_the_seed_unless_it_has_its_own() -> None:
    assert config_of("--seed", "3").encoder.encoder_seed == 3
    both = config_of("--seed", "3", "--encoder-seed", "1")
    assert (both.encoder.encoder_seed, both.distill.seed) == (1, 3)
    assert config_of().encoder.encoder_seed == config_of().distill.seed == 0


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("", "implicit-m10-s0"),
        ("--labels soft --m-per-class 1", "implicit-soft-m1-s0"),
        ("--roundtrip-weight 0.5 --seed 2", "implicit-m10-rt0.5-s2"),
    ],
)
def test_runs_that_differ_get_different_names(words: str, name: str) -> None:
    assert default_run_name(config_of(*words.split()), ["implicit"]) == name


def test_the_budget_is_in_the_name_where_points_are_chosen() -> None:
    config = config_of("--sel-budget-per-class", "5")
    assert default_run_name(config, ["implicit"]) == "implicit-m10-s0"
    assert default_run_name(config, ["rl_selection"]) == "rl_selection-m10-b5-s0"


def test_labels_of_real_points_are_refused_before_anything_runs() -> None:
    with pytest.raises(InputError, match="real points keep the labels"):
        parse_config(build_parser().parse(["--labels", "soft"]), ["implicit", "rl_selection"])


def test_what_runs_is_told_with_every_setting_that_was_changed() -> None:
    text = describe(config_of("--lr", "0.2", "--latent-dim", "8"), ["implicit"])
    assert "digits" in text and "10 per class" in text
    assert text.splitlines()[-1].split(maxsplit=1) == ["also", "latent_dim 8, lr 0.2"]
    assert "also" not in describe(config_of("--seed", "4"), ["implicit"])


def test_the_next_command_searches_the_same_data() -> None:
    words = "--dataset features --features-train 'my features.npz' --no-download --cache c --lr 0.1 --seed 2"
    flags = build_parser().parse(shlex.split(words))
    command = next_command(flags, parse_config(flags, ["implicit"]))
    assert command == (
        "tune-dd search --datasets features --backbones identity "
        "--features-train 'my features.npz' --no-download --cache c"
    )
    given = search.build_parser().parse(shlex.split(command)[2:]).given
    assert given["features_train"] == "my features.npz"
    soft = build_parser().parse(["--labels", "soft"])
    assert next_command(soft, parse_config(soft, ["implicit"])).endswith(" --labels soft")


def test_a_damaged_cache_is_rebuilt_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["distill", *TINY, "--cache", "cache", "--run-name"]
    assert cli.main([*words, "before"]) == 0
    capsys.readouterr()
    (latents,) = (tmp_path / "cache" / "latents").glob("*/train_x.npy")
    content = bytearray(latents.read_bytes())
    content[-1] ^= 255
    latents.write_bytes(content)
    assert cli.main([*words, "after"]) == 0
    assert re.fullmatch(r"tune-dd distill: warning: [^\n]*damaged[^\n]*\n", capsys.readouterr().err)
    runs = tmp_path / "results" / "runs" / "digits" / "conv"
    assert summary_of(runs / "before")["scores"] == summary_of(runs / "after")["scores"]
