"""The folder that all machines of a scan share: a path, or whatever fsspec reaches; the one importer of fsspec.

A file is there whole or not at all. On a disk it is written beside its place and renamed; an object store shows an
object only once it is complete, and the copy that stands for a rename there does too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from smtpprobe.errors import MissingExtraError, OptionError
from smtpprobe.names import quoted
from smtpprobe.scan.shuffling import read_span, span_at

DRAFTS = "_scan/drafts"
"""Where files are that are being written. Readers of such folders pass over names that begin with ``_``."""


class Store:
    """Files by their name below one folder."""

    def __init__(self, url: str) -> None:
        """Reach it; nothing is made yet.

        Raises:
            OptionError: there is no such kind of place, or its package is missing.
            MissingExtraError: fsspec is not installed.
        """
        try:
            from fsspec.core import url_to_fs
            from fsspec.implementations.local import LocalFileSystem
        except ImportError:
            raise MissingExtraError("scanning with Dask", "dask") from None
        self.url = url
        try:
            self._fs, self._root = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise OptionError(f"cannot write to {quoted(url)}: {error}") from error
        self._is_local = isinstance(self._fs, LocalFileSystem)
        self._made: set[str] = set()
        """Folders that are there."""

    @staticmethod
    def absolute(url: str) -> str:
        """A place by a name that means the same in every process."""
        return url if "://" in url or "::" in url else os.path.abspath(url)

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}" if name else str(self._root)

    def put(self, name: str, data: bytes) -> None:
        """Write a file, in place of what may be there.

        Raises:
            OSError: it cannot be written; what was there is untouched.
        """
        path, draft = self._path(name), self._path(f"{DRAFTS}/{uuid4().hex}")
        for folder in {path.rpartition("/")[0], draft.rpartition("/")[0]} - self._made:
            self._fs.makedirs(folder, exist_ok=True)
            self._made.add(folder)
        try:
            self._fs.pipe_file(draft, data)
            if self._is_local:
                os.replace(draft, path)
            else:
                self._fs.mv(draft, path)
        except BaseException:
            with suppress(OSError):
                self._fs.rm_file(draft)
            raise

    def get(self, name: str) -> bytes | None:
        """Read a file; None where there is none."""
        try:
            data: bytes = self._fs.cat_file(self._path(name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return data

    def read(self, name: str) -> bytes:
        """Read a file that must be there.

        Raises:
            OSError: it is not.
        """
        data: bytes = self._fs.cat_file(self._path(name))
        return data

    def sections(self, names: Sequence[str], number: int) -> list[bytes]:
        """Read the section of that number from each file, and nothing else of them."""
        paths = [self._path(each) for each in names]
        begin, end = span_at(number)
        spans = [read_span(each) for each in self._ranges(paths, [begin] * len(paths), [end] * len(paths))]
        wanted = [index for index, (begin, end) in enumerate(spans) if end > begin]
        found = self._ranges(
            [paths[index] for index in wanted],
            [spans[index][0] for index in wanted],
            [spans[index][1] for index in wanted],
        )
        sections = [b""] * len(paths)
        for index, data in zip(wanted, found, strict=True):
            sections[index] = data
        return sections

    def _ranges(self, paths: list[str], starts: list[int], ends: list[int]) -> list[bytes]:
        found: list[bytes] = self._fs.cat_ranges(paths, starts, ends, on_error="raise") if paths else []
        return found

    def names(self, folder: str) -> list[str]:
        """The files in a folder, in order; none where it does not exist."""
        path = self._path(folder)
        self._fs.invalidate_cache(path)
        try:
            found: list[Any] = self._fs.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        prefix = f"{folder}/" if folder else ""
        return sorted(prefix + each["name"].rstrip("/").rpartition("/")[2] for each in found if each["type"] == "file")

    def remove_if_empty(self) -> None:
        """Remove the folder itself where nothing is in it; an object store has no empty folders."""
        if self._is_local:
            with suppress(OSError):
                os.rmdir(self._root)

    def remove(self, name: str) -> None:
        """Remove a file or a folder, if it is there."""
        path = self._path(name)
        self._made.clear()
        with suppress(FileNotFoundError):
            self._fs.rm(path, recursive=True)
