"""The right to talk to the servers of a bucket, which one process in the whole cluster has at a time.

When a machine is lost, another one does its work again. But lost may only mean that nobody hears of it: then it still
talks to servers, and a second one beside it would be a second connection to the same address. So who works on a
bucket holds a lease, a file in the common folder that it writes anew every few seconds. Who comes later watches that
file and begins only when it has not changed for `Terms.lasts_s`; who holds it and has not been able to renew it
begins no more connections after two thirds of that time, and breaks off those that are open. Each goes by its own
clock, so the clocks of the machines need not agree.

What this cannot do: a machine that is frozen as a whole (a paused virtual machine) does not notice how much time goes
by; what it had open stays open until it wakes and looks. And the common folder must show to one machine what another
has written within a third of that time: disks, S3, GCS, Azure and NFS with default options do; a folder that is
synchronised now and then does not. Nor are two told apart that find a bucket which nobody has at the very same
moment: that a scheduler gives a bucket to one worker at a time must see to, and two schedulers cannot.

Files and clocks only; nothing here knows what the lease is for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final
from uuid import uuid4

import msgspec

from smtpprobe.scan.store import Store

PARTS: Final = 3
"""A lease is renewed each third of its time; with two thirds over, its holder stops."""


class LeaseLostError(Exception):
    """Somebody else has it now."""


class Terms(msgspec.Struct, frozen=True):
    """How long a lease lasts that is not renewed."""

    lasts_s: float = 15.0

    @property
    def beat_s(self) -> float:
        """How often it is renewed or looked at."""
        return self.lasts_s / PARTS


class Lease:
    """One process's side of it.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, store: Store, name: str, terms: Terms, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._name = name
        self._terms = terms
        self._clock = clock
        self._token = uuid4().hex.encode()
        self._count = 0
        self._renewed_s: float | None = None
        self._seen: bytes | None = None
        self._seen_s = 0.0
        self._is_claimed = False

    def acquire(self) -> bool:
        """Try to get it. Call this again after a beat as long as it says no.

        Returns:
            Whether it is ours. That takes a second call where somebody else had it: who wrote last has it.
        """
        now_s = self._clock()
        found = self._store.get(self._name)
        if self._is_claimed and found is not None and found.startswith(self._token):
            self._write()
            return True
        self._is_claimed = False
        if found is None:
            self._write()
            return True
        if found != self._seen:
            self._seen, self._seen_s = found, now_s
        elif now_s - self._seen_s >= self._terms.lasts_s:
            self._write()
            self._renewed_s = None  # not ours before it is seen to have stayed so
            self._is_claimed = True
        return False

    def renew(self) -> None:
        """Say that we are still there.

        Raises:
            LeaseLostError: it is somebody else's, or was not renewed for so long that it may be.
            OSError: the folder cannot be reached; `holds` says how long that does not matter.
        """
        found = self._store.get(self._name)
        if not self.holds() or found is None or not found.startswith(self._token):
            self._renewed_s = None
            raise LeaseLostError(self._name)
        self._write()

    def holds(self) -> bool:
        """Say whether it is certain that nobody else has it."""
        now_s = self._clock()
        return self._renewed_s is not None and now_s - self._renewed_s < self._terms.lasts_s - self._terms.beat_s

    def release(self) -> None:
        """Let others have it at once."""
        if self.holds():
            self._renewed_s = None
            self._store.remove(self._name)

    def _write(self) -> None:
        began_s = self._clock()  # from before: a write that takes long is seen by others when it begins to count
        self._count += 1
        self._store.put(self._name, self._token + b" %d" % self._count)
        self._renewed_s = began_s
