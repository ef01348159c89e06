"""Counting how many different things there are among any number, in memory that does not grow with it.

Up to a limit the count is exact. Beyond it, it is an estimate by HyperLogLog (Flajolet et al., 2007) with a standard
error of 1.04 / sqrt(2 ** `PRECISION`), less than one per cent, and says that it is one.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Final

MAX_EXACT: Final = 50_000
"""So many are remembered one by one: a few megabytes."""

PRECISION: Final = 14
"""Bits of a hash that choose its register: 16384 registers, a standard error of 0.8 %."""

_REGISTERS: Final = 1 << PRECISION
_REST_BITS: Final = 64 - PRECISION
_ALPHA: Final = 0.7213 / (1 + 1.079 / _REGISTERS)
"""The constant that takes the bias out of the harmonic mean, for 128 registers or more."""


class Distinct:
    """A set that only knows how large it is."""

    def __init__(self, max_exact: int = MAX_EXACT) -> None:
        self._max_exact = max_exact
        self._hashes: set[int] = set()
        self._registers: bytearray | None = None

    def add(self, text: str) -> None:
        """Count a text, unless it was counted before."""
        hashed = int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
        if self._registers is not None:
            self._note(hashed, self._registers)
            return
        self._hashes.add(hashed)
        if len(self._hashes) > self._max_exact:
            self._registers = bytearray(_REGISTERS)
            for each in self._hashes:
                self._note(each, self._registers)
            self._hashes.clear()

    @staticmethod
    def _note(hashed: int, registers: bytearray) -> None:
        """Keep for each register the longest run of zeros that its hashes begin with, and one more."""
        index = hashed >> _REST_BITS
        rank = _REST_BITS - (hashed & ((1 << _REST_BITS) - 1)).bit_length() + 1
        if rank > registers[index]:
            registers[index] = rank

    @property
    def is_exact(self) -> bool:
        """The count is no estimate."""
        return self._registers is None

    @property
    def count(self) -> int:
        """How many different texts were added."""
        if self._registers is None:
            return len(self._hashes)
        estimate = _ALPHA * _REGISTERS**2 / math.fsum(2.0**-rank for rank in self._registers)
        empty = self._registers.count(0)
        if estimate <= 2.5 * _REGISTERS and empty:  # few for so many registers: counting empty ones is better
            estimate = _REGISTERS * math.log(_REGISTERS / empty)
        return round(estimate)
