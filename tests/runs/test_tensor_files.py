"""Files of tensors on a disk that is full."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trainables.tensor_files import load_tensors, save_tensors


def test_a_full_disk_is_told_as_such_and_keeps_the_former_file(small_disk: Callable[[str], Path]) -> None:
    path = small_disk("200k") / "file.pt"
    save_tensors(path, {"x": torch.ones(3)})
    with pytest.raises(OSError) as caught:  # noqa: PT011 (its number is what tells)
        save_tensors(path, {"x": torch.ones(100_000)})
    assert caught.value.errno == errno.ENOSPC
    assert torch.equal(load_tensors(path)["x"], torch.ones(3))
    assert list(path.parent.iterdir()) == [path]
