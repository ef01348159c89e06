"""Reading compressed input, so that what is damaged or cut off is noticed: a scan must not lose half of its targets.

A damaged file is an OSError, as a damaged disk would be, whatever the library raises.
"""

from __future__ import annotations

import errno
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

from smtpprobe.errors import MissingExtraError

CHUNK_BYTES: Final = 128 * 1024
"""Compressed bytes that are read at a time."""


@contextmanager
def unpacked(path: str, raw: IO[bytes]) -> Iterator[IO[bytes]]:
    """Give the contents of a file, decompressed where its name ends in ``.gz`` or ``.zst``.

    Raises:
        OSError: it is damaged or ends too early; raised from the block that reads it.
        MissingExtraError: it is compressed with zstd, which needs a package.
    """
    ending = path.lower().rpartition(".")[2]
    if ending not in ("gz", "zst"):
        yield raw
        return
    stream: Any
    damages: tuple[type[Exception], ...]
    if ending == "gz":
        stream, damages = gzip.GzipFile(fileobj=raw), (EOFError, gzip.BadGzipFile, zlib.error)
    else:
        try:
            import zstandard
        except ImportError:
            raise MissingExtraError("reading .zst", "scan") from None
        stream = io.BufferedReader(ZstdFrames(raw, zstandard.ZstdDecompressor()))
        damages = (EOFError, zstandard.ZstdError)
    try:
        yield stream
    except damages as error:
        why = "it ends too early" if isinstance(error, EOFError) else str(error)
        raise OSError(errno.EIO, f"the compressed data is damaged: {why}", path) from error


class ZstdFrames(io.RawIOBase):
    """Frames one after another (RFC 8878 3); unlike the library's own reader it tells where the last one is cut off."""

    def __init__(self, raw: IO[bytes], decompressor: Any) -> None:
        self._raw = raw
        self._decompressor = decompressor
        self._frame: Any = None
        self._packed = b""
        self._plain = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._plain:
            packed = self._packed or self._raw.read(CHUNK_BYTES)
            self._packed = b""
            if not packed:
                if self._frame is not None:
                    raise EOFError
                return 0
            if self._frame is None:
                self._frame = self._decompressor.decompressobj()
            self._plain = memoryview(self._frame.decompress(packed))
            if self._frame.eof:
                self._packed, self._frame = self._frame.unused_data, None
        count = min(len(buffer), len(self._plain))
        buffer[:count] = self._plain[:count]
        self._plain = self._plain[count:]
        return count
