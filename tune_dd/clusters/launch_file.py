"""A cluster's launch file, before ``ray up`` spends anything on it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from trainables.errors import InputError
from tune_dd.clusters.findings import Finding, looked

TOKEN_MODE = "RAY_AUTH_MODE=token"
TOKEN_PLACE = "~/.ray/auth_token"
FIRST_AUTOSCALER = "RAY_enable_autoscaler_v2=0"
NO_BUCKET = "YOUR-BUCKET"
_STARTS = {"head_start_ray_commands": "ray start --head", "worker_start_ray_commands": "ray start --address"}


def read_launch_file(path: Path) -> dict[str, Any]:
    """Its content, as YAML has it.

    Raises:
        InputError: it cannot be read, or is no YAML of names.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror})",
            "it must be a cluster's launch file",
            "check the path",
        ) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} is no YAML ({error})", "a launch file is", "mend that line") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no names", "a launch file does", "begin from cluster.onprem.yaml")
    return content


def is_local(config: Mapping[str, Any]) -> bool:
    """Whether the file is of own machines."""
    provider = config.get("provider")
    return isinstance(provider, Mapping) and provider.get("type") == "local"


def addresses(config: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Of the head and of the workers, in a file of own machines that Ray accepts."""
    provider = config["provider"]
    return str(provider["head_ip"]), [str(one) for one in provider["worker_ips"]]


def file_findings(path: Path, config: Mapping[str, Any]) -> Iterator[Finding]:
    """What the file says by itself; nothing is started or asked."""
    schema = list(looked(f"{path} is what Ray expects", partial(_check_schema, path, config)))
    yield from schema
    if schema[0].complaint is not None:
        return
    yield from looked("Ray starts with a token everywhere", partial(_check_token_mode, path, config))
    yield from looked("the token goes to every node", partial(_check_token_file, path, config))
    yield from looked("the dashboard is the head's own", partial(_check_dashboard, path, config))
    if is_local(config):
        yield from looked("its autoscaler knows own machines", partial(_check_autoscaler, path, config))
    else:
        yield from looked("its storage has a name", partial(_check_bucket, path, config))


def _check_schema(path: Path, config: Mapping[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        validate_config(prepare_config(copy.deepcopy(dict(config))))
    except Exception as error:  # of half a dozen kinds
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error).partition("\n")[0]
        raise InputError(
            f"{path} is refused by Ray ({reason})", "ray up takes what its schema has", "mend that entry"
        ) from error


def _starts(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for where in _STARTS:
        for command in config.get(where) or ():
            if "ray start" in command:
                yield where, command


def _check_token_mode(path: Path, config: Mapping[str, Any]) -> None:
    found = dict.fromkeys(where for where, _ in _starts(config))
    for where, words in _STARTS.items():
        if where not in found:
            raise InputError(
                f"{path} has no '{words}' in {where}",
                "without it Ray's defaults start a cluster that anybody may use",
                "take the commands of cluster.onprem.yaml",
            )
    for where, command in _starts(config):
        if TOKEN_MODE not in command:
            raise InputError(
                f"{where} in {path} starts Ray without {TOKEN_MODE}",
                "whoever reaches the cluster could run code on it",
                f"put {TOKEN_MODE} before 'ray start'",
            )


def _check_token_file(path: Path, config: Mapping[str, Any]) -> None:
    mounts = config.get("file_mounts") or {}
    if TOKEN_PLACE not in mounts:
        raise InputError(
            f"file_mounts in {path} bring no {TOKEN_PLACE}",
            "Ray reads its token there",
            f"add '{TOKEN_PLACE}: {TOKEN_PLACE}'",
        )
    token = Path(mounts[TOKEN_PLACE]).expanduser()
    if not token.is_file() or not token.read_text().strip():
        raise InputError(
            f"{token} holds no token", f"{path} brings it to every node", "run ray get-auth-token --generate"
        )


def _check_dashboard(path: Path, config: Mapping[str, Any]) -> None:
    for where, command in _starts(config):
        if where.startswith("head") and "--dashboard-host=127.0.0.1" not in command:
            raise InputError(
                f"{where} in {path} does not give --dashboard-host=127.0.0.1",
                "the dashboard should listen on the head alone; ray dashboard reaches it",
                "add it to 'ray start'",
            )


def _check_autoscaler(path: Path, config: Mapping[str, Any]) -> None:
    for where, command in _starts(config):
        if where.startswith("head") and FIRST_AUTOSCALER not in command:
            raise InputError(
                f"{where} in {path} does not set {FIRST_AUTOSCALER}",
                "Ray's second autoscaler never starts workers on own machines",
                f"put {FIRST_AUTOSCALER} before 'ray start'",
            )


def _check_bucket(path: Path, config: Mapping[str, Any]) -> None:
    if any(NO_BUCKET in command for command in config.get("setup_commands") or ()):
        raise InputError(
            f"{path} names no bucket but {NO_BUCKET}",
            "all nodes keep results in one of yours",
            "put its name there",
        )
