"""Turns at servers, where several probes run at once: one talks to an endpoint, the others wait.

Many domains have their mail at the same host. A server that sees one client several times at once may put it off for
that (`too many connections`), which would say something of the probe and nothing of the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from smtpprobe.evidence import Endpoint


class Turns:
    """The turns that the probes of one event loop share."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, int], asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def at(self, endpoint: Endpoint, *, patience_s: float) -> AsyncIterator[None]:
        """Wait for a turn at an endpoint, and have it.

        Args:
            patience_s: who has waited so long goes on all the same, since a probe has a deadline.
        """
        lock = self._locks.setdefault((endpoint.address, endpoint.port), asyncio.Lock())
        try:
            async with asyncio.timeout(patience_s):
                await lock.acquire()
        except TimeoutError:
            yield
            return
        try:
            yield
        finally:
            lock.release()
