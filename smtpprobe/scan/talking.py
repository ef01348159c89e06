"""Talking to a set of endpoints at the pace that is allowed, for as long as it is.

The part of `engine` that one bucket of a distributed scan needs: no targets, no journal, one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from smtpprobe.evidence import Endpoint
from smtpprobe.scan.engine import Work, provider_of
from smtpprobe.scan.pace import Job, Limits, Pace, network_of
from smtpprobe.scan.worker import Probed

TICK_S: Final = 0.25
"""How often it is looked whether talking is still allowed, besides before each connection."""


class NotAllowedError(Exception):
    """Talking is not allowed any more."""


class Talking:
    """Talks to endpoints.

    Args:
        is_allowed: whether a connection may be begun, and those that are open may stay.
        tell: is told the key of an endpoint and what came of talking to it.
    """

    def __init__(
        self, work: Work, limits: Limits, is_allowed: Callable[[], bool], tell: Callable[[str, Probed], None]
    ) -> None:
        self._work = work
        self._pace = Pace(limits)
        self._is_allowed = is_allowed
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._endpoints: dict[str, Endpoint] = {}
        """Those that have not ended, by key."""
        self._timer: asyncio.TimerHandle | None = None
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._is_stopping = False

    def offer(self, key: str, endpoint: Endpoint) -> None:
        """Add an endpoint, before `run`."""
        self._endpoints[key] = endpoint
        self._pace.offer(Job(key, endpoint.address, network_of(endpoint.address), provider_of(endpoint.name)))

    def stop(self) -> None:
        """Begin nothing more; what runs comes to its end."""
        self._is_stopping = True
        self._look_for_end()

    async def run(self) -> bool:
        """Talk until all is done, or until stopped.

        Returns:
            Whether all were talked to.

        Raises:
            NotAllowedError: talking was forbidden meanwhile. The caller breaks off what is open.
        """
        self._begin()
        self._look_for_end()
        while not self._over.done():
            await asyncio.wait((self._over,), timeout=TICK_S)
            if not self._is_allowed():
                self._forbid()
        if self._timer is not None:
            self._timer.cancel()
        self._over.result()
        return not self._pace.waiting

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while not self._is_stopping and not self._over.done():
            if not self._is_allowed():
                self._forbid()
                return
            job = self._pace.take(time.monotonic())
            if job is None:
                break
            self._work.probe(self._endpoints[job.id], partial(self._ended, job))
        next_s = self._pace.next_s()
        if next_s is not None and not self._over.done():
            self._timer = self._loop.call_later(max(0.0, next_s - time.monotonic()), self._begin)

    def _ended(self, job: Job, probed: Probed) -> None:
        del self._endpoints[job.id]
        if self._over.done():
            return
        self._pace.done(job, time.monotonic(), is_put_off=probed.is_put_off)
        self._tell(job.id, probed)
        self._begin()
        self._look_for_end()

    def _look_for_end(self) -> None:
        is_idle = not self._pace.running and (self._is_stopping or not self._pace.waiting)
        if is_idle and not self._over.done():
            self._over.set_result(None)

    def _forbid(self) -> None:
        if not self._over.done():
            self._over.set_exception(NotAllowedError())
