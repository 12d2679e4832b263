"""Splits: stratified, disjoint, covering, seeded."""

from __future__ import annotations

import numpy as np
import pytest

from trainables.errors import InputError
from trainables.latent.config import DataConfig
from trainables.latent.splits import held_out, make_split

LABELS = np.repeat(np.arange(5), [40, 55, 63, 20, 81])
NAMES = tuple("abcde")


def test_parts_are_disjoint_and_cover_everything() -> None:
    split = make_split(LABELS, DataConfig(), NAMES)
    merged = np.sort(np.concatenate([split.train, split.reward, split.selection]))
    np.testing.assert_array_equal(merged, np.arange(len(LABELS)))


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_parts_have_each_class_in_its_share(fraction: float) -> None:
    split = make_split(LABELS, DataConfig(val_fraction=fraction), NAMES)
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
    first, again, other = (make_split(LABELS, DataConfig(split_seed=seed), NAMES) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.train, again.train)
    assert first.digest == again.digest
    assert first.digest != other.digest
    assert set(first.reward) != set(other.reward)


def test_small_data_give_validation_a_larger_share() -> None:
    small = make_split(np.arange(1000) % 2, DataConfig(), ("ant", "owl"))
    large = make_split(np.arange(20_000) % 2, DataConfig(), ("ant", "owl"))
    assert len(small.train) == 750
    assert len(large.train) == 18_000


@pytest.mark.parametrize(("n", "items"), [(0, "0 items"), (1, "1 item beside"), (3, "3 items")])
def test_a_class_too_small_for_any_split_is_named(n: int, items: str) -> None:
    with pytest.raises(InputError, match=rf"class owl has {items}.*each class needs 4.*add data") as caught:
        make_split(np.array([0] * 50 + [1] * n), DataConfig(), ("ant", "owl"))
    assert "--val-fraction" not in str(caught.value)  # no share would do


def test_a_class_too_small_for_this_split_is_named() -> None:
    with pytest.raises(InputError, match=r"class owl has 5 items, 0 of them in the .*--val-fraction"):
        make_split(np.array([0] * 50 + [1] * 5), DataConfig(val_fraction=0.1), ("ant", "owl"))


def test_held_out_items_are_stratified_and_exact_in_number() -> None:
    mask = held_out(LABELS, 52)
    assert mask.sum() == 52
    counts = np.bincount(LABELS[mask], minlength=5)
    assert np.abs(counts - 52 / len(LABELS) * np.bincount(LABELS)).max() < 1
    np.testing.assert_array_equal(mask, held_out(LABELS, 52))
