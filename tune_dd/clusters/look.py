"""Join a cluster, ask every node what it is and sees, and leave: ``python -m tune_dd.clusters.look``.

In a process of its own, which its caller can end: Ray waits for minutes where nothing answers.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from typing import Any

JOIN_TIMEOUT_S = 12.0
ANSWER_TIMEOUT_S = 30.0
DEATH_TIMEOUT_S = 20.0
"""How long a node that runs no task may still be listed as alive: a death is known to some before others."""
DEAF = 3
"""Exit code where nothing answered as Ray does."""


def probe(request: dict[str, Any]) -> dict[str, Any]:
    """What one node answers; runs on it, in a worker that may know nothing of this project.

    Args:
        request: ``packages``: whose versions are asked for. ``shared``: file, or URI of an object, that every
            node has to see, and beside which it has to write. ``paths``: that it has to be able to read.

    Returns:
        ``versions`` by package (``None`` where it is missing), with Python's and a digest of the code that
        trials run; ``time`` in seconds of the epoch; ``content`` of the file and ``wrote``, the name of its
        copy, or ``trouble``, why there is neither; ``unreadable`` paths; ``free`` bytes by place.
    """
    import hashlib
    import importlib.metadata
    import importlib.util
    import os
    import pathlib
    import platform
    import shutil
    import tempfile
    import time

    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in request["packages"]:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    code = importlib.util.find_spec("trainables")
    if code is not None and code.origin is not None:
        digest = hashlib.sha256()
        for file in sorted(pathlib.Path(code.origin).parent.rglob("*.py")):
            digest.update(file.read_bytes())
        versions["code of trials"] = digest.hexdigest()[:12]
    answer: dict[str, Any] = {"versions": versions, "time": time.time()}
    answer["unreadable"] = [path for path in request.get("paths", ()) if not os.access(path, os.R_OK)]
    answer["free"] = {
        place: shutil.disk_usage(place).free for place in (os.path.expanduser("~"), tempfile.gettempdir())
    }
    if request.get("shared") is not None:
        try:
            answer |= _see(request["shared"])
        except OSError as error:
            answer["trouble"] = error.strerror or str(error)
    return answer


def _see(place: str) -> dict[str, str]:
    """Read what lies at a path or URI, and write the same beside it."""
    import os
    import platform

    copy = f"{place}.{platform.node()}.{os.getpid()}"
    if "://" in place:
        import pyarrow.fs

        files, shared = pyarrow.fs.FileSystem.from_uri(place)
        with files.open_input_stream(shared) as stream:
            content = stream.read().decode()
        with files.open_output_stream(shared + copy.removeprefix(place)) as stream:
            stream.write(content.encode())
    else:
        with open(place) as stream:
            content = stream.read()
        with open(copy, "w") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    return {"content": content, "wrote": os.path.basename(copy)}


def main() -> None:
    """Print one line of JSON: every node that lives, as Ray tells of it, with its answer."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    address, request = sys.argv[1], json.loads(sys.argv[2])
    watchdog = threading.Timer(JOIN_TIMEOUT_S, os._exit, (DEAF,))
    watchdog.daemon = True
    watchdog.start()
    ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    watchdog.cancel()
    ask = ray.remote(num_cpus=0, max_retries=0)(probe)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    asked = [ask.options(scheduling_strategy=place).remote(request) for place in places]
    before = time.time()
    ray.wait(asked, num_returns=len(asked), timeout=ANSWER_TIMEOUT_S)
    after, told = time.time(), {}
    for node, answer in zip(nodes, asked, strict=True):
        try:
            told[node["NodeID"]] = {**ray.get(answer, timeout=0), "asked": (before, after)}
        except Exception as error:  # any: a node that dies, hangs or cannot run a task
            told[node["NodeID"]] = {"silent": type(error).__name__}
    died = _died({known for known, answer in told.items() if "silent" in answer})
    found = [
        ({name: node[name] for name in ("NodeManagerAddress", "Resources")}, told[node["NodeID"]])
        for node in nodes
        if node["NodeID"] not in died
    ]
    print(json.dumps(found))


def _died(silent: set[str]) -> set[str]:
    """Those of some nodes that are no more: of a node that died since it was listed nothing is asked."""
    import ray

    deadline = time.monotonic() + DEATH_TIMEOUT_S
    while True:
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]} & silent
        if not alive or time.monotonic() > deadline:
            return silent - alive
        time.sleep(0.5)


if __name__ == "__main__":
    main()
