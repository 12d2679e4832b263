"""Controls: what they are called, and the closed form against the probe it stands for."""

from __future__ import annotations

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from tests.latent.gaussians import gaussian_latents
from trainables.latent.controls import closed_form_points, control_sets
from trainables.latent.full_probe import full_probe
from trainables.latent.probe import fit_probe, one_hot
from trainables.latent.scores import per_class_accuracy
from tune_dd.runs.scored_sets import score_controls


def test_every_control_is_in_the_table() -> None:
    table = score_controls(gaussian_latents(), 4, seed=0)
    assert set(table) == {
        "full_data",
        "random",
        "herding",
        "k_center",
        "kmeans_medoids",
        "kmeans_centroids",
        "class_mean",
        "closed_form",
        "random_teacher_labels",
    }
    full = table["full_data"].scores
    assert full["gap_to_full"] == 0
    assert set(table["random"].scores) - set(full) == {"roundtrip_accuracy"}
    for scored in table.values():
        assert scored.scores["gap_to_full"] == pytest.approx(
            full["probe_accuracy"] - scored.scores["probe_accuracy"]
        )


def test_a_set_with_hard_labels_has_no_control_with_soft_ones() -> None:
    made = dict(control_sets(gaussian_latents(), 4, 0, (9,), soft_labels=False))
    both = dict(control_sets(gaussian_latents(), 4, 0, (9,)))
    assert both.keys() - made.keys() == {"random_teacher_labels"}
    assert all(distilled.soft_labels is None for distilled in made.values())


def test_without_a_decoder_no_control_has_a_round_trip() -> None:
    for name, scored in score_controls(gaussian_latents(codec=False), 2, seed=0).items():
        assert "roundtrip_accuracy" not in scored.scores, name


def test_the_full_datas_nearest_neighbour_is_that_of_another_library() -> None:
    data = gaussian_latents(separation=1.0)
    model = KNeighborsClassifier(1).fit(data.train_x.numpy(), data.train_y.numpy())
    expected = model.score(data.selection_x.numpy(), data.selection_y.numpy())
    full = score_controls(data, 1, seed=0)["full_data"].scores
    assert full["nn_accuracy"] == pytest.approx(expected)
    assert full["nn_accuracy"] < full["ridge_accuracy"] <= 1


def test_selection_controls_come_at_the_budget_too() -> None:
    table = score_controls(gaussian_latents(), 2, seed=0, budgets=(9,))
    assert {"random@9", "herding@9", "k_center@9", "kmeans_medoids@9"} <= set(table)
    assert table["herding@9"].scores["size_bytes"] == 4.5 * table["herding"].scores["size_bytes"]


def test_closed_form_teaches_the_full_probes_decisions() -> None:
    """Also where classes are unequal, so that the bias matters."""
    data = gaussian_latents(separation=1.5, classes=4)
    keep = (data.train_y != 0) | (torch.arange(len(data.train_y)) % 5 == 0)
    probe = fit_probe(data.train_x[keep], one_hot(data.train_y[keep], 4), data.reward_x, data.reward_y)
    points = closed_form_points(probe)
    assert points.shape == (4, 8)
    learned = fit_probe(points, one_hot(torch.arange(4), 4), data.reward_x, data.reward_y)
    grid = 3 * torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
    agreement = (learned.predict(grid) == probe.predict(grid)).double().mean()
    assert float(agreement) > 0.99


def test_real_points_are_rows_of_the_training_latents() -> None:
    data = gaussian_latents()
    for name, distilled in control_sets(data, 3, seed=1):
        if distilled.indices is not None:
            assert torch.equal(distilled.x, data.train_x[distilled.indices]), name
            assert torch.equal(distilled.y, data.train_y[distilled.indices]), name


def test_teacher_labels_are_the_full_probes_probabilities() -> None:
    data = gaussian_latents()
    distilled = dict(control_sets(data, 3, seed=1))["random_teacher_labels"]
    assert distilled.soft_labels is not None
    torch.testing.assert_close(distilled.soft_labels, full_probe(data).logits(distilled.x).softmax(1))


def test_per_class_accuracy_by_hand() -> None:
    predicted = torch.tensor([0, 0, 1, 1, 1])
    y = torch.tensor([0, 1, 1, 1, 0])
    recalls = per_class_accuracy(predicted, y, 3)
    assert recalls[:2] == [0.5, pytest.approx(2 / 3)]
    assert recalls[2] != recalls[2]  # no item of that class: undefined
