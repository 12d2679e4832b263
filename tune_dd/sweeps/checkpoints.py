"""The checkpoints of a sweep's trials: in its folder, or in a bucket, where any machine finds them."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ray import tune

from trainables.buckets import Bucket

_FOLDER = "tune"


def tune_id(trial_id: str, attempt: int) -> str:
    """The id by which Tune knows an attempt (from 1) at a trial.

    Tune keeps decisions, such as to stop once a checkpoint is saved, by a trial's id, and numbers the
    checkpoints of each trial from 0: a second attempt must not inherit them.
    """
    return trial_id if attempt == 1 else f"{trial_id}-{attempt}"


class Checkpoints:
    """Those in a folder.

    Names are paths relative to the sweep's folder, or its bucket's prefix, as the journal has them.

    Attributes:
        place: where Tune keeps them, as ``storage_path``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.place = str(folder / _FOLDER)

    def new_session(self) -> str:
        """A name that no session of the sweep had."""
        return f"session-{len(list((self._folder / _FOLDER).glob('session-*'))) + 1:02d}"

    def name_of(self, path: str) -> str:
        """Its name, given its path in Tune's storage."""
        return path.removeprefix(f"{self._folder}/")

    def replaced(self, name: str) -> None:
        """A later one of its trial is on record; in a folder the trial itself removes what is older."""

    def ended(self, trial_id: str, name: str | None) -> None:
        """A trial's end is on record with this checkpoint: of its others, of any attempt, none is needed."""
        for session in (self._folder / _FOLDER).glob("session-*"):
            for attempt in itertools.count(1):
                place = session / tune_id(trial_id, attempt)
                if not place.is_dir():
                    break
                for checkpoint in place.glob("checkpoint_*"):
                    if name is None or checkpoint != self._folder / name:
                        shutil.rmtree(checkpoint, ignore_errors=True)  # an unneeded file is no reason to stop

    def exists(self, name: str) -> bool:
        """Whether it is there."""
        return (self._folder / name).exists()

    @contextlib.contextmanager
    def opened(self, name: str | None) -> Iterator[Path | None]:
        """Its folder on this machine, for the time of the block; ``None`` for no name."""
        yield None if name is None else self._folder / name

    def for_tune(self, name: str) -> tune.Checkpoint:
        """As a trial can be given it, wherever that runs."""
        return tune.Checkpoint.from_directory(str(self._folder / name))


class BucketCheckpoints(Checkpoints):
    """Those in a bucket.

    Args:
        bucket: the sweep's prefix.
        remove_later: told of checkpoints that are to go once the journal in the bucket has what there is now.
    """

    def __init__(self, bucket: Bucket, remove_later: Callable[[str], None]) -> None:
        self._bucket = bucket
        self._remove_later = remove_later
        self.place = f"{bucket.uri}/{_FOLDER}"

    def new_session(self) -> str:
        return f"session-{len((self._bucket / _FOLDER).children()) + 1:02d}"

    def name_of(self, path: str) -> str:
        return path.removeprefix(f"{self._bucket.opened()[1]}/")

    def replaced(self, name: str) -> None:
        self._remove_later(name)

    def ended(self, trial_id: str, name: str | None) -> None:
        """What was replaced has been told of."""

    def exists(self, name: str) -> bool:
        return bool((self._bucket / name).children())

    @contextlib.contextmanager
    def opened(self, name: str | None) -> Iterator[Path | None]:
        if name is None:
            yield None
            return
        with tempfile.TemporaryDirectory(prefix="tune-dd-checkpoint-") as folder:
            for file in (self._bucket / name).files():
                (self._bucket / name).download(file, Path(folder) / file)
            yield Path(folder)

    def for_tune(self, name: str) -> tune.Checkpoint:
        files, place = (self._bucket / name).opened()
        return tune.Checkpoint(place, filesystem=files)
