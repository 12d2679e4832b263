"""The artefact file: what goes in comes out, and nothing else is let in."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from tests.latent.gaussians import gaussian_latents
from trainables.errors import InputError
from trainables.latent.artifacts import Artifacts, load_artifacts, save_artifacts
from trainables.latent.config import LatentConfig
from trainables.latent.controls import control_sets
from trainables.latent.distill_config import DistillConfig
from trainables.latent.prototypes.run import PrototypeRun


def example() -> Artifacts:
    data = gaussian_latents(per_class=500)
    run = PrototypeRun(DistillConfig(m_per_class=2, labels="soft"), data)
    run.step()
    return Artifacts(
        config=LatentConfig().flat(),
        class_names=data.class_names,
        sets={"implicit": run.distilled(), **dict(control_sets(data, 2, seed=0))},
        provenance={"fingerprint": "abc"},
        prototype_state={"implicit": run.state_dict()},
    )


def test_round_trip(tmp_path: Path) -> None:
    path, written = tmp_path / "a.pt", example()
    save_artifacts(path, written)
    read = load_artifacts(path)
    assert (read.config, read.class_names, read.provenance) == (
        written.config,
        written.class_names,
        written.provenance,
    )
    for name, expected in written.sets.items():
        got = read.sets[name]
        assert torch.equal(got.x, expected.x) and torch.equal(got.y, expected.y)
        assert (got.soft_labels is None) == (expected.soft_labels is None)
        assert (got.indices is None) == (expected.indices is None)
    assert torch.equal(read.prototype_state["implicit"]["x"], written.prototype_state["implicit"]["x"])
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]


def test_views_are_saved_without_their_base(tmp_path: Path) -> None:
    data = gaussian_latents(per_class=2000)
    from trainables.latent.distilled_set import DistilledSet

    view = DistilledSet(data.train_x[:3], data.train_y[:3])
    save_artifacts(tmp_path / "a.pt", Artifacts({}, data.class_names, {"view": view}))
    assert (tmp_path / "a.pt").stat().st_size < 10_000 < data.train_x.nbytes


def write_foreign(path: Path) -> None:
    torch.save({"state_dict": {"w": torch.zeros(2)}}, path)


def write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Path("/")))


def write_truncated(path: Path) -> None:
    save_artifacts(path, example())
    path.write_bytes(path.read_bytes()[:-500])


def write_newer(path: Path) -> None:
    save_artifacts(path, example())
    content = torch.load(path, weights_only=True)
    content["schema_version"] = 999
    torch.save(content, path)


def write_without_sets(path: Path) -> None:
    save_artifacts(path, example())
    content = torch.load(path, weights_only=True)
    del content["sets"]
    torch.save(content, path)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_bytes(b""), "cannot be opened"),
        (lambda path: path.write_text("hello"), "cannot be opened"),
        (write_pickle, "cannot be opened"),
        (write_truncated, "cannot be opened"),
        (write_foreign, "is not a latent distillation's artefact file"),
        (write_newer, "has schema version 999"),
        (write_without_sets, "is damaged"),
    ],
)
def test_unreadable_files_get_one_line(tmp_path: Path, write, words: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a.pt"
    write(path)
    with pytest.raises(InputError, match=words) as caught:
        load_artifacts(path)
    assert "\n" not in str(caught.value)
