"""What all trials of sweeps have in common."""

from __future__ import annotations

from typing import Any

from pyarrow.fs import FileType, LocalFileSystem
from ray import tune

CHECKPOINT = "checkpoint_path"


class SavedTrial(tune.Trainable):
    """A trial that hands over a checkpoint with each report, and keeps the last one.

    Tune would ask for the checkpoint in a call of its own, and remove the former one in its driver, both of
    which cost the driver as much as the report. A result holds the path of the checkpoint under
    :data:`CHECKPOINT`, as Tune's storage has it, and not the trial's config, which the driver knows.

    In a bucket the driver removes checkpoints: its journal gets there later than they do.
    """

    _last: tune.Checkpoint | None = None
    _obsolete: tune.Checkpoint | None = None

    def train(self) -> dict[str, Any]:
        self._remove_obsolete()
        result: dict[str, Any] = super().train()
        del result["config"]
        if self._storage is not None:  # a trial outside of Tune has no place for them
            self._obsolete, self._last = self._last, self.save().checkpoint
            result[CHECKPOINT] = self._last.path
        return result

    def reset(self, *args: Any, **named: Any) -> bool:
        self._remove_obsolete()
        self._last = None
        done: bool = super().reset(*args, **named)
        return done

    def cleanup(self) -> None:
        self._remove_obsolete()

    def _remove_obsolete(self) -> None:
        """A call from the driver tells that what it was sent last is on record."""
        former, self._obsolete = self._obsolete, None
        if former is None or not isinstance(former.filesystem, LocalFileSystem):
            return
        if former.filesystem.get_file_info(former.path).type == FileType.Directory:
            former.filesystem.delete_dir(former.path)
