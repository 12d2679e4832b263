"""The right to run a sweep whose results lie in a bucket: one machine has it at a time."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.sweep.leases import of_another, owner
from trainables.buckets import Bucket, StoreError
from trainables.errors import InputError
from tune_dd.sweeps import lease as lease_module
from tune_dd.sweeps.lease import RUNNING_FILE, Lease, TakenOver

Made = Callable[[], Lease]


@pytest.fixture
def made(bucket: Bucket) -> Iterator[Made]:
    """Leases, whose threads end with the test."""
    leases: list[Lease] = []

    def make() -> Lease:
        leases.append(Lease(bucket))
        return leases[-1]

    yield make
    for lease in leases:
        with contextlib.suppress(StoreError):
            lease.give_back()


def test_who_is_not_heard_of_any_more_is_followed(
    bucket: Bucket, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "STALE_S", 2.0)
    of_another(bucket)
    said: list[str] = []
    began = time.monotonic()
    made().take(said.append)
    assert 1 < time.monotonic() - began < 10
    assert said == ["waiting up to 2 s, to see whether elsewhere still runs this sweep"]
    assert owner(bucket)["pid"] == os.getpid()
    assert bucket.files().keys() == {RUNNING_FILE}


def test_who_still_runs_a_sweep_is_not_disturbed(
    bucket: Bucket, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_another(bucket)

    def renewed(seconds: float) -> None:
        wait(1.1)  # the store's clock tells seconds
        of_another(bucket)

    wait = time.sleep
    monkeypatch.setattr(lease_module.time, "sleep", renewed)
    with pytest.raises(InputError, match=r"is running on elsewhere, but one machine at a time"):
        made().take(lambda line: None)
    assert owner(bucket)["host"] == "elsewhere"


def test_of_two_that_take_it_at_once_one_has_it(bucket: Bucket, made: Made) -> None:
    with ThreadPoolExecutor() as pool:
        taken = [pool.submit(made().take, print) for _ in range(2)]
    errors = [one.exception() for one in taken]
    assert sum(error is None for error in errors) == 1
    assert any("is running on" in str(error) for error in errors)


def test_a_process_that_died_here_is_not_waited_for(bucket: Bucket, made: Made) -> None:
    lease, said = made(), list[str]()
    child = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(child, 0)
    dead = {**lease._owner, "pid": child, "token": "former"}
    bucket.write(RUNNING_FILE, json.dumps(dead).encode())
    lease.take(said.append)
    assert said == []
    lease.give_back()
    assert bucket.files() == {}
    # A machine of the same name that was started at another time may well be alive.
    assert not lease._died_here({**dead, "boot": "another"})


@pytest.mark.parametrize("ended", [False, True])
def test_a_sweep_that_was_taken_over_is_let_go(bucket: Bucket, made: Made, ended: bool) -> None:
    """Also where the other machine has brought it to its end, and waits for nobody any more."""
    lease = made()
    lease.take(print)
    lease.check()
    bucket.remove(RUNNING_FILE) if ended else of_another(bucket)
    with pytest.raises(TakenOver, match=f"taken over by {'another machine' if ended else 'elsewhere'}"):
        lease.check()
    assert lease.lost is not None
    lease.give_back()
    assert bucket.read(RUNNING_FILE) is None if ended else owner(bucket)["host"] == "elsewhere"


def test_a_sweep_that_runs_is_heard_of(bucket: Bucket, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "RENEWED_S", 0.2)
    lease = made()
    lease.take(print)
    before = bucket.made(RUNNING_FILE)
    deadline = time.monotonic() + 20
    while bucket.made(RUNNING_FILE) == before:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    lease.give_back()
    assert bucket.read(RUNNING_FILE) is None
