"""Turns at servers, within a probe and where several run at once: one talks to an endpoint, the others wait.

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
    """Turns that are shared, by all who have this value; they are on one event loop."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, int], asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def at(self, endpoint: Endpoint, *, patience_s: float | None = None) -> AsyncIterator[None]:
        """Wait for a turn at an endpoint, and have it.

        Args:
            patience_s: who has waited so long goes on all the same, since a probe has a deadline; None: nobody does.
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
