"""What a sweep costs beside its trials: CPU seconds a trial, and the share of worker time inside trials.

    python benchmarks/sweep_overhead.py --datasets custom --custom-train-dir cifar10/train

Runs ``tune-dd search`` as a process of its own with the flags given here, 32 configurations unless
they say otherwise, and follows all its processes: driver, Ray's daemons, trial workers. CPU seconds are
those of whole processes, imports included. Worker time is given twice: from the start of the process,
imports included, and from the moment it is ready for its first trial. The encoder's seconds are left out
of the figures per trial; what the former grid would have spent on it, which trained it for every point, is
set beside them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

PERIOD_S = 0.1
TICKS = os.sysconf("SC_CLK_TCK")
WORKER = "ray::LatentDistillation"


@dataclass
class Process:
    """What was seen of one process."""

    name: str = ""
    cpu_s: float = 0.0
    is_worker: bool = False
    first_seen: float = field(default_factory=time.monotonic)
    worker_from: float | None = None
    seen: float = 0.0
    peak_rss_mb: float = 0.0


@dataclass
class Tree:
    """All processes below one, sampled while it runs."""

    root: int
    processes: dict[int, Process] = field(default_factory=lambda: defaultdict(Process))

    def sample(self) -> None:
        """Note the CPU seconds of every process that descends from the root."""
        parents, stats = {}, {}
        for place in Path("/proc").glob("[0-9]*"):
            try:
                stat = (place / "stat").read_text().rpartition(")")[2].split()
                name = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            pid = int(place.name)
            parents[pid] = int(stat[1])
            rss_mb = int(stat[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20
            stats[pid] = ((int(stat[11]) + int(stat[12])) / TICKS, name, rss_mb)
        found, edge = {self.root}, {self.root}
        while edge:
            edge = {pid for pid, parent in parents.items() if parent in edge} - found
            found |= edge
        now = time.monotonic()
        for pid in found & stats.keys():
            process, (cpu_s, name, rss_mb) = self.processes[pid], stats[pid]
            process.cpu_s, process.seen = max(cpu_s, process.cpu_s), now
            process.peak_rss_mb = max(rss_mb, process.peak_rss_mb)
            process.name = process.name or name
            if name.startswith(WORKER):
                process.is_worker = True
                process.worker_from = process.worker_from or now


def main() -> int:
    """Run the sweep and print the figures."""
    words = sys.argv[1:]
    if "--num-trials" not in words and "grid" not in words:
        words += ["--num-trials", "32"]
    if "--prototypes" not in words:
        words += ["--prototypes", "10"]
    with tempfile.TemporaryDirectory() as storage:
        script = Path(__file__).parent.parent / "tune_dd" / "search.py"
        command = [sys.executable, str(script), "--storage", storage, "--name", "overhead", *words]
        started = time.monotonic()
        sweep = subprocess.Popen(command)
        tree = Tree(sweep.pid)
        while sweep.poll() is None:
            tree.sample()
            time.sleep(PERIOD_S)
        wall_s = time.monotonic() - started
        summary_file = Path(storage) / "overhead" / "sweep_summary.json"
        if sweep.returncode or not summary_file.exists():  # refused, or --help
            return sweep.returncode
        summary = json.loads(summary_file.read_text())
    report(summary, tree, wall_s)
    return 0


def report(summary: dict[str, object], tree: Tree, wall_s: float) -> None:
    """Print the figures, a line each."""
    trials: list[dict[str, float]] = summary["trials"]  # type: ignore[assignment]
    timings: dict[str, float] = summary["timings"]  # type: ignore[assignment]
    workers = [process for process in tree.processes.values() if process.is_worker]
    total_cpu = sum(process.cpu_s for process in tree.processes.values())
    worker_cpu = sum(process.cpu_s for process in workers)
    driver_cpu = tree.processes[tree.root].cpu_s
    encoder_cpu = timings["preparing_driver_cpu_s"]
    trial_cpu = sum(trial["cpu_s"] for trial in trials)
    busy = sum(trial["busy_s"] for trial in trials)
    alive = sum(process.seen - process.first_seen for process in workers)
    ready = sum(process.seen - (process.worker_from or 0.0) for process in workers)
    without = total_cpu - encoder_cpu
    count = len(trials)
    figures = {
        "trials": f"{count}, {wall_s:.0f} s in all, {timings['trials_wall_s']:.0f} s of them Ray's",
        "CPU s in all, encoder left out": f"{without:.1f}, {without / count:.2f} a trial",
        "  of the trials themselves": f"{trial_cpu:.1f}, {trial_cpu / count:.2f} a trial",
        "  their share of the workers'": f"{trial_cpu / worker_cpu:.0%}",
        "  of the workers beside them": f"{worker_cpu - trial_cpu:.1f} in {len(workers)} workers",
        "  of the driver": f"{driver_cpu - encoder_cpu:.1f}",
        "  of Ray's daemons": f"{total_cpu - driver_cpu - worker_cpu:.1f}",
        "worker time inside trials": f"{busy / alive:.0%} of {alive:.0f} s",
        "  without start and imports": f"{busy / ready:.0%} of {ready:.0f} s",
        "peak RSS of a worker": f"{max(process.peak_rss_mb for process in workers):.0f} MB",
        "encoder CPU s, trained once": f"{encoder_cpu:.1f}",
    }
    if encoder_cpu > 1:
        grid = encoder_cpu * count + trial_cpu
        figures["a grid that trains it every time"] = (
            f"{grid:.0f} CPU s, {grid / total_cpu:.1f} times as many"
        )
    width = max(map(len, figures))
    print()
    for name, figure in figures.items():
        print(f"{name:<{width}}  {figure}")


if __name__ == "__main__":
    sys.exit(main())
