"""``load_distilled`` and the examples that use it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tests.conftest import ROOT, run_python
from trainables.environment.distilled_set import DistilledSet
from trainables.errors import InputError
from trainables.latent.artifacts import load_artifacts
from trainables.latent.cache import default_cache
from tune_dd import load_distilled
from tune_dd.using.latent_points import LatentPoints

EXAMPLES = ROOT / "examples"
FOR_FAMILIES = EXAMPLES / "distilled" / "cartpole_1d_b512_families.pt"


def test_three_lines_give_tensors_to_train_on(latent_run: Path) -> None:
    stored = load_artifacts(latent_run / "distillation_artifacts.pt").sets["implicit"]
    for place in (latent_run, str(latent_run), latent_run / "distillation_artifacts.pt"):
        points = load_distilled(place)
        assert torch.equal(points.x, stored.x) and torch.equal(points.y, stored.y)
    assert isinstance(points, LatentPoints)
    assert (points.name, points.learned, points.by_default) == ("implicit", True, True)
    assert points.class_names == tuple("0123456789") and "herding" in points.others


@pytest.mark.parametrize("name", ["implicit", "random_teacher_labels"])
def test_labels_are_what_cross_entropy_takes(name: str, latent_run: Path) -> None:
    points = load_distilled(latent_run, name)
    assert isinstance(points, LatentPoints)
    targets = points.distilled.targets(10).float()
    logits = torch.randn(len(points.x), 10)
    expected = -(targets * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(F.cross_entropy(logits, points.y), expected)


def test_real_latents_come_from_the_cache_that_has_them(latent_run: Path, tmp_path: Path) -> None:
    points = load_distilled(latent_run)
    assert isinstance(points, LatentPoints)
    for cache in (None, default_cache()):
        data = points.open_latents(cache)
        assert data.key == points.encoder_key and len(data.selection_x) == 150
    with pytest.raises(InputError, match="--cache DIR"):
        points.open_latents(tmp_path)


def test_the_cache_of_the_run_is_found_where_it_was(
    latent_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # another user's
    points = load_distilled(latent_run)
    assert isinstance(points, LatentPoints)
    assert points.open_latents().key == points.encoder_key


def test_an_environment_is_opened_as_validate_opens_it() -> None:
    batch = load_distilled(FOR_FAMILIES)
    assert isinstance(batch, DistilledSet)
    assert (batch.x.shape, batch.y.shape, batch.inner_lr.shape) == ((512, 4), (512, 2), ())


def test_what_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    for place, told in ((tmp_path, "holds no distilled set"), (tmp_path / "gone.pt", "does not exist")):
        with pytest.raises(ValueError, match=told) as caught:
            load_distilled(place)
        assert "\n" not in str(caught.value)


def test_torch_is_imported_by_the_call_and_ray_never() -> None:
    code = (
        "import sys, tune_dd\n"
        "assert not {'torch', 'numpy', 'trainables', 'ray'} & set(sys.modules)\n"
        f"assert tune_dd.load_distilled({str(FOR_FAMILIES)!r}).x.shape == (512, 4)\n"
        "assert 'torch' in sys.modules and not {'ray', 'optuna', 'torchvision'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_own_classifier_learns_from_prototypes(latent_run: Path, tmp_path: Path) -> None:
    done = run_python(str(EXAMPLES / "train_on_prototypes.py"), str(latent_run), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    ours, all_real = re.findall(r"(.+): (\d+) latents teach ([\d.]+)% of 150 others", done.stdout)
    assert (ours[:2], all_real[:2]) == (("implicit", "20"), ("all real data", "900"))
    # An encoder of one epoch tells classes apart only so far; 10% are chance.
    assert 35 < float(ours[2]) <= float(all_real[2]) + 10
    other = run_python(str(EXAMPLES / "train_on_prototypes.py"), str(FOR_FAMILIES), cwd=tmp_path)
    assert other.returncode == 1 and "is a distilled environment" in other.stderr


def test_an_own_policy_acts_after_one_step(latent_run: Path, tmp_path: Path) -> None:
    program = str(EXAMPLES / "act_after_one_step.py")
    done = run_python(program, str(FOR_FAMILIES), "--env", "CartPole-v1", "--seed", "3", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    before, after = map(float, re.fullmatch(r"untrained: (.+)\nafter one step: (.+)\n", done.stdout).groups())  # type: ignore[union-attr]
    assert before < 60 and after > 450
    other = run_python(program, str(latent_run), cwd=tmp_path)
    assert other.returncode == 1 and "is of another kind" in other.stderr


def test_examples_are_short() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in EXAMPLES.glob("*.py")}
    assert len(lengths) >= 3 and {name for name, lines in lengths.items() if lines >= 70} == set()
