"""Writing files so that nobody ever finds half of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from smtpprobe.errors import SmtpprobeError

DRAFT_NAME: Final = 32
"""So many characters of the name of a file are in that of its draft, which must not be too long where that is not."""


@contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """Open a file to be written whole: it takes its place in the end, and only if nothing went wrong.

    Until then the bytes are in a file beside it. A link is followed; what is no regular file, such as ``/dev/stdout``,
    is written to directly.

    Raises:
        SmtpprobeError: it cannot be written, or the disk is full; what stood there before is untouched. Whoever writes
            has `blaming` say the same of that.
    """
    target = Path(os.path.realpath(path))
    # Asked of the name itself, since a pipe behind /dev/stdout has no path of its own.
    if os.path.exists(path) and not os.path.isfile(path):
        with blaming(path):
            stream = open(path, "wb")  # noqa: SIM115 - closed below
        with _closed(stream, path):
            yield stream
        return
    # What a process that was killed left behind is in nobody's way; in a container all have the same number.
    draft = target.with_name(f".{target.name[:DRAFT_NAME]}.{os.getpid()}-{os.urandom(4).hex()}.part")
    with blaming(path):
        stream = draft.open("xb")
    try:
        with _closed(stream, path, is_kept=True):
            yield stream
        with blaming(path):
            draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@contextmanager
def _closed(stream: BinaryIO, path: str, is_kept: bool = False) -> Iterator[None]:
    """Close a stream in the end, with all that is in it on the disk if it is to be kept."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # which would hide what went wrong before
            stream.close()
        raise
    with blaming(path):
        try:
            stream.flush()
            if is_kept:
                os.fsync(stream.fileno())
        finally:
            stream.close()


@contextmanager
def blaming(path: str) -> Iterator[None]:
    """Name the file in what the system complains about."""
    try:
        yield
    except OSError as error:
        raise SmtpprobeError(f"{path}: {error.strerror or error}") from error
