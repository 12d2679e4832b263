"""Own machines, looked at over SSH as ``ray up`` will reach them."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

from trainables.errors import InputError
from tune_dd.clusters.findings import Finding, looked
from tune_dd.clusters.launch_file import addresses

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 30
_NEEDED = ("make", "rsync", "python3")
# As Ray connects: whoever starts a cluster has vouched for its machines by their addresses.
_OPTIONS = (
    f"-o BatchMode=yes -o ConnectTimeout={CONNECT_TIMEOUT_S} -o StrictHostKeyChecking=no"
    " -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
).split()
_LOOK = """
for program in {needed}; do command -v $program > /dev/null || echo lacks $program; done
python3 -c 'import sys; sys.version_info < (3, 11) and print("old", sys.version.split()[0])'
getent hosts {head} > /dev/null || echo deaf
"""
_MARK = "mkdir -p {storage} && echo {secret} > {mark} || echo trouble"
_SEE = '[ "$(cat {mark} 2> /dev/null)" = {secret} ] && touch {mark}.$$ && rm {mark}.$$ || echo trouble'


@dataclass(frozen=True)
class _Reach:
    """How machines are reached."""

    user: str
    key: str | None

    def run(self, machine: str, script: str) -> str:
        """What a script prints there.

        Raises:
            InputError: the machine cannot be reached.
        """
        key = ["-i", str(Path(self.key).expanduser())] if self.key else []
        command = ["ssh", *_OPTIONS, *key, f"{self.user}@{machine}", "sh -s"]
        try:
            done = subprocess.run(
                command, input=script, capture_output=True, text=True, timeout=ANSWER_TIMEOUT_S
            )
            problem = (done.stderr.strip().splitlines() or ["no reason is given"])[-1]
        except subprocess.TimeoutExpired:
            problem = "it does not answer"
        else:
            if done.returncode != 255:  # ssh's own
                return done.stdout
        raise InputError(
            f"{machine} cannot be reached over SSH as {self.user} ({problem})",
            "ray up sets machines up that way",
            "check its address, ssh_user and ssh_private_key",
        )


def machine_findings(config: Mapping[str, Any], storage: Path | None) -> Iterator[Finding]:
    """What each machine of a file that Ray accepts has, and whether all see one storage.

    Args:
        storage: made on the head, where it is missing; nothing is left in it. ``None`` if it is no folder.
    """
    head, workers = addresses(config)
    auth = config.get("auth") or {}
    reach = _Reach(str(auth.get("ssh_user", "root")), auth.get("ssh_private_key"))
    reached = []
    for machine in (head, *workers):
        what = f"{machine} can be set up, and finds the head"
        found = list(looked(what, partial(_check, reach, machine, head)))
        yield from found
        if found[0].complaint is None:
            reached.append(machine)
    if storage is None or head not in reached:
        return
    mark, secret = storage / f".tune-dd-look-{secrets.token_hex(4)}", secrets.token_hex()
    words = {"storage": quote(str(storage)), "mark": quote(str(mark)), "secret": secret}
    try:
        for machine in reached:
            script = (_MARK if machine == head else _SEE).format(**words)
            what = f"{machine} sees {storage} and may write there"
            yield from looked(what, partial(_check_storage, reach, machine, script, storage))
    finally:
        reach.run(head, f"rm -f {words['mark']}")


def _check(reach: _Reach, machine: str, head: str) -> None:
    told = reach.run(machine, _LOOK.format(needed=" ".join(_NEEDED), head=quote(head))).split()
    if "lacks" in told:
        raise InputError(
            f"{machine} lacks {told[told.index('lacks') + 1]}",
            f"it needs {', '.join(_NEEDED)}",
            "install it there",
        )
    if "old" in told:
        raise InputError(
            f"{machine} has Python {told[told.index('old') + 1]}",
            "3.11 or newer is needed",
            "install it there",
        )
    if "deaf" in told:
        raise InputError(
            f"{machine} cannot resolve the head's name {head}",
            "workers connect to it",
            "give the head's IP address as head_ip, or teach the name there",
        )


def _check_storage(reach: _Reach, machine: str, script: str, storage: Path) -> None:
    if reach.run(machine, script):
        raise InputError(
            f"{storage} on {machine} is another folder than the head's, or cannot be written",
            "trials write their checkpoints there, whatever machine they run on",
            "mount one folder on all machines at that path, writable, or give another --storage",
        )
