"""A distilled set and its file: ours, the authors', and what is neither."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.environment.authors_sets import authors_file
from tests.environment.test_learners import draws
from trainables.environment.distilled_set import DistilledSet, load_distilled_set
from trainables.environment.perception import LEVELS, NATURE_LAYERS, draw_encoder, encode
from trainables.environment.tasks import Task, open_task
from trainables.errors import InputError

VECTOR = DistilledSet(torch.randn(3, 8), torch.randn(3, 4), torch.tensor(0.3))
HOPPER = DistilledSet(torch.randn(3, 11), torch.randn(3, 3), torch.tensor(0.3), torch.randn(1, 3))
GAME = DistilledSet(torch.randn(2, 4, 84, 84), torch.randn(2, 6), torch.tensor(0.3))
PONG = Task("ALE/Pong-v5", (4, 84, 84), 1 / 255, actions=6, discrete=True)
LEVELS_WITH_ENCODER = ("l1", "l2", "l3", "l4")
LAYOUTS = {
    "numbered actions": VECTOR,
    "vectors of actions": HOPPER,
    "probabilities": replace(VECTOR, y=torch.eye(4)[:3], loss="cross_entropy"),
    "several steps": replace(VECTOR, inner_steps=5),
    "statistics": replace(HOPPER, mean=torch.randn(11), variance=torch.rand(11)),
    "all of it": replace(
        GAME, encoder=draw_encoder("l2", draws()), mean=torch.rand(4, 84, 84), variance=torch.rand(4, 84, 84),
        loss="cross_entropy", inner_steps=2,
    ),
} | {level: replace(GAME, encoder=draw_encoder(level, draws())) for level in LEVELS_WITH_ENCODER}  # fmt: skip


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("layout", LAYOUTS)
def test_round_trip(layout: str, tmp_path: Path) -> None:
    written = LAYOUTS[layout]
    written.save(tmp_path / "set.pt")
    read = load_distilled_set(tmp_path / "set.pt")
    for field in fields(DistilledSet):
        assert same(getattr(written, field.name), getattr(read, field.name)), field.name
    assert read.level == (layout if layout in LEVELS else "l2" if layout == "all of it" else "none")
    assert [path.name for path in tmp_path.iterdir()] == ["set.pt"]


def test_a_file_has_the_authors_keys_and_no_more_than_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "set.pt"
    VECTOR.save(path)
    assert set(torch.load(path, weights_only=True)) == {"x", "y", "inner_lr"}
    HOPPER.save(path)
    content = torch.load(path, weights_only=True)
    assert {name: set(own) for name, own in content.items()} == {
        "distiller": {"x", "y_mean", "y_logstd", "inner_lr"}
    }


def test_a_file_holds_plain_tensors_without_what_they_were_cut_from(tmp_path: Path) -> None:
    base = nn.Parameter(torch.randn(100_000, 8))
    replace(VECTOR, x=base[:3], y=nn.Parameter(VECTOR.y)).save(tmp_path / "set.pt")
    assert (tmp_path / "set.pt").stat().st_size < 10_000
    content = torch.load(tmp_path / "set.pt", weights_only=True)
    assert all(type(tensor) is Tensor and not tensor.requires_grad for tensor in content.values())


@pytest.mark.parametrize("level", LEVELS_WITH_ENCODER)
def test_an_encoder_kept_in_a_container_of_parameters(level: str, tmp_path: Path) -> None:
    # nn.ParameterDict sorts what it is given: biases first.
    encoder = draw_encoder(level, draws())
    container = nn.ParameterDict(encoder)
    replace(GAME, encoder=dict(container.items())).save(tmp_path / "set.pt")
    read = load_distilled_set(tmp_path / "set.pt").encoder
    assert read is not None and same(encoder, read)


@pytest.mark.parametrize("level", LEVELS_WITH_ENCODER)
def test_an_encoder_that_torch_wrote(level: str, tmp_path: Path) -> None:
    modules: list[nn.Module] = []
    for layer in NATURE_LAYERS[: LEVELS[level]]:
        size = (layer.size, layer.stride) if hasattr(layer, "size") else None
        flat = [nn.Flatten(), nn.Linear(layer.inputs, layer.outputs)]
        modules += [nn.Conv2d(layer.inputs, layer.outputs, *size)] if size else flat
        modules.append(nn.ReLU())
    network = nn.Sequential(*modules)
    GAME.save(tmp_path / "set.pt")
    torch.save(network.state_dict(), tmp_path / "encoder.pt")
    read = load_distilled_set(tmp_path / "set.pt", tmp_path / "encoder.pt")
    assert read.level == level and read.encoder is not None
    images = torch.rand(2, 4, 84, 84, generator=draws())
    torch.testing.assert_close(encode(read.encoder, images), network(images), atol=1e-5, rtol=1e-5)


def test_a_training_checkpoint_of_the_authors_kind(tmp_path: Path) -> None:
    # As Lightning left them: the set under "distiller", much else beside it.
    own = {"x": GAME.x, "y": GAME.y, "inner_lr": GAME.inner_lr.reshape(1)}
    encoder = {"0.weight": torch.rand(32, 4, 8, 8), "0.bias": torch.rand(32)}
    content = {
        "distiller": own,
        "encoder": encoder,
        "critic": {"w": torch.ones(2)},
        "epoch": 7,
        "rewards": [1.0],
    }
    torch.save(content, tmp_path / "state.ckpt")
    read = load_distilled_set(tmp_path / "state.ckpt")
    assert torch.equal(read.x, GAME.x) and read.inner_lr.shape == () and read.level == "l1"


AUTHORS = {
    **{f"ND_cartpole/distiller_sd_{n}dcp_b{b}.pt": (f"CartPole{n}D-v1", b, None)
       for n in (1, 2, 3) for b in (n + 1, 512)},
    "MuJoCo/hopper_b64_state.ckpt": ("Hopper-v4", 64, None),
    "MuJoCo/halfcheetah_b64_state.ckpt": ("HalfCheetah-v4", 64, None),
    "MuJoCo/reacher_b64_state.ckpt": ("Reacher-v4", 64, None),
    "MuJoCo/inverteddoublependulum_b64_state.ckpt": ("InvertedDoublePendulum-v4", 64, None),
    "Atari/Centipede/l1/distiller_sd.pt": ("Centipede", 10, "Atari/Centipede/l1/encoder_sd.pt"),
    "Atari/SpaceInvaders/l3/distiller_sd.pt": ("SpaceInvaders", 4, "Atari/SpaceInvaders/l3/encoder_sd.pt"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "env_id", "rows", "encoder"), [(k, *v) for k, v in AUTHORS.items()])
def test_the_authors_files_open_and_fit_their_tasks(
    name: str, env_id: str, rows: int, encoder: str | None, tmp_path: Path
) -> None:
    read = load_distilled_set(authors_file(name), authors_file(encoder) if encoder else None)
    task = open_task(env_id)
    read.check_fits(task, name)
    assert len(read.x) == rows and 0 < float(read.inner_lr) <= 100
    assert read.level == (encoder.split("/")[2] if encoder else "none")
    read.save(tmp_path / "ours.pt")
    again = load_distilled_set(tmp_path / "ours.pt")
    assert all(same(getattr(read, field.name), getattr(again, field.name)) for field in fields(DistilledSet))


PLAIN = {"x": VECTOR.x, "y": VECTOR.y, "inner_lr": VECTOR.inner_lr}
VECTORS = {"x": HOPPER.x, "y_mean": HOPPER.y, "y_logstd": HOPPER.y_log_std, "inner_lr": HOPPER.inner_lr}
PICTURES = {"x": GAME.x, "y": GAME.y, "inner_lr": GAME.inner_lr}
CONV1 = {"0.weight": torch.rand(32, 4, 8, 8), "0.bias": torch.rand(32)}
STATISTICS = {"mean": torch.zeros(8), "variance": torch.ones(8)}
BAD: dict[str, tuple[Any, str]] = {
    "something else": ({"state_dict": {"w": torch.zeros(2)}}, "is no distilled set.*lacks x, y, inner_lr"),
    "a tensor": (torch.zeros(3), "is no distilled set"),
    "a list": ([torch.zeros(3)], "is no distilled set"),
    "a distiller that is a tensor": ({"distiller": torch.zeros(3)}, "is no distilled set"),
    "no learning rate": ({"x": VECTOR.x, "y": VECTOR.y}, "lacks inner_lr"),
    "a plain number": (PLAIN | {"inner_lr": 0.3}, "lacks inner_lr"),
    "no deviation": ({"distiller": {**VECTORS, "y_logstd": None}}, "lacks y_logstd"),
    "rows that differ": (PLAIN | {"y": torch.zeros(4, 4)}, r"x \(3, 8\), y \(4, 4\)"),
    "no rows": (PLAIN | {"x": torch.zeros(0, 8), "y": torch.zeros(0, 4)}, "a row each state"),
    "a flat x": (PLAIN | {"x": torch.zeros(3)}, "a row each state"),
    "numbered targets": (PLAIN | {"y": torch.zeros(3)}, "a row each state"),
    "many learning rates": (PLAIN | {"inner_lr": torch.ones(3)}, r"inner_lr \(3,\)"),
    "deviations of another size": ({"distiller": VECTORS | {"y_logstd": torch.ones(1, 2)}}, "y_logstd of"),
    "NaN in x": (PLAIN | {"x": VECTOR.x / 0 * 0}, "has x that is not finite"),
    "an infinite target": (PLAIN | {"y": VECTOR.y / 0}, "has y that is not finite"),
    "an infinite rate": (PLAIN | {"inner_lr": torch.tensor(torch.inf)}, "has inner_lr that is not finite"),
    "NaN deviation": ({"distiller": VECTORS | {"y_logstd": torch.full((3,), torch.nan)}}, "has y_logstd"),
    "too large for float32": (PLAIN | {"x": VECTOR.x.double() * 1e300}, "has x that is not finite"),
    "a huge variance": (PLAIN | STATISTICS | {"variance": torch.ones(8).double() * 1e300}, "finite"),
    "sparse states": (PLAIN | {"x": VECTOR.x.to_sparse()}, "torch.sparse_coo, on cpu, .* dense tensors"),
    "sparse statistics": (PLAIN | STATISTICS | {"mean": torch.ones(8).to_sparse()}, "dense tensors of real"),
    "complex states": (PLAIN | {"x": VECTOR.x + 1j}, "torch.complex64, .* real numbers"),
    "truth values": (PLAIN | {"y": VECTOR.y > 0}, "torch.bool"),
    "a sparse encoder": (PICTURES | {"encoder": {"w": torch.eye(3).to_sparse()}}, "dense tensors"),
    "an unknown loss": (PLAIN | {"loss": "hinge"}, "the loss 'hinge'"),
    "probabilities of vectors": ({"distiller": VECTORS, "loss": "cross_entropy"}, "vectors of actions: mse"),
    "no step": (PLAIN | {"inner_steps": 0}, "0 inner steps"),
    "half a step": (PLAIN | {"inner_steps": 1.5}, "1.5 inner steps"),
    "a mean alone": (PLAIN | {"mean": torch.zeros(8)}, "statistics that cannot be used"),
    "statistics of another shape": (PLAIN | STATISTICS | {"mean": torch.zeros(9)}, r"of shape \(8,\)"),
    "a negative variance": (PLAIN | STATISTICS | {"variance": -torch.ones(8)}, "not negative"),
    "NaN statistics": (PLAIN | STATISTICS | {"mean": torch.full((8,), torch.nan)}, "finite"),
    "an encoder of vectors": (PLAIN | {"encoder": CONV1}, r"an encoder sees \(4, 84, 84\)"),
    "an encoder of nothing": (PICTURES | {"encoder": {}}, "is no encoder"),
    "an encoder that is a tensor": (PICTURES | {"encoder": torch.ones(4)}, "is no encoder"),
    "another encoder": (PICTURES | {"encoder": {"w": torch.ones(3, 2), "b": torch.ones(3)}}, "is no encoder"),
    "an encoder without a bias": (PICTURES | {"encoder": {"w": CONV1["0.weight"]}}, "is no encoder"),
    "a NaN encoder": (PICTURES | {"encoder": CONV1 | {"0.bias": torch.full((32,), torch.nan)}}, "all finite"),
}  # fmt: skip


def refused(path: Path, words: str, encoder: Path | None = None) -> None:
    with pytest.raises(InputError, match=words) as caught:
        load_distilled_set(path, encoder)
    assert "\n" not in str(caught.value) and str(path.parent) in str(caught.value)


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD)
def test_files_that_are_no_sets_get_one_line(content: Any, words: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "set.pt")
    refused(tmp_path / "set.pt", words)


TEXTS = ("hello", "this is a note\n", "a\n", ".", "(lp0\n")


def truncate(path: Path) -> None:
    GAME.save(path)
    path.write_bytes(path.read_bytes()[:-5000])


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "cannot be opened"),
        (lambda path: path.write_bytes(b""), "cannot be opened"),
        *((lambda path, text=text: path.write_text(text), "written otherwise") for text in TEXTS),
        (lambda path: path.write_bytes(pickle.dumps(Path("/"))), "cannot be opened"),
        (truncate, "cannot be opened"),
    ],
)
def test_damaged_files_get_one_line(write: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    write(tmp_path / "set.pt")
    refused(tmp_path / "set.pt", words)
    GAME.save(tmp_path / "good.pt")  # and the same of an encoder's file
    refused(tmp_path / "good.pt", "set.pt.*" + words, tmp_path / "set.pt")


def test_a_file_named_as_encoder_must_be_one(tmp_path: Path) -> None:
    GAME.save(tmp_path / "set.pt")
    torch.save({}, tmp_path / "empty.pt")
    refused(tmp_path / "set.pt", "empty.pt is no encoder", tmp_path / "empty.pt")
    refused(tmp_path / "set.pt", "set.pt is no encoder", tmp_path / "set.pt")


FITS = {
    "shape": (VECTOR, "CartPole3D-v1", r"the set holds .* \(8,\), but CartPole3D-v1 shows \(12,\)"),
    "version": (replace(HOPPER, x=torch.ones(3, 9)), "InvertedDoublePendulum-v4", "v4 and v5 differ"),
    "actions": (replace(VECTOR, y=torch.ones(3, 6)), "CartPole2D-v1", "for 6 numbered .* has 4 numbered"),
    "kind": (replace(VECTOR, x=torch.ones(3, 11), y=torch.ones(3, 3)), "Hopper-v5", "3 numbered .* 3 num"),
    "other kind": (replace(HOPPER, x=torch.ones(3, 4)), "CartPole-v1", "3 numbers an action, .* 2 numbered"),
}  # fmt: skip


@pytest.mark.parametrize(("distilled", "env_id", "words"), FITS.values(), ids=FITS)
def test_a_set_for_another_task(distilled: DistilledSet, env_id: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        distilled.check_fits(open_task(env_id), "the set")


@pytest.mark.parametrize(("distilled", "env_id"), [(GAME, "Hopper-v5"), (VECTOR, "CartPole-v1")])
def test_other_tasks_are_no_other_version(distilled: DistilledSet, env_id: str) -> None:
    with pytest.raises(InputError, match=r"but .* shows") as caught:
        distilled.check_fits(open_task(env_id), "the set")
    assert "v4 and v5" not in str(caught.value)


def test_sets_fit_their_own_tasks() -> None:
    VECTOR.check_fits(open_task("CartPole2D-v1"), "the set")
    HOPPER.check_fits(open_task("Hopper-v5"), "the set")
    GAME.check_fits(PONG, "the set")
