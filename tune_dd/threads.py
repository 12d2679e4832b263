"""How many threads PyTorch computes with."""

from __future__ import annotations

import os

from trainables.errors import InputError
from tune_dd.sweeps.plurals import counted


def check_threads(threads: int, flag: str = "--threads") -> None:
    """Refuse more threads than there are CPUs: they would wait for each other without end.

    Raises:
        InputError: there are fewer.
    """
    cpus = os.cpu_count() or 1
    if threads > cpus:
        raise InputError(
            f"{flag} is {threads}",
            f"this machine has {counted(cpus, 'CPU')}",
            f"give {cpus} or fewer" if cpus > 1 else "leave it out",
        )
