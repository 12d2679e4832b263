"""What all trials of sweeps have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyarrow.fs import FileType, LocalFileSystem
from ray import tune

CHECKPOINT = "checkpoint_path"
KEPT = 2
"""Checkpoints that a trial leaves while it runs: its last two."""


class SavedTrial(tune.Trainable):
    """A trial that hands over a checkpoint with each report, and removes old ones.

    Tune would ask for the checkpoint in a call of its own, and remove the former one in its driver, both of
    which cost the driver as much as the report. A result holds the path of the checkpoint under
    :data:`CHECKPOINT`, as Tune's storage has it, and not the trial's config, which the driver knows.

    The last checkpoint may be one that the driver has not got on record (its disk is full, it was killed):
    then the trial goes on from the one before. So two stay, and none is removed as a trial stops. In a bucket
    the driver removes them, when the journal there, which lags behind, names a later one.
    """

    _saved: Sequence[tune.Checkpoint] = ()

    def train(self) -> dict[str, Any]:
        self._remove_old()
        result: dict[str, Any] = super().train()
        del result["config"]
        if self._storage is not None:  # a trial outside of Tune has no place for them
            self._saved = [*self._saved, self.save().checkpoint]
            result[CHECKPOINT] = self._saved[-1].path
        return result

    def reset(self, *args: Any, **named: Any) -> bool:
        self._saved = ()
        done: bool = super().reset(*args, **named)
        return done

    def _remove_old(self) -> None:
        old, self._saved = self._saved[:-KEPT], self._saved[-KEPT:]
        for checkpoint in old:
            files, path = checkpoint.filesystem, checkpoint.path
            if isinstance(files, LocalFileSystem) and files.get_file_info(path).type == FileType.Directory:
                files.delete_dir(path)
