"""Arrays written to .npy files piece by piece, by plain writes.

A plain write reports a full disk as an error; a write through a memory map kills the process, and
``numpy.save`` raises an error that does not say why.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class ArrayFile:
    """A .npy file of known shape that is filled from its first row on; a context manager.

    Args:
        path: the file to write.
        shape: of the whole array.
        dtype: of its elements.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._missing = int(np.prod(shape))
        self._stream = path.open("wb")
        descr = np.lib.format.dtype_to_descr(self._dtype)
        np.lib.format.write_array_header_1_0(
            self._stream, {"descr": descr, "fortran_order": False, "shape": shape}
        )

    def append(self, rows: NDArray[Any]) -> None:
        """Write the next rows."""
        self._missing -= rows.size
        self._stream.write(np.ascontiguousarray(rows, dtype=self._dtype).data)

    def __enter__(self) -> ArrayFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        if error is None and self._missing != 0:
            raise ValueError(f"{self._stream.name} lacks {self._missing} of its elements")


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write a whole array to a .npy file."""
    with ArrayFile(path, array.shape, array.dtype) as stream:
        stream.append(array)
