"""Files in a bucket of an object store, named by URIs such as ``s3://bucket/prefix``.

Ray Tune reaches buckets by way of PyArrow, and so does this: credentials, region and ``AWS_ENDPOINT_URL`` are
found in the same places. An object is there whole or not at all, and whoever looks afterwards sees it; there
is no rename, no lock and no appending.
"""

from __future__ import annotations

import contextlib
import functools
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from trainables.errors import InputError
from trainables.whole_files import whole_file

STORES_WORDS = "AWS Error "
"""Before what a store said, in an error of PyArrow's."""
_PIECE_BYTES = 1 << 22
_URI = re.compile(r"s3://[a-z0-9][a-z0-9.-]*[a-z0-9](/(?!\.{1,2}(/|$))[^/?#\s]+)*")
_REQUEST_ID = re.compile(r" \(Request ID: [^)]*\)")


class StoreError(InputError):
    """A bucket does not answer, or refuses."""


def is_uri(place: str) -> bool:
    """Whether a place is named by a URI, and not by the path of a folder."""
    return "://" in place


@dataclass(frozen=True)
class Bucket:
    """A bucket, or a prefix in one.

    Every method raises StoreError where the bucket does not answer, or refuses.

    Args:
        uri: without a slash at its end.

    Raises:
        InputError: the URI names no bucket of S3.
    """

    uri: str

    def __post_init__(self) -> None:
        if not _URI.fullmatch(self.uri):
            raise InputError(
                f"'{self.uri}' names no bucket",
                "must be s3://BUCKET/PREFIX; other object stores are not known",
                "give such a URI, or a folder",
            )

    def __truediv__(self, name: str) -> Bucket:
        return Bucket(f"{self.uri}/{name}")

    def read(self, name: str) -> bytes | None:
        """The content of an object, or ``None``."""
        files, place = self.opened()
        with self._told():
            try:
                with files.open_input_stream(f"{place}/{name}") as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Make an object, or replace it."""
        files, place = self.opened()
        with self._told(), files.open_output_stream(f"{place}/{name}") as stream:
            stream.write(content)

    def upload(self, file: Path, name: str) -> None:
        """Copy a file there."""
        files, place = self.opened()
        with self._told(), file.open("rb") as source, files.open_output_stream(f"{place}/{name}") as stream:
            shutil.copyfileobj(source, stream, _PIECE_BYTES)

    def download(self, name: str, file: Path) -> None:
        """Copy an object into a file, whole or not at all; its folder is made where it is missing.

        Raises:
            FileNotFoundError: there is no such object.
        """
        files, place = self.opened()
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._told(), files.open_input_stream(f"{place}/{name}") as stream, whole_file(file) as target:
            shutil.copyfileobj(stream, target, _PIECE_BYTES)

    def files(self) -> dict[str, tuple[int, datetime]]:
        """Every object: bytes and the time when it was made (by the store's clock), by name."""
        place = f"{self.opened()[1]}/"
        return {
            info.path.removeprefix(place): (info.size, info.mtime)
            for info in self._list(recursive=True)
            if info.is_file
        }

    def children(self) -> list[str]:
        """Names that begin with this prefix, up to their next slash."""
        return sorted(info.base_name for info in self._list(recursive=False))

    def _list(self, *, recursive: bool) -> list[Any]:
        from pyarrow import fs

        files, place = self.opened()
        with self._told():
            found = fs.FileSelector(place, allow_not_found=True, recursive=recursive)
            return list(files.get_file_info(found))

    def made(self, name: str) -> datetime | None:
        """When an object was made, by the store's clock; ``None`` where there is none."""
        files, place = self.opened()
        with self._told():
            time: datetime | None = files.get_file_info(f"{place}/{name}").mtime
            return time

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        files, place = self.opened()
        with self._told(), contextlib.suppress(FileNotFoundError):
            files.delete_file(f"{place}/{name}")

    def clear(self) -> None:
        """Remove everything that has this prefix."""
        files, place = self.opened()
        with self._told(), contextlib.suppress(FileNotFoundError):
            files.delete_dir(place)

    def opened(self) -> tuple[Any, str]:
        """PyArrow's file system, and this prefix in it."""
        with self._told():
            files, bucket = _opened(self.uri.split("/")[2])
        return files, bucket + self.uri.removeprefix(f"s3://{bucket}")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong at the store, in one line."""
        try:
            yield
        except (FileNotFoundError, InputError):
            raise
        except OSError as error:
            _, of_store, problem = _REQUEST_ID.sub("", str(error)).partition(STORES_WORDS)
            if not of_store:
                raise
            raise StoreError(
                f"{self.uri} cannot be used ({problem})",
                "the bucket must be there, answer, and let this machine read and write",
                "check its name, its region, and the credentials of this machine",
            ) from error


@functools.cache
def _opened(bucket: str) -> tuple[Any, str]:
    """Finding out a bucket's region takes a request."""
    from pyarrow import fs

    files, place = fs.FileSystem.from_uri(f"s3://{bucket}")
    return files, str(place)
