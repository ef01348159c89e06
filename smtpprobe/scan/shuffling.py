"""Which machine talks to which endpoints, and how much it may do: the arithmetic of a distributed scan.

Endpoints are dealt out by network, not by address: then no two buckets share an address or a network, and whoever has
a bucket to itself keeps the limits of both for the whole cluster. What cannot be dealt out so, the connections at
once, the rate and the connections to one provider, is shared out: the shares of what runs never come to more than the
whole.

Data goes from the parts of one stage to those of the next in files of sections, one section a reader. A header says
where each begins, so that a reader fetches only its own, and a stage of N parts writes N files rather than N times M.

Pure.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Final, TypeVar

import msgspec

from smtpprobe.scan.pace import Limits, network_of

T = TypeVar("T")

_OFFSET: Final = struct.Struct("<Q")
_SPAN: Final = struct.Struct("<QQ")

LEVEL: Final = 1
"""Of zlib: conversations are full of repetitions, and the fastest level finds most of them."""

BUCKETS_PER_SLOT: Final = 2
"""One more than there is room for at once: who is done early finds more to do. Not many more: each bucket has its slow
servers, for which the room waits that it has."""

TARGETS_PER_BUCKET: Final = 20_000
"""What a bucket makes is held in memory until it is complete: some ten thousand conversations of a few kilobytes."""


def bucket_of(address: str, buckets: int) -> int:
    """Say which bucket an address belongs to: the same on every machine and for the whole of its network."""
    return zlib.crc32(network_of(address).encode()) % buckets


def count_buckets(targets: int, slots: int) -> int:
    """Say into how many buckets the endpoints of a scan go.

    Args:
        slots: so many can be worked on at once.
    """
    return max(1, BUCKETS_PER_SLOT * slots, -(-targets // TARGETS_PER_BUCKET))


# --- files of sections ----------------------------------------------------------------------------------------------


def pack(sections: Sequence[bytes]) -> bytes:
    """Write a file of sections."""
    at = _OFFSET.size * (len(sections) + 1)
    offsets = [at]
    for each in sections:
        at += len(each)
        offsets.append(at)
    return b"".join([*map(_OFFSET.pack, offsets), *sections])


def span_at(number: int) -> tuple[int, int]:
    """Say which bytes of a file tell where a section lies: from, to."""
    return _OFFSET.size * number, _OFFSET.size * (number + 2)


def read_span(raw: bytes) -> tuple[int, int]:
    """Read those bytes: where the section begins and ends."""
    begin, end = _SPAN.unpack(raw)
    return begin, end


def squeeze(value: Any) -> bytes:
    """Write a value as a section; one that is empty takes no bytes."""
    return zlib.compress(msgspec.msgpack.encode(value), LEVEL) if value else b""


def unsqueeze(raw: bytes, kind: type[T], empty: Callable[[], T]) -> T:
    """Read a section back."""
    return msgspec.msgpack.decode(zlib.decompress(raw), type=kind) if raw else empty()


# --- shares ---------------------------------------------------------------------------------------------------------


class Share(msgspec.Struct, frozen=True):
    """What one bucket may do while it runs."""

    part: Fraction
    limits: Limits


class Shares:
    """The limits of the whole scan, shared out among what runs, however many workers come and go meanwhile."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = Fraction(1)
        self.concurrency = limits.concurrency
        self.most = min(limits.concurrency, limits.per_provider)
        """So many shares at once at most, of one connection each."""

    def take(self, slots: int) -> Share | None:
        """Take a share as large as fits so many at once; None where what is given out leaves too little."""
        part = Fraction(1, max(1, min(slots, self.most)))
        if part > self._left:
            return None
        self._left -= part
        whole = self._limits
        # Rounded down, so that the sum stays below the whole; never to nothing, as 1 / part is not above either.
        return Share(
            part,
            msgspec.structs.replace(
                whole,
                concurrency=int(whole.concurrency * part),
                per_provider=int(whole.per_provider * part),
                rate=None if whole.rate is None else float(whole.rate * part),
            ),
        )

    def give_back(self, share: Share) -> None:
        """Have a share back whose bucket has ended."""
        self._left += share.part
