"""Politeness: who may be talked to now.

One connection at a time to an address, a pause before the next, few at once into one network and to one provider, no
more at once and per second than asked for, and longer and longer pauses where a server says that it is too much (421,
4yz) or does not let us in. Whoever must wait is set aside and costs nothing until then.

Pure: the time comes in, decisions go out. Times are seconds on one monotonic clock.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import Final

import msgspec

MAX_BACK_OFF_S: Final = 600.0
"""Seconds. The longest pause after an address has put us off again and again."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much at once, and how often."""

    concurrency: int = 500
    """Connections open at once."""
    rate: float | None = None
    """Connections begun per second; None: as many as there is room for."""
    per_host_interval_s: float = 1.0
    """The pause between the end of a connection to an address and the next one to it."""
    per_network: int = 8
    """Connections at once into one /24, or one /48 of IPv6."""
    per_provider: int = 32
    """Connections at once to the hosts of one provider: those under one registered name."""
    back_off_s: float = 30.0
    """The pause for an address that has put us off; doubled each time, up to `MAX_BACK_OFF_S`."""


class Job(msgspec.Struct, frozen=True):
    """One connection to make."""

    id: str
    """Of whoever offers it."""
    address: str
    network: str
    provider: str | None
    """None where the host has no name."""


def network_of(address: str) -> str:
    """The network that an address counts for: its /24, or /48 of IPv6."""
    if ":" not in address:
        return address[: address.rindex(".")]
    from ipaddress import ip_address

    return ip_address(address).exploded[:14]


class Pace:
    """The jobs that wait, and what runs."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._ready: deque[Job] = deque()
        self._behind_address: dict[str, deque[Job]] = {}
        self._behind_network: dict[str, deque[Job]] = {}
        self._behind_provider: dict[str, deque[Job]] = {}
        self._addresses: set[str] = set()
        """Busy or resting."""
        self._networks: dict[str, int] = {}
        self._providers: dict[str, int] = {}
        self._resting: list[tuple[float, str]] = []
        """Heap: when an address may be talked to again."""
        self._put_off: dict[str, int] = {}
        """How often in a row an address has put us off; few do."""
        self._next_start_s = 0.0
        self.running = 0
        self.waiting = 0

    def offer(self, job: Job) -> None:
        """Add a job."""
        self._ready.append(job)
        self.waiting += 1

    def take(self, now_s: float) -> Job | None:
        """Give a job that may begin now, which counts as running from then on; None where there is none."""
        limits = self._limits
        if self._resting and self._resting[0][0] <= now_s:
            self._wake(now_s)
        if self.running >= limits.concurrency or (limits.rate is not None and now_s < self._next_start_s):
            return None
        ready = self._ready
        while ready:
            job = ready.popleft()
            if job.address in self._addresses:
                self._behind_address.setdefault(job.address, deque()).append(job)
                self._pass_on(job)
            elif self._networks.get(job.network, 0) >= limits.per_network:
                self._behind_network.setdefault(job.network, deque()).append(job)
                self._pass_on(job)
            elif job.provider is not None and self._providers.get(job.provider, 0) >= limits.per_provider:
                self._behind_provider.setdefault(job.provider, deque()).append(job)
                self._pass_on(job)
            else:
                self._begin(job, now_s)
                return job
        return None

    def next_s(self) -> float | None:
        """When `take` may have something again although nothing has ended till then; None: not before."""
        if self.running >= self._limits.concurrency:
            return None
        times = []
        if self._ready and self._limits.rate is not None:
            times.append(self._next_start_s)
        if self._resting:
            times.append(self._resting[0][0])
        return min(times, default=None)

    def done(self, job: Job, now_s: float, *, is_put_off: bool = False) -> None:
        """Note that a job has ended.

        Args:
            is_put_off: the server said that it was too much, or did not let us in.
        """
        self.running -= 1
        _count_down(self._networks, job.network)
        self._release(self._behind_network, job.network)
        if job.provider is not None:
            _count_down(self._providers, job.provider)
            self._release(self._behind_provider, job.provider)
        pause_s = self._limits.per_host_interval_s
        if is_put_off:
            times = self._put_off[job.address] = self._put_off.get(job.address, 0) + 1
            pause_s = max(pause_s, min(MAX_BACK_OFF_S, self._limits.back_off_s * 2.0 ** (times - 1)))
        elif self._put_off:
            self._put_off.pop(job.address, None)
        if pause_s > 0:
            heappush(self._resting, (now_s + pause_s, job.address))
        else:
            self._wake_address(job.address)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _begin(self, job: Job, now_s: float) -> None:
        self.waiting -= 1
        self.running += 1
        self._addresses.add(job.address)
        self._networks[job.network] = self._networks.get(job.network, 0) + 1
        if job.provider is not None:
            self._providers[job.provider] = self._providers.get(job.provider, 0) + 1
        if self._limits.rate is not None:
            # No more than one start is saved up, for a timer that is late: after a lull no burst follows.
            self._next_start_s = max(self._next_start_s, now_s - 1 / self._limits.rate) + 1 / self._limits.rate

    def _wake(self, now_s: float) -> None:
        while self._resting and self._resting[0][0] <= now_s:
            self._wake_address(heappop(self._resting)[1])

    def _wake_address(self, address: str) -> None:
        self._addresses.discard(address)
        self._release(self._behind_address, address)

    def _pass_on(self, job: Job) -> None:
        """A job that was let in where there was room waits for something else: the next one may have the room."""
        if job.address in self._behind_address and job.address not in self._addresses:
            self._release(self._behind_address, job.address)
        if job.network in self._behind_network and self._networks.get(job.network, 0) < self._limits.per_network:
            self._release(self._behind_network, job.network)
        provider = job.provider
        if provider in self._behind_provider and self._providers.get(provider or "", 0) < self._limits.per_provider:
            self._release(self._behind_provider, provider or "")

    def _release(self, behind: dict[str, deque[Job]], key: str) -> None:
        """Let the first of those who waited try again; it lets the next one in when it ends."""
        queue = behind.get(key)
        if queue is not None:
            self._ready.appendleft(queue.popleft())
            if not queue:
                del behind[key]


def _count_down(counts: dict[str, int], key: str) -> None:
    left = counts[key] - 1
    if left:
        counts[key] = left
    else:
        del counts[key]
