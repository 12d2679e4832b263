"""Files of tensors, opened without running anything that is in them."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from trainables.errors import InputError

_UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile, OSError, KeyError, ValueError,
)  # fmt: skip


def load_tensors(path: Path) -> Any:
    """``torch.load(weights_only=True)`` onto the CPU, its many errors told as one.

    Raises:
        InputError: the file is missing, damaged, or holds more than tensors and plain containers.
    """
    try:
        with warnings.catch_warnings():
            # Told of pickles that torch did not write: those that hold more are refused anyhow.
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist", "it must be a file", "check the path") from error
    except _UNREADABLE as error:
        # What torch says of a file that is no pickle of tensors is a page on how to trust it all the same.
        foreign = isinstance(error, pickle.UnpicklingError)
        reason = "it was written otherwise" if foreign else str(error).partition("\n")[0][:120]
        raise InputError(
            f"{path} cannot be opened ({reason})",
            "it must be an undamaged file of tensors and plain values",
            "restore it from a copy, or write it again",
        ) from error
