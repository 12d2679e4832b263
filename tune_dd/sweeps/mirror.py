"""A sweep's results in a bucket, while it runs: what is written into the copy here shows there soon after."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from trainables.buckets import Bucket, StoreError
from tune_dd.runs.places import all_at_once, bucket_of, is_newer, result_files, results_in
from tune_dd.sweeps.checkpoints import BucketCheckpoints, Checkpoints
from tune_dd.sweeps.journal import JOURNAL_FILE
from tune_dd.sweeps.lease import Lease, TakenOver

PERIOD_S = 2.0
MOST_TIME = 0.05
"""Share of the time that is spent on looking for what has changed."""
LAST_TRIES = 3


class Mirror:
    """Brings a sweep's files to its bucket, in a thread of its own, for the time of the block.

    The journal goes last, as it was before the files were looked for: what it tells of is there then. A head
    that dies loses the last seconds, as if it had died a moment earlier.

    Args:
        folder: the sweep's copy.
        bucket: the sweep's prefix.
        say: told of what the user should know.

    Attributes:
        checkpoints: of its trials.
    """

    def __init__(self, folder: Path, bucket: Bucket, say: Callable[[str], None]) -> None:
        self.checkpoints = BucketCheckpoints(bucket, self._remove_later)
        self._folder, self._bucket, self._say = folder, bucket, say
        self._lease = Lease(bucket)
        self._published: dict[Path, tuple[int, int]] = {}
        self._journal: bytes | None = b""
        self._obsolete: list[str] = []
        self._failed: Exception | None = None
        self._silent = False
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)

    @property
    def complaint(self) -> Exception | None:
        """Why the sweep must not go on."""
        return self._lease.lost or self._failed

    def __enter__(self) -> Self:
        self._lease.take(self._say)
        return self

    def start(self) -> None:
        """The files here are as the sweep has them; from now on they are followed."""
        self._journal = self._bucket.read(JOURNAL_FILE)
        there = results_in(self._bucket)
        self._published = {
            file: look
            for file, look in self._looks()
            if not is_newer(file, there.get(str(file.relative_to(self._folder))))
        }
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._stop() and self._lease.lost is None:
                self._last(quietly=kind is not None)
            if kind is None and self.complaint is not None:
                raise self.complaint
        finally:
            with contextlib.suppress(StoreError):
                self._lease.give_back()

    def _stop(self) -> bool:
        """End the thread; whether it was at work until now."""
        working = self._thread.ident is not None and not self._leave.is_set()
        self._leave.set()
        if working:
            self._thread.join()
        return working

    def _last(self, *, quietly: bool) -> None:
        for tries_left in reversed(range(LAST_TRIES)):
            try:
                self._bring()
            except TakenOver:
                return
            except StoreError as error:
                if tries_left:
                    time.sleep(PERIOD_S)
                elif not quietly:
                    raise StoreError(
                        error.value,
                        f"the last results are to go there; they are whole in {self._folder}",
                        "mend that, and give the same command with --resume",
                    ) from error
            else:
                return

    def _run(self) -> None:
        pause = PERIOD_S
        while not self._leave.wait(pause):
            began = time.thread_time()
            try:
                try:
                    self._bring()
                except TakenOver:
                    return
                except FileNotFoundError:
                    pass  # a trial's folder is being replaced
                except StoreError as error:  # a store that does not answer may do so again
                    if not self._silent:
                        self._say(f"warning: {error} Results are copied there once that is possible.")
                    self._silent = True
                else:
                    self._silent = False
            except Exception as error:  # any: nobody would be told of it otherwise
                self._failed = error
                return
            pause = max(PERIOD_S, (time.thread_time() - began) / MOST_TIME)

    def _bring(self) -> None:
        """Everything that has changed, and away with checkpoints that no journal names any more."""
        obsolete = list(self._obsolete)
        journal = (self._folder / JOURNAL_FILE).read_bytes()
        changed = [(file, look) for file, look in self._looks() if self._published.get(file) != look]
        all_at_once(self._bucket.upload, [(file, str(file.relative_to(self._folder))) for file, _ in changed])
        self._published |= dict(changed)
        if journal != self._journal:
            self._lease.check()
            self._bucket.write(JOURNAL_FILE, journal)
            self._journal = journal
        all_at_once(lambda name: (self._bucket / name).clear(), [(name,) for name in obsolete])
        del self._obsolete[: len(obsolete)]

    def _looks(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        for file in result_files(self._folder):
            if file.name == JOURNAL_FILE:
                continue
            with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                of = file.stat()
                yield file, (of.st_size, of.st_mtime_ns)

    def _remove_later(self, checkpoint: str) -> None:
        self._obsolete.append(checkpoint)

    def discard(self) -> None:
        """Nothing of the sweep stays in the bucket, unless it is another machine's by now."""
        self._stop()
        with contextlib.suppress(StoreError, TakenOver):
            self._lease.check()
            self._bucket.clear()


class Unmirrored:
    """Stands for a mirror where results lie in a folder."""

    complaint = None

    def __init__(self, folder: Path) -> None:
        self.checkpoints = Checkpoints(folder)

    def start(self) -> None:
        """Nothing is to be followed."""

    def discard(self) -> None:
        """The folder is all that there is."""


@contextlib.contextmanager
def mirrored(folder: Path, say: Callable[[str], None]) -> Iterator[Mirror | Unmirrored]:
    """What follows a sweep's files for the time of the block, where they lie in a bucket.

    Raises:
        InputError: another machine runs the sweep; or, at the end, the bucket cannot be written.
    """
    bucket = bucket_of(folder)
    if bucket is None:
        yield Unmirrored(folder)
        return
    with Mirror(folder, bucket, say) as mirror:
        yield mirror
