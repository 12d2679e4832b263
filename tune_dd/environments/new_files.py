"""Files that a command is told to write: looked at before the work, so that it is not done in vain."""

from __future__ import annotations

from pathlib import Path

from trainables.errors import InputError
from tune_dd.runs.folder import check_writable


def new_file(flag: str, name: str | None, ending: str) -> Path | None:
    """The file that a flag names, ``None`` where it is not given.

    Args:
        ending: what the name must end in, such as ``.json``.

    Raises:
        InputError: if it exists, ends otherwise, or cannot be written.
    """
    if name is None:
        return None
    path = Path(name).expanduser()
    if path.suffix.lower() != ending:
        raise InputError(f"{flag} is '{name}'", f"the file's name must end in {ending}", "choose such a name")
    if path.exists():
        raise InputError(
            f"{path} exists already", "a run never overwrites another's files", "choose another name"
        )
    if not path.parent.is_dir():
        raise InputError(
            f"{flag} is {path}", f"there is no folder {path.parent}", "make it, or choose another"
        )
    check_writable(flag, path.parent)
    return path
