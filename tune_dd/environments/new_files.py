"""Files that a command is told to write: looked at before the work, so that it is not done in vain."""

from __future__ import annotations

import os
from pathlib import Path

from trainables.errors import InputError
from tune_dd.runs.folder import check_writable

LONGEST_NAME = 200
"""File systems allow 255 bytes, and temporary names are longer than the final ones."""


def new_file(
    flag: str, name: str | None, ending: str, *, overwrite: bool = False, remedy: str = "choose another name"
) -> Path | None:
    """The file that a flag names, ``None`` where it is not given.

    Args:
        ending: what the name must end in, such as ``.json``.
        overwrite: whether a file that exists may be written again.
        remedy: what to do where it may not.

    Raises:
        InputError: if it exists, ends otherwise, or cannot be written.
    """
    if name is None:
        return None
    path = Path(name).expanduser()
    if path.suffix.lower() != ending:
        raise InputError(f"{flag} is '{name}'", f"the file's name must end in {ending}", "choose such a name")
    if os.path.isdir(path) or (os.path.lexists(path) and not overwrite):
        raise InputError(f"{path} exists already", "a run never overwrites another's files", remedy)
    check_parent(flag, path)
    return path


def check_parent(flag: str, path: Path) -> None:
    """Look whether a file or folder that a flag names can be made.

    Raises:
        InputError: if its name is too long, there is no folder for it, or nothing can be written there.
    """
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise InputError(f"{flag} is {path}", f"a name may have {LONGEST_NAME} bytes", "choose a shorter one")
    if not os.path.isdir(path.parent):
        raise InputError(
            f"{flag} is {path}", f"there is no folder {path.parent}", "make it, or choose another"
        )
    check_writable(flag, path.parent)
