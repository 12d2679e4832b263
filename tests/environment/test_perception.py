"""What a learner sees: scaled, normalised, encoded."""

from __future__ import annotations

import pytest
import torch

from tests.environment.test_learners import draws, matrices
from trainables.environment.critic import Critic
from trainables.environment.families import learners
from trainables.environment.learners import Dense, Initialisation, Parameters
from trainables.environment.perception import LEVELS, NATURE_LAYERS, Perception, draw_encoder, encode
from trainables.environment.tasks import Task, open_task
from trainables.errors import InputError

GAME = Task("ALE/Pong-v5", (4, 84, 84), 1 / 255, actions=6, discrete=True)


def split(whole: Parameters, layers: int) -> tuple[Parameters, Parameters]:
    """The first layers' parameters, and the others numbered anew."""
    first = {name: whole[name] for i in range(layers) for name in (f"weight{i}", f"bias{i}")}
    rest = {
        f"{kind}{i - layers}": whole[f"{kind}{i}"]
        for i in range(layers, len(NATURE_LAYERS) + 1)
        for kind in ("weight", "bias")
    }
    return first, rest


@pytest.mark.parametrize("level", [level for level in LEVELS if level != "none"])
def test_encoder_and_the_rest_are_the_whole_network(level: str) -> None:
    (whole,) = learners("same", GAME)
    parameters = whole.draw(1, draws())
    for i in range(len(whole.layers)):
        parameters[f"bias{i}"].normal_(std=0.1, generator=draws(i))
    pixels = torch.randint(256, (3, *GAME.observation_shape), generator=draws(9), dtype=torch.uint8)
    (own,) = learners("same", GAME, level)
    encoder, rest = split(parameters, LEVELS[level])
    assert {name: t.shape for name, t in own.draw(1, draws()).items()} == {
        n: t.shape for n, t in rest.items()
    }
    features = Perception(GAME.observation_scale, encoder=encoder)(pixels)
    expected = whole(parameters, pixels.unsqueeze(0) / 255)
    torch.testing.assert_close(own(rest, features.unsqueeze(0)), expected, atol=1e-5, rtol=1e-5)
    assert (features >= 0).all() and (features > 0).any()


@pytest.mark.parametrize("level", LEVELS)
def test_a_drawn_encoder_has_the_first_layers_all_with_the_same_gain(level: str) -> None:
    encoder = draw_encoder(level, draws())
    assert len(encoder) == 2 * LEVELS[level]
    for i, layer in enumerate(NATURE_LAYERS[: LEVELS[level]]):
        matrix = matrices(encoder[f"weight{i}"], layer)[0]
        singular = torch.linalg.svdvals(matrix)
        torch.testing.assert_close(singular, torch.full_like(singular, 2**0.5), atol=1e-4, rtol=0)
        assert not encoder[f"bias{i}"].any()
    if encoder:
        shape = encode(encoder, torch.zeros(2, 4, 84, 84)).shape
        assert (
            shape == {"l1": (2, 32, 20, 20), "l2": (2, 64, 9, 9), "l3": (2, 64, 7, 7), "l4": (2, 512)}[level]
        )


def test_normalisation_by_hand() -> None:
    seen = Perception(mean=torch.tensor([1.0, 0.0]), variance=torch.tensor([4.0, 0.25]))
    torch.testing.assert_close(
        seen(torch.tensor([[3.0, -1.0], [1.0, 0.5]])), torch.tensor([[1.0, -2.0], [0.0, 1.0]])
    )


def test_normalisation_is_clamped_even_where_nothing_ever_varied() -> None:
    seen = Perception(mean=torch.tensor([0.0, 5.0]), variance=torch.tensor([1.0, 0.0]))
    found = seen(torch.tensor([[11.0, 5.0], [-1e9, 5.1], [9.0, 4.9]]))
    torch.testing.assert_close(found, torch.tensor([[10.0, 0.0], [-10.0, 10.0], [9.0, -10.0]]))


def test_raw_observations_become_float32() -> None:
    for observations in (torch.full((2, 3), 1.0, dtype=torch.float64), torch.ones(2, 3, dtype=torch.uint8)):
        found = Perception(0.5)(observations)
        assert found.dtype == torch.float32 and (found == 0.5).all()
    already = torch.randn(2, 3)
    assert Perception()(already) is already


@pytest.mark.parametrize("task", [open_task("CartPole2D-v1"), GAME], ids=lambda task: task.env_id)
def test_the_critic_is_such_a_network_with_one_value(task: Task) -> None:
    critic = Critic(task, draws())
    values = critic(torch.rand(3, *task.observation_shape, generator=draws(1)))
    assert values.shape == (3, 1) and len(values.unique()) == 3
    values.sum().backward()
    weights = [f"weight{i}" for i in range(len(critic.weights) // 2)]
    assert all(critic.weights[name].grad.abs().sum() > 0 for name in weights)
    assert torch.linalg.svdvals(critic.weights[weights[-1]][0]).tolist() == pytest.approx([1.0])


def test_the_critic_behind_an_encoder_is_the_rest_of_the_network() -> None:
    critic = Critic(GAME, draws(), "l3")
    assert {name: tuple(p.shape) for name, p in critic.weights.items()} == {
        "weight0": (1, 3136, 512), "bias0": (1, 512), "weight1": (1, 512, 1), "bias1": (1, 1)
    }  # fmt: skip
    assert critic(torch.rand(2, 64, 7, 7)).shape == (2, 1)


def test_families_of_vectors() -> None:
    task = open_task("Hopper-v5")
    sizes = {
        family: [
            [(layer.inputs, layer.outputs) for layer in learner.layers] for learner in learners(family, task)
        ]
        for family in ("same", "ortho1", "xe", "random_size", "random_hidden")
    }
    reference = [(11, 64), (64, 64), (64, 3)]
    assert sizes["same"] == sizes["ortho1"] == sizes["xe"] == [reference]
    assert sizes["random_size"] == [[reference[0], *[(64, 64)] * extra, reference[2]] for extra in range(6)]
    assert sizes["random_hidden"] == [[(11, 256), (256, 256), (256, 3)]]
    (same,), (ortho,), (xavier,), deeper, (wider,) = (learners(family, task) for family in sizes)
    assert (same.initialisation, same.activation, same.log_std) == (Initialisation(), "tanh", True)
    assert (ortho.initialisation.gain, ortho.initialisation.last_gain) == (1.0, 1.0)
    assert (xavier.initialisation.scheme, xavier.initialisation.last_gain) == ("xavier", 0.01)
    assert {learner.activation for learner in deeper} == {"none"} and wider.widths == (32, 256)


def test_a_first_layer_that_looks_like_the_second_stays() -> None:
    deeper = learners("random_size", open_task("CartPole16D-v1"))  # 64 numbers to see
    assert [len(learner.layers) for learner in deeper] == [2, 3, 4, 5, 6, 7]
    assert deeper[0].layers == (Dense(64, 64), Dense(64, 32))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("family", ["same", "ortho1", "xe", "random_size"])
def test_families_of_pictures_can_act_at_every_level(family: str, level: str) -> None:
    encoder = draw_encoder(level, draws()) or None
    features = Perception(GAME.observation_scale, encoder=encoder)(torch.zeros(1, 4, 84, 84))
    learner = learners(family, GAME, level)[-1]
    assert learner(learner.draw(1, draws()), features.unsqueeze(0)).shape == (1, 1, 6)


def test_random_hidden_needs_dense_hidden_layers() -> None:
    (wider,) = learners("random_hidden", GAME, "l3")
    assert wider.layers == (Dense(64 * 7 * 7, 256), Dense(256, 6))
    for level in ("none", "l1", "l2", "l4"):
        with pytest.raises(InputError, match=f"level {level} .*'random_hidden'.*dense ones"):
            learners("random_hidden", GAME, level)
