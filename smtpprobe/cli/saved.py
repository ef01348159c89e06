"""Reading evidence that was saved, in whatever wrapping smtpprobe once wrote it."""

from __future__ import annotations

import sys
from typing import BinaryIO, Final

import msgspec

from smtpprobe.errors import EvidenceError
from smtpprobe.evidence import Evidence
from smtpprobe.loading import decode

MAX_BYTES: Final = 512 * 1024 * 1024
"""Of one file, which is read as a whole: some ten thousand targets."""
CHUNK_BYTES: Final = 1024 * 1024


class _Holder(msgspec.Struct):
    """A report, of which only the evidence is of interest."""

    evidence: msgspec.Raw


class _Head(msgspec.Struct):
    """What tells a report, and several reports, from evidence, which has neither field."""

    evidence: msgspec.Raw = msgspec.Raw()
    reports: tuple[_Holder, ...] = ()


_UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
"""RecursionError: braces within braces without end."""


def read_evidence(file: str) -> list[Evidence]:
    """Read all evidence of a file; ``-`` is the standard input.

    Raises:
        EvidenceError: it cannot be read, holds none, or holds something else; the message names file and line.
    """
    name = "standard input" if file == "-" else file
    try:
        if file == "-":
            data = _read(sys.stdin.buffer)
        else:
            with open(file, "rb") as stream:
                data = _read(stream)
        return _documents(data)
    except OSError as error:
        raise EvidenceError(f"{name}: {error.strerror}") from error
    except EvidenceError as error:
        raise EvidenceError(f"{name}: {error}") from error


def _read(stream: BinaryIO) -> bytes:
    found, size = [], 0
    while data := stream.read(CHUNK_BYTES):
        found.append(data)
        size += len(data)
        if size > MAX_BYTES:
            raise EvidenceError(f"it has more than {MAX_BYTES // 1024 // 1024} MiB; split it, one target a line")
    return b"".join(found)


def _documents(data: bytes) -> list[Evidence]:
    """Read one document, however it is laid out, or else one a line."""
    lines = [(number, line) for number, line in enumerate(data.splitlines(), 1) if line.strip()]
    if not lines:
        raise EvidenceError("there is no evidence in it")
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except _UNREADABLE:
        found = []
        for number, line in lines:
            try:
                found.extend(_evidence_in(line))
            except EvidenceError as error:
                raise EvidenceError(f"line {number}: {error}" if len(lines) > 1 else str(error)) from error
        return found
    return _evidence_in(data)


def _evidence_in(document: bytes) -> list[Evidence]:
    """The evidence that one document is or holds."""
    try:
        head = msgspec.json.decode(document, type=_Head)
    except _UNREADABLE:
        return [decode(document)]  # which says what is wrong
    held = [each.evidence for each in head.reports] or [head.evidence]
    return [decode(bytes(each)) for each in held if each] or [decode(document)]
