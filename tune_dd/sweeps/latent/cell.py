"""What trials of latent distillations share that may be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tune_dd.sweeps.settings import Cell


@dataclass(frozen=True)
class LatentCell(Cell):
    """Trials that share data, encoder and the number of prototypes, unless that is searched."""

    SIZE_WORDS: ClassVar[str] = "per class"

    dataset: str
    backbone: str
    seed: int
    m_per_class: int | None

    def __str__(self) -> str:
        return self.source + ("" if self.m_per_class is None else f"/m{self.m_per_class}")

    @property
    def source(self) -> str:
        return f"{self.dataset}/{self.backbone}/seed{self.seed}"

    @property
    def group(self) -> str:
        return self.source

    @property
    def size(self) -> int | None:
        return self.m_per_class
