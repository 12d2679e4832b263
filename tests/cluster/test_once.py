"""Work that sweeps of one cluster want at the same time is done once, whoever dies meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import ROOT
from trainables.errors import InputError
from tune_dd.clusters.once import Report, once_in_cluster
from tune_dd.sweeps.ray_session import NAMESPACE, quiet_ray

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module", autouse=True)
def address() -> Iterator[str]:
    """Of a cluster of this machine."""
    import ray

    quiet_ray()
    ray.init(address="local", num_cpus=2, namespace=NAMESPACE, include_dashboard=False, log_to_driver=False)
    yield str(ray.get_runtime_context().gcs_address)
    ray.shutdown()


def note(file: Path, word: str) -> None:
    with file.open("a") as stream:
        stream.write(f"{word}\n")


def slow(file: Path, seconds: float, report: Report) -> None:
    note(file, "begun")
    report("at work")
    time.sleep(seconds)
    note(file, "done")


def test_all_who_ask_get_the_same_work(tmp_path: Path) -> None:
    file, said = tmp_path / "log", list[str]()
    work = partial(slow, file, 3.0)
    askers = [
        threading.Thread(target=once_in_cluster, args=("all", work, 1, 0, said.append)) for _ in range(3)
    ]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
        assert file.read_text() == "begun\ndone\n"
    assert said.count("at work") == 3


def dies_at_first(file: Path, report: Report) -> None:
    note(file, "begun")
    if file.read_text().count("begun") == 1:
        os._exit(1)
    note(file, "done")


def test_work_whose_worker_dies_is_begun_again(tmp_path: Path) -> None:
    once_in_cluster("dies", partial(dies_at_first, tmp_path / "log"), 1, 0, print)
    assert (tmp_path / "log").read_text() == "begun\nbegun\ndone\n"


def complains(report: Report) -> None:
    raise InputError("--ae-epochs is 0", "it must be more", "give more")


def test_what_cannot_be_done_is_told_as_it_was(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(InputError) as told:
            once_in_cluster("complains", complains, 1, 0, print)
        assert told.value.args == ("--ae-epochs is 0", "it must be more", "give more")


OTHER_SWEEP = """
import ray, sys
from functools import partial
from pathlib import Path
from tests.cluster.test_once import slow
from tune_dd.clusters.once import once_in_cluster
ray.init(address=sys.argv[1], namespace=sys.argv[2], log_to_driver=False)
once_in_cluster("other", partial(slow, Path(sys.argv[3]), 60.0), 1, 0, print)
"""


def test_another_sweep_does_what_a_killed_one_had_begun(tmp_path: Path, address: str) -> None:
    file = tmp_path / "log"
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER_SWEEP, address, NAMESPACE, str(file)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        while not file.exists():
            assert other.poll() is None
            time.sleep(0.1)
        own = threading.Thread(
            target=once_in_cluster, args=("other", partial(slow, file, 0.0), 1, 0, lambda line: None)
        )
        own.start()
        time.sleep(2)
        assert file.read_text() == "begun\n", "it waits for the other's"
    finally:
        other.kill()
        other.wait()
    own.join()
    assert file.read_text() == "begun\nbegun\ndone\n"
