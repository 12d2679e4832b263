"""Ray on this machine: what becomes of a start that takes too long."""

from __future__ import annotations

import itertools
import time
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray._private import node, services

from trainables.errors import InputError
from tune_dd.sweeps.ray_session import STARTS, local_session

pytestmark = pytest.mark.timeout(180)


def hold_up(monkeypatch: pytest.MonkeyPatch, starts: int) -> list[int]:
    """Let Ray's first ``starts`` look in vain for the node that they started, and wait 31 s in no time.

    Returns:
        A list that grows by one with each of them.
    """
    found, vain = services.get_node, list[int]()

    def get_node(*given: Any) -> Any:
        if len(vain) < starts:
            vain.append(len(vain))
            raise RuntimeError("This node has not registered yet.")
        return found(*given)

    clock = itertools.count(0, 31)
    monkeypatch.setattr(node, "time", SimpleNamespace(**{**vars(time), "monotonic": lambda: next(clock)}))
    monkeypatch.setattr(services, "get_node", get_node)
    return vain


def test_a_start_that_took_too_long_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    vain = hold_up(monkeypatch, 1)
    with local_session(cpus=1):
        assert ray.cluster_resources()["CPU"] == 1
    assert len(vain) == 1
    assert not ray.is_initialized()


def test_a_machine_that_is_too_busy_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    vain = hold_up(monkeypatch, STARTS)
    with (
        pytest.raises(InputError, match="Ray did not start on this machine in 2 times half a minute"),
        local_session(cpus=1),
    ):
        pytest.fail("there is no Ray")
    assert len(vain) == STARTS
    assert not ray.is_initialized()
