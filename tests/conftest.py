"""What all tests share: one thread each, a cache of their own, and real commands to run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.object_store import new_bucket, object_store
from trainables.buckets import Bucket

ROOT = Path(__file__).parent.parent

# Before any test imports torch, and for every process that a test starts: on two cores, threads of
# several processes that wait for each other cost more than they bring.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache folder for the whole test run: an encoder that several tests want is trained once."""
    base = tmp_path_factory.getbasetemp()
    # Under pytest-xdist each process has a base folder of its own inside the run's.
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    cache = run / "xdg-cache"
    cache.mkdir(exist_ok=True)
    return cache


@pytest.fixture(autouse=True, scope="session")
def _own_user_cache(shared_cache: Path) -> None:
    """Commands that use the default cache place must not touch the developer's."""
    os.environ["XDG_CACHE_HOME"] = str(shared_cache)


def run_python(*words: str, cwd: Path, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    """Python with these words, in a folder that need not be the checkout's."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run ``tune-dd`` for real, in an empty folder: ``command("distill", "--seed", "1")``."""

    def run(*words: str, cwd: Path = tmp_path, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
        return run_python("-m", "tune_dd.cli", *words, cwd=cwd, timeout_s=timeout_s)

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Make a file system of a given size: ``small_disk("2m")``. Needs the right to mount, as root has.

    Without that right a developer's test is skipped; where ``CI`` is set it fails, as nobody reads skips.
    """
    mounted: list[Path] = []

    def make(size: str) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        done = subprocess.run(mount, capture_output=True, text=True)
        if done.returncode:
            refuse = pytest.fail if os.environ.get("CI") else pytest.skip
            refuse(f"cannot mount a small file system here: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


def interrupted_at(words: str, *command: str, cwd: Path) -> tuple[int, str, str]:
    """Run ``tune-dd`` until it prints these words, send it Ctrl-C, and see how it ends.

    Returns:
        Exit code, what it printed after the words, and its errors.
    """
    run = subprocess.Popen(
        [sys.executable, "-m", "tune_dd.cli", *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Python heeds no interrupt where a shell in the background has told its children to ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert run.stdout is not None
    for line in run.stdout:
        if words in line:
            break
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=120)
    return run.returncode, out, err


@pytest.fixture(scope="session")
def _object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("moto", reason="moto stands for S3")
    with object_store(tmp_path_factory.mktemp("object-store") / "log") as address:
        yield address


@pytest.fixture
def bucket(_object_store: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket of its own for each test, which the commands reach that it runs."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", _object_store)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    return Bucket(new_bucket(_object_store))
