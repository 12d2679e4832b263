"""``tune-dd use``: what it says of a set, what it finds, what it refuses, what it leaves alone."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT, Command
from tests.using.said import files_below, refused, used
from trainables.buckets import Bucket
from trainables.latent.artifacts import load_artifacts, save_artifacts
from trainables.whole_files import sha256_of

EXAMPLES = ROOT / "examples" / "distilled"
ARTIFACTS = "distillation_artifacts.pt"


def rows(out: str) -> dict[str, str]:
    """What stands behind each word at the margin."""
    lines = [line.partition(" ") for line in out.splitlines() if not line.startswith(" ")]
    return {name: told.strip() for name, _, told in lines}


def test_a_set_of_latents_is_described(latent_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = json.loads((latent_run / "experiment_summary.json").read_text())
    assert used(latent_run) == 0
    said = capsys.readouterr()
    told, data = rows(said.out), summary["data"]
    assert said.err == ""
    assert told["set"] == "implicit, learned"
    assert told["data"] == (
        f"digits, split 0 ({data['split_digest'][:12]}), fingerprint {data['data_fingerprint'][:12]}"
    )
    assert told["encoder"] == f"conv, seed 0, key {Path(data['split_file']).parent.name}"
    assert str(Path(data["split_file"]).parent) in said.out  # where the encoder lies
    assert (told["x"], told["y"][:41]) == (
        "(20, 4) float32: standardised latents", "(20,) int64: 2 of each of 10 classes (0, "[:41],
    )  # fmt: skip
    file = latent_run / ARTIFACTS
    assert told["labels"] == "hard"
    assert told["bytes"] == f"480 of tensors; {file.stat().st_size:,} of the file"
    assert told["sha256"] == sha256_of(file)
    assert f"torch {summary['versions']['torch']}" in told["made"] and told["made"].startswith("seed 0, ")
    assert f"probe {100 * summary['scores']['implicit']['probe_accuracy']:.1f}%" in told["scores"]
    starts = {line.find(word) for line in said.out.splitlines() for word in line.split(maxsplit=1)[1:]}
    assert len(starts) <= 2  # columns stand under each other


def test_a_control_with_soft_labels_is_described(
    latent_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert used(latent_run, "--set", "random_teacher_labels") == 0
    told = rows(capsys.readouterr().out)
    assert told["set"] == "random_teacher_labels, a control, real points of the training part"
    assert told["labels"] == "soft, (20, 10) float32 probabilities"
    assert "implicit" in told["also"] and "--set random_teacher_labels" in told["next"]


def test_the_next_commands_work_as_they_are_told(
    latent_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: Command
) -> None:
    for place, made in (
        (latent_run, {"points", "points.pt", "points.npz"}),
        (EXAMPLES, {"set.pt", "set.npz"}),
    ):
        place = place if place == latent_run else place / "cartpole_1d_b2.pt"
        assert used(place) == 0
        out = capsys.readouterr().out
        [words] = [line.partition("tune-dd use ")[2] for line in out.splitlines() if "tune-dd use" in line]
        done = command("use", *words.split())
        assert done.returncode == 0, done.stderr
        assert made <= {path.name for path in tmp_path.iterdir()}
        python = out.rpartition("in Python: ")[2].strip()
        assert eval(python, {"tune_dd": __import__("tune_dd")}).x.ndim == 2


def test_an_environment_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = EXAMPLES / "cartpole_1d_b512_families.pt"
    assert used(source) == 0
    told = rows(capsys.readouterr().out)
    beside = json.loads(source.with_suffix(".json").read_text())
    assert told["set"] == "512 states for 1 gradient step, a distilled environment"
    assert told["task"] == "CartPole-v1 (by cartpole_1d_b512_families.json)"
    assert told["x"] == "(512, 4) float32: normalised observations"
    assert told["y"] == "(512, 2) float32: logits of 2 actions, soft labels"
    assert f"torch {beside['versions']['torch']}" in told["made"] and "seed 0" in told["made"]
    commit, dirty = beside["versions"]["commit"][:40], beside["versions"]["commit"][40:]
    assert f"commit {commit[:12]}{dirty}," in told["made"]
    assert told["next"] == f"tune-dd validate {source} --env CartPole-v1"
    # Alone, it does not say what task it is for.
    shutil.copy(source, tmp_path / "distilled_set.pt")
    assert used(tmp_path) == 0
    told = rows(capsys.readouterr().out)
    assert told["task"].startswith("not told") and "scores" not in told
    assert told["next"] == f"tune-dd validate {tmp_path / 'distilled_set.pt'} --env TASK"


def test_what_is_damaged_beside_a_set_is_left_out_aloud(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(EXAMPLES / "cartpole_1d_b2.pt", tmp_path / "set.pt")
    for text in ("{", "[]", '{"scores": [], "config": 3, "versions": "x", "env": "E", "validation": {}}'):
        (tmp_path / "set.json").write_text(text)
        assert used(tmp_path / "set.pt") == 0
        said = capsys.readouterr()
        assert said.err.count("left out") == (text != text.lstrip("{[") and '"' not in text)
        assert said.err.count("\n") <= 1


def with_two_methods(run: Path, target: Path) -> None:
    found = load_artifacts(run / ARTIFACTS)
    found.sets["unrolled"] = found.sets["implicit"]
    found.prototype_state["unrolled"] = found.prototype_state["implicit"]
    save_artifacts(target, found)


def test_one_of_several_sets_must_be_named(
    latent_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_two_methods(latent_run, tmp_path / "two.pt")
    told = refused(capsys, tmp_path / "two.pt")
    assert "holds 2 learned sets (implicit, unrolled) and 8 controls (random, herding, " in told
    assert "add --set implicit" in told
    assert used(tmp_path / "two.pt", "--set", "unrolled", "--npz", tmp_path / "p.npz") == 0


def test_a_sweeps_folder_leads_to_its_best_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for run in ("a", "b", "c"):
        (tmp_path / "first" / "digits" / "conv" / run).mkdir(parents=True)
        (tmp_path / "first" / "digits" / "conv" / run / ARTIFACTS).write_bytes(b"")
    assert "such as " + str(tmp_path / "first/digits/conv/a") in refused(capsys, tmp_path / "first")
    trials = [{"trial_id": run, "run": f"digits/conv/{run}"} for run in ("a", "b", "c")]
    summary = {"cells": [{"best": "a"}, {"best": "b"}, {"best": None}], "trials": trials}
    (tmp_path / "first" / "sweep_summary.json").write_text(json.dumps(summary))
    assert "such as " + str(tmp_path / "first/digits/conv/b") in refused(capsys, tmp_path / "first")


def test_a_trial_in_a_bucket_is_copied_from_there(
    bucket: Bucket, latent_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine"))
    for name in (ARTIFACTS, "experiment_summary.json"):
        bucket.upload(latent_run / name, f"digits/conv/mine/{name}")
    for place in ("digits/conv/mine", f"digits/conv/mine/{ARTIFACTS}"):
        assert used(f"{bucket.uri}/{place}") == 0
        told = rows(capsys.readouterr().out)
        assert told["sha256"] == sha256_of(latent_run / ARTIFACTS) and "probe" in told["scores"]
    assert f"{bucket.uri}/nothing does not exist" in refused(capsys, f"{bucket.uri}/nothing")


def broken(change: Callable[[dict], object]) -> Callable[[Path, Path], None]:  # type: ignore[type-arg]
    def write(run: Path, target: Path) -> None:
        content = torch.load(run / ARTIFACTS, weights_only=True)
        change(content)
        torch.save(content, target)

    return write


def first(content: dict[str, dict[str, dict[str, torch.Tensor]]]) -> dict[str, torch.Tensor]:
    return content["sets"]["implicit"]


BROKEN: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "nothing": (lambda run, target: None, "bad.pt does not exist"),
    "text": (lambda run, target: target.write_text("x, y"), "cannot be opened"),
    "a pickle": (lambda run, target: target.write_bytes(pickle.dumps(Path())), "cannot be opened"),
    "half": (lambda run, target: target.write_bytes((run / ARTIFACTS).read_bytes()[:99]), "cannot be opened"),
    "a picture": (lambda run, target: shutil.copy(run / "prototypes.png", target), "cannot be opened"),
    "an empty folder": (lambda run, target: target.mkdir(), "holds no distilled set"),
    "weights": (lambda run, target: torch.save({"w": torch.ones(2)}, target), "is no distilled set"),
    "a tensor": (lambda run, target: torch.save(torch.ones(2), target), "is no distilled set"),
    "no sets": (broken(lambda found: found.pop("sets")), "is damaged"),
    "another part": (broken(lambda found: found.update(sets=[1])), "is damaged"),
    "no points": (broken(lambda found: first(found).pop("x")), "is damaged"),
    "fewer labels": (broken(lambda found: first(found).update(y=torch.zeros(3).long())), "other tensors"),
    "a class too high": (broken(lambda found: first(found)["y"].fill_(10)), "other tensors"),
    "a word": (broken(lambda found: first(found).update(x="x")), "other tensors"),  # type: ignore[call-overload]
    "divergence": (broken(lambda found: first(found)["x"].fill_(torch.nan)), "is not finite"),
    "a newer file": (broken(lambda found: found.update(schema_version=999)), "schema version 999"),
}  # fmt: skip


@pytest.mark.parametrize(("write", "told"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_no_set_gets_one_line(
    write: Callable[[Path, Path], object], told: str, latent_run: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write(latent_run, tmp_path / "bad.pt")
    before = files_below(tmp_path)
    assert told in refused(capsys, tmp_path / "bad.pt", "--npz", tmp_path / "p.npz")
    assert files_below(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", "FILE is missing"),
        (f"{'n' * 300}", "File name too long"),
        ("{run} --set implict", "did you mean 'implicit'?"),
        ("{run} --encoder {set}", "has latents, whose encoder is in the cache: leave it out"),
        ("{set} --set implicit", "holds one set, of an environment: leave it out"),
        ("{set} --encoder {set}", "an encoder sees (4, 84, 84)"),
        ("{set} --encoder gone.pt", "gone.pt does not exist"),
        ("{set} --images images", "a distilled environment has states, no images"),
        ("{set} --npz out.npz --images images", "a distilled environment has states, no images"),
        ("{run} --pt out.npz", "must end in .pt"),
        ("{run} --npz out.pt", "must end in .npz"),
        ("{run} --pt gone/out.pt", "there is no folder gone"),
        ("{run} --images gone/images", "there is no folder"),
        ("{run} --pt there.pt", "add --overwrite"),
        ("{run} --images there.pt", "add --overwrite"),
        ("{run} --images photos", "add --overwrite"),
        ("{run} --images photos --overwrite", "is no folder that this command wrote"),
        ("{run} --images there.pt --overwrite", "is no folder that this command wrote"),
        ("{run} --pt photos --overwrite", "must end in .pt"),
        ("{run} --npz /proc/out.npz", "files must be writable there"),
        ("{run} --images /proc/images", "files must be writable there"),
        ("{run} --npz images/p.npz --images images", "there is no folder images"),
        ("mine.pt --pt mine.pt --overwrite", "that is where the set is read"),
        (f"{{run}} --npz {'n' * 230}.npz", "a name may have 200 bytes"),
        (f"{{run}} --images {'n' * 300}", "a name may have 200 bytes"),
        ("{run} --npz", "--npz is given without a value"),
        ("{run} --image images", "did you mean --images?"),
    ],
)
def test_what_cannot_be_done_gets_one_line_and_nothing_is_written(
    words: str, told: str, latent_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("there.pt").write_text("mine")
    Path("photos/cat").mkdir(parents=True)
    Path("photos/cat/000.png").write_text("mine, though it is named as an export is")
    shutil.copy(latent_run / ARTIFACTS, "mine.pt")
    before = files_below(tmp_path)
    line = words.format(run=latent_run, set=EXAMPLES / "cartpole_1d_b2.pt")
    assert told in refused(capsys, *line.split())
    assert files_below(tmp_path) == before


def test_an_export_is_written_over_only_when_told(
    latent_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = ("--pt", tmp_path / "p.pt", "--npz", tmp_path / "p.npz", "--images", tmp_path / "images")
    assert used(latent_run, "--set", "random_teacher_labels", *outputs) == 0
    capsys.readouterr()
    before = files_below(tmp_path)
    for flag, path in zip(outputs[::2], outputs[1::2], strict=True):
        refused(capsys, latent_run, flag, path)
    assert files_below(tmp_path) == before
    assert used(latent_run, *outputs, "--overwrite") == 0
    after = files_below(tmp_path)
    assert tmp_path / "images" / "labels.csv" in before and tmp_path / "images" / "labels.csv" not in after
    assert all(after[path] != before[path] for path in (tmp_path / "p.pt", tmp_path / "p.npz"))
    # A file of somebody else's in it is kept.
    (tmp_path / "images" / "notes.txt").write_text("mine")
    capsys.readouterr()
    assert "is no folder that this command wrote" in refused(capsys, latent_run, *outputs, "--overwrite")
    assert (tmp_path / "images" / "notes.txt").read_text() == "mine"


def test_other_outputs_do_not_go_into_the_images(
    latent_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert used(latent_run, "--images", tmp_path / "images") == 0
    capsys.readouterr()
    words = ("--images", tmp_path / "images", "--npz", tmp_path / "images" / "p.npz", "--overwrite")
    assert "gets images alone" in refused(capsys, latent_run, *words)
