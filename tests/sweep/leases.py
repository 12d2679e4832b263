"""Leases of sweeps in buckets, as another machine writes them."""

from __future__ import annotations

import json
from typing import Any

from trainables.buckets import Bucket
from tune_dd.sweeps.lease import RUNNING_FILE


def owner(bucket: Bucket) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bucket.read(RUNNING_FILE) or b"")
    return found


def of_another(bucket: Bucket, token: str = "theirs") -> None:
    bucket.write(RUNNING_FILE, json.dumps({"host": "elsewhere", "pid": 1, "token": token}).encode())
