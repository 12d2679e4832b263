"""What thousands of trials ask of a sweep's driver: CPU and memory of each, and time to go on after a kill.

    python benchmarks/sweep_scale.py --num-trials 2000

Runs a sweep on digits whose trials are replayed (see ``replayed_trials.py``). All else is what any sweep has:
the searcher, ASHA, the journal, Ray Tune, summaries and folders. The driver is killed when all but ``--left``
trials have ended, and the sweep resumed.

The driver's CPU seconds are those of its process, all threads. Optuna's are told apart: those that the
driver's thread spends in the calls of :data:`OPTUNA`. Both are read, with the resident set, whenever a trial
ends. The exit code is 1 where the driver is over one of :data:`BOUNDS`.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from optuna import Study, Trial
from replayed_trials import ReplayedDistillation, record_curves

from trainables.latent_distillation import LatentDistillation
from tune_dd.flags import Flags, main_guard, parser
from tune_dd.runs.folder import write_json
from tune_dd.runs.score_table import aligned
from tune_dd.sweeps.journal import JOURNAL_FILE, TrialRecord, read_records
from tune_dd.sweeps.latent.cell import LatentCell
from tune_dd.sweeps.latent.kind import LatentKind
from tune_dd.sweeps.latent.settings import LatentSweep
from tune_dd.sweeps.live_display import LiveDisplay
from tune_dd.sweeps.ray_session import local_cpus, quiet_ray
from tune_dd.sweeps.resuming import resumed_config
from tune_dd.sweeps.runner import run_sweep
from tune_dd.sweeps.settings import Cell
from tune_dd.sweeps.tables import print_outcome

NAME = "scale"
MARKS_FILE = "marks.jsonl"
BOUNDS = {"own_cpu_s": 0.020, "grown_bytes": 100_000.0, "resumed_s": 60.0}
"""Of the driver: CPU seconds beyond Optuna's, and bytes, for each trial; seconds from the command that
resumes to the first trial that is handed out."""
WARM = 100
"""Trials after which growth is measured: until then Python and Ray fill their pools."""
PARTS = 4
PERIOD_S = 0.5
OPTUNA: Mapping[type, Sequence[str]] = {
    Study: ("ask", "tell", "enqueue_trial", "add_trial"),
    Trial: ("suggest_categorical", "suggest_float", "suggest_int", "report"),
}


class Mark(NamedTuple):
    """What a process has used when something happens."""

    pid: int
    what: str
    cpu_s: float
    optuna_s: float
    rss: int
    at: float

    @property
    def own_s(self) -> float:
        """CPU seconds beyond Optuna's."""
        return self.cpu_s - self.optuna_s


class Meter:
    """Puts on file what this process uses, and from now on tells Optuna's part of it.

    Args:
        path: gets a line for each mark; it outlives a kill.
        burn_s: CPU seconds to waste as each trial ends, which shows that the bounds can be broken.
    """

    def __init__(self, path: Path, burn_s: float) -> None:
        self._stream, self._burn_s = path.open("a"), burn_s
        self._optuna_s, self._inside = 0.0, False
        for owner, names in OPTUNA.items():
            for name in names:
                setattr(owner, name, self._timed(getattr(owner, name)))

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def timed(*args: Any, **named: Any) -> Any:
            if self._inside:  # a call of Optuna's own
                return call(*args, **named)
            self._inside, started = True, time.thread_time()
            try:
                return call(*args, **named)
            finally:
                self._optuna_s += time.thread_time() - started
                self._inside = False

        return timed

    def mark(self, what: str) -> None:
        """Something has happened."""
        wasted = time.thread_time() + (self._burn_s if what == "ended" else 0.0)
        while time.thread_time() < wasted:
            pass
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        rss = pages * os.sysconf("SC_PAGE_SIZE")
        values = Mark(os.getpid(), what, time.process_time(), self._optuna_s, rss, time.time())
        self._stream.write(json.dumps(values) + "\n")
        self._stream.flush()


def read_marks(path: Path) -> list[Mark]:
    """Whole lines alone: the last one may be cut off."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [Mark(*json.loads(line)) for line in lines if line.endswith("\n")]


class ReplayedKind(LatentKind):
    """Latent distillations that are replayed; the meter is read where the driver comes by."""

    meter: ClassVar[Meter]

    @property
    def trainable(self) -> type[LatentDistillation]:
        return ReplayedDistillation

    @property
    def trial_config(self) -> dict[str, Any]:
        self.meter.mark("handed out")
        return super().trial_config

    def fill_run(
        self, place: Path, record: TrialRecord, checkpoint: Path | None, more: Mapping[str, Any]
    ) -> None:
        super().fill_run(place, record, checkpoint, more)
        self.meter.mark("ended")

    def controls(self, cell: Cell) -> dict[str, dict[str, float]]:
        self.meter.mark("trials ended")
        found = super().controls(cell)
        self.meter.mark("controls")
        return found


class ReplayedSweep(LatentSweep):
    """On record it is a sweep like any other."""

    def open(self) -> LatentKind:
        return ReplayedKind(self)


class Display(LiveDisplay):
    """Notes when reading is over: what comes next is said."""

    def say(self, line: str) -> None:
        ReplayedKind.meter.mark(line)
        super().say(line)


def new_sweep(flags: Flags, storage: str) -> ReplayedSweep:
    """As it begins."""
    return ReplayedSweep(
        name=NAME,
        storage=storage,
        num_trials=flags["num_trials"],
        max_concurrent=flags["workers"],
        searcher=flags["searcher"],
    )


def drive(flags: Flags) -> int:
    """The sweep's driver, in a process of its own that can be killed."""
    storage = flags["storage"]
    ReplayedKind.meter = meter = Meter(Path(storage) / MARKS_FILE, flags["burn_ms"] / 1000)
    quiet_ray()
    resume = (Path(storage) / NAME).exists()
    if resume:
        recorded = resumed_config(storage, NAME, {})
        config = ReplayedSweep(**{name: getattr(recorded, name) for name in recorded.to_json()})
    else:
        config = new_sweep(flags, storage)
    outcome = run_sweep(config, resume, Display())
    meter.mark("summarised")
    code = print_outcome(outcome)
    meter.mark("printed")
    return code


# The command.


def build_parser() -> Any:
    flags = parser("sweep_scale", "Measure a sweep's driver on many replayed trials.")
    flags.add_flag("--num-trials", int, "trials", default=2000, at_least=40)
    flags.add_flag("--workers", int, "trials at a time", default=local_cpus(), at_least=1)
    flags.add_flag("--left", int, "trials that are left when the driver is killed", default=20, at_least=0)
    flags.add_flag("--searcher", str, "who proposes", default="tpe", choices=("tpe", "random"))
    flags.add_flag("--storage", str, "an empty folder (default: a temporary one)", default=None)
    flags.add_flag("--figures", str, "a JSON file for the figures", default=None)
    flags.add_flag("--record", str, "take curves from this sweep instead", default=None)
    flags.add_flag("--burn-ms", float, "CPU to waste on each trial", default=0.0, at_least=0.0)
    flags.add_flag("--drive", bool, "be the driver, not who measures it")
    return flags


@main_guard
def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    flags = build_parser().parse(words)
    if flags["record"]:
        record_curves(Path(flags["record"]))
        return 0
    if flags["drive"]:
        return drive(flags)
    with contextlib.ExitStack() as stack:
        storage = flags["storage"] or stack.enter_context(tempfile.TemporaryDirectory())
        Path(storage).mkdir(parents=True, exist_ok=True)
        new_sweep(flags, storage).open().prepare(print)  # or the driver's memory would be the training's
        left = flags["left"]
        started = [run_driver(words, storage, flags["num_trials"] - left if left else None)]
        if left:
            started.append(run_driver(words, storage))
        found = figures(Path(storage), started)
    report(found)
    if flags["figures"]:
        write_json(Path(flags["figures"]), found)
    return int(any(found[name] > most for name, most in BOUNDS.items() if name in found))


def run_driver(words: Sequence[str], storage: str, until: int | None = None) -> float:
    """Run the sweep to its end, or kill it when so many trials have ended; the moment when that began."""
    path, started = Path(storage) / MARKS_FILE, time.time()
    command = [sys.executable, __file__, *words, "--drive", "--storage", storage]
    process = subprocess.Popen(command, stdout=sys.stderr)
    try:
        while process.poll() is None:
            if until is not None and sum(mark.what == "ended" for mark in read_marks(path)) >= until:
                process.kill()
            time.sleep(PERIOD_S)
    finally:
        process.kill()  # where this process was interrupted
    if process.wait() != (0 if until is None else -signal.SIGKILL):
        sys.exit(f"the driver ended with {process.returncode}")
    return started


def figures(storage: Path, started: Sequence[float]) -> dict[str, Any]:
    """What the marks say, and the sweep's folder.

    Args:
        started: when the driver was started, and started again.
    """
    marks = read_marks(storage / MARKS_FILE)
    first = [mark for mark in marks if mark.pid == marks[0].pid]
    last = [mark for mark in marks if mark.pid == marks[-1].pid]
    ended = [mark for mark in first if mark.what == "ended"]
    edges = [round(part * (len(ended) - 1) / PARTS) for part in range(PARTS + 1)]
    warm, half = min(WARM, len(ended) // 4), len(ended) // 2
    folder = storage / NAME
    records = read_records(folder, LatentCell).values()
    files = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    found: dict[str, Any] = {
        "trials": len(records),
        "reports": sum(len(record.reports) for record in records),
        "by_end": dict(Counter(record.status for record in records)),
        "trials_per_s": (len(ended) - 1) / (ended[-1].at - ended[0].at),
        "own_cpu_s": (ended[-1].own_s - ended[0].own_s) / (len(ended) - 1),
        "optuna_cpu_s": (ended[-1].optuna_s - ended[0].optuna_s) / (len(ended) - 1),
        "own_cpu_s_with_start": ended[-1].own_s / len(ended),
        "grown_bytes": (ended[-1].rss - ended[warm].rss) / (len(ended) - 1 - warm),
        "grown_bytes_in_second_half": (ended[-1].rss - ended[half].rss) / (len(ended) - 1 - half),
        "rss": ended[-1].rss,
        "parts": [_part(ended[at], ended[to], to - at) for at, to in itertools.pairwise(edges)],
        "journal_bytes": (folder / JOURNAL_FILE).stat().st_size,
        "bytes": sum(files),
        "files": len(files),
    }
    if len(started) > 1:
        for name, what in (("read", "starting Ray"), ("resumed", "handed out")):
            mark = next(mark for mark in last if mark.what == what)
            found |= {f"{name}_s": mark.at - started[1], f"{name}_cpu_s": mark.cpu_s}
    at = {mark.what: mark for mark in last}
    for name, begin, end in (("summary", "controls", "summarised"), ("tables", "summarised", "printed")):
        found[f"{name}_cpu_s"] = at[end].cpu_s - at[begin].cpu_s
    return found


def _part(begin: Mark, end: Mark, trials: int) -> dict[str, float]:
    return {
        "own_cpu_s": (end.own_s - begin.own_s) / trials,
        "optuna_cpu_s": (end.optuna_s - begin.optuna_s) / trials,
        "grown_bytes": (end.rss - begin.rss) / trials,
    }


def report(found: Mapping[str, Any]) -> None:
    """Print the figures, a line each, and what they are by quarters."""
    trials, ends = found["trials"], found["by_end"]
    reports, own_ms = found["reports"] / trials, 1000 * found["own_cpu_s"]
    lines = {
        "trials": f"{trials}, {reports:.1f} reports each, {ends.get('stopped_early', 0)} stopped early; "
        f"{found['trials_per_s']:.1f} a second",
        "driver's CPU, ms a trial, beyond Optuna's": f"{own_ms:.1f}, {own_ms / reports:.1f} a report",
        "  with its start, as of a sweep this long": f"{1000 * found['own_cpu_s_with_start']:.1f}",
        "Optuna's CPU, ms a trial": f"{1000 * found['optuna_cpu_s']:.1f}",
        "driver's resident set, KB a trial": f"{found['grown_bytes'] / 1000:.0f}, in the second half "
        f"{found['grown_bytes_in_second_half'] / 1000:.0f}; {found['rss'] / 1e6:.0f} MB at the end",
        "journal, KB a trial": f"{found['journal_bytes'] / trials / 1000:.1f}",
        "all files, KB a trial": f"{found['bytes'] / trials / 1000:.0f} in {found['files'] / trials:.1f}",
        "summary and tables, CPU s": f"{found['summary_cpu_s']:.1f} and {found['tables_cpu_s']:.1f}",
    }
    if "resumed_s" in found:
        lines["resumed: all is read after"] = f"{found['read_s']:.1f} s, {found['read_cpu_s']:.1f} CPU s"
        lines["  the first trial is handed out after"] = (
            f"{found['resumed_s']:.1f} s, {found['resumed_cpu_s']:.1f} CPU s"
        )
    width = max(map(len, lines))
    print("\n".join(f"{name:<{width}}  {figure}" for name, figure in lines.items()) + "\n")
    rows = [["quarter", "driver's, ms", "Optuna's, ms", "RSS, KB"]]
    for number, part in enumerate(found["parts"], 1):
        times = (f"{1000 * part[name]:.1f}" for name in ("own_cpu_s", "optuna_cpu_s"))
        rows.append([str(number), *times, f"{part['grown_bytes'] / 1000:.0f}"])
    print("\n".join(aligned(rows)))


if __name__ == "__main__":
    sys.exit(main())
