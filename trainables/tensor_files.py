"""Files of tensors: written whole, and opened without running anything that is in them."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import torch

from trainables.errors import InputError
from trainables.whole_files import whole_file


def save_tensors(path: Path, content: Any) -> None:
    """``torch.save``, whole or not at all.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    buffer = io.BytesIO()  # torch's own writer says of a full disk that a position is unexpected
    torch.save(content, buffer)
    with whole_file(path) as stream:
        stream.write(buffer.getbuffer())


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
    except Exception as error:  # whatever damage makes of a file's bytes: there is no end of kinds
        # Of a file that is no pickle of tensors torch says on a page how to trust it all the same, and what
        # it stumbles over in one that is no pickle at all says nothing to anybody.
        told = isinstance(error, OSError | RuntimeError) and str(error)
        reason = str(error).partition("\n")[0][:120] if told else "it was written otherwise"
        raise InputError(
            f"{path} cannot be opened ({reason})",
            "it must be an undamaged file of tensors and plain values",
            "restore it from a copy, or write it again",
        ) from error
