"""Splits: stratified, disjoint, covering, seeded."""

from __future__ import annotations

import numpy as np
import pytest

from trainables.errors import InputError
from trainables.latent.config import DataConfig
from trainables.latent.splits import held_out, make_split

LABELS = np.repeat(np.arange(5), [40, 55, 63, 20, 81])


def test_parts_are_disjoint_and_cover_everything() -> None:
    split = make_split(LABELS, DataConfig())
    merged = np.sort(np.concatenate([split.train, split.reward, split.selection]))
    np.testing.assert_array_equal(merged, np.arange(len(LABELS)))


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_parts_have_each_class_in_its_share(fraction: float) -> None:
    split = make_split(LABELS, DataConfig(val_fraction=fraction))
    for part, share in (
        (split.train, 1 - fraction),
        (split.reward, fraction / 2),
        (split.selection, fraction / 2),
    ):
        counts = np.bincount(LABELS[part], minlength=5)
        assert np.abs(counts - share * np.bincount(LABELS)).max() < 1.5
    assert len(split.reward) + len(split.selection) == round(fraction * len(LABELS))
    assert abs(len(split.reward) - len(split.selection)) <= 1


def test_the_seed_decides_the_split_and_the_digest() -> None:
    first, again, other = (make_split(LABELS, DataConfig(split_seed=seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.train, again.train)
    assert first.digest == again.digest
    assert first.digest != other.digest
    assert set(first.reward) != set(other.reward)


def test_small_data_give_validation_a_larger_share() -> None:
    small = make_split(np.arange(1000) % 2, DataConfig())
    large = make_split(np.arange(20_000) % 2, DataConfig())
    assert len(small.train) == 750
    assert len(large.train) == 18_000


def test_a_class_too_small_for_every_part_is_refused() -> None:
    labels = np.array([0] * 50 + [1] * 3)
    with pytest.raises(InputError, match=r"class 1 has 3 items.*--val-fraction"):
        make_split(labels, DataConfig())


def test_held_out_items_are_stratified_and_exact_in_number() -> None:
    mask = held_out(LABELS, 52)
    assert mask.sum() == 52
    counts = np.bincount(LABELS[mask], minlength=5)
    assert np.abs(counts - 52 / len(LABELS) * np.bincount(LABELS)).max() < 1
    np.testing.assert_array_equal(mask, held_out(LABELS, 52))


def test_a_refusal_names_the_class() -> None:
    with pytest.raises(InputError, match="class owl has 3 items"):
        make_split(np.array([0] * 50 + [1] * 3), DataConfig(), ("ant", "owl"))
