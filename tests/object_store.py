"""A server on this machine that answers as S3 does."""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def object_store(log: Path, host: str = "127.0.0.1") -> Iterator[str]:
    """Its address: a process of its own, as moto's settings are its process's.

    Args:
        log: what it says.
        host: address of this machine at which it listens.
    """
    with socket.socket() as free:
        free.bind((host, 0))
        port = str(free.getsockname()[1])
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", host, "-p", port],
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        while f"Running on http://{host}:{port}" not in log.read_text():
            assert server.poll() is None, log.read_text()
            time.sleep(0.1)
        yield f"http://{host}:{port}"
    finally:
        server.kill()
        server.wait()


def new_bucket(address: str) -> str:
    """The URI of a place in a bucket of its own, for whose owner any credentials do."""
    import boto3

    name = f"bucket-{secrets.token_hex(4)}"
    boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=address,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    ).create_bucket(Bucket=name)
    return f"s3://{name}/some/place"
