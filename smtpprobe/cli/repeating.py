"""Probes that are made again and again beside the program, at the pace of `watching.Pace`.

As with `background.Probes`, a thread with an event loop talks to the network and the main thread judges and prints. The
next probe of a target waits until the program has done with the last one, so nothing piles up behind a slow reader.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count as counting
from queue import SimpleQueue
from typing import NamedTuple

from smtpprobe.cli.background import AT_ONCE
from smtpprobe.cli.beside import Beside, next_of
from smtpprobe.evidence import Evidence, Options, Target
from smtpprobe.probing import Progress, Resolved, collect
from smtpprobe.watching import Pace, put_off_by


class Seen(NamedTuple):
    """One probe of one target."""

    number: int
    """Which target, by its place among them."""
    evidence: Evidence
    pause_s: float
    """Until the next probe of the target may begin."""


class _NotYetError(Exception):
    """An address is to be left alone for now."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s


class RepeatedProbes(Beside):
    """The probes of several targets; iterate over it for what they find, and call `done` after each.

    Of one that is under way when they are stopped nothing comes.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        options: Sequence[Options],
        pace: Pace,
        *,
        count: int | None = None,
        for_s: float | None = None,
    ) -> None:
        """Prepare them; they begin with the context.

        Args:
            options: of each target.
            count: so many probes of each target; None: without end.
            for_s: end after so many seconds; None: never.
        """
        super().__init__()
        self._targets = targets
        self._options = options
        self._pace = pace
        self._count = count
        self._for_s = for_s
        self._events: SimpleQueue[Seen | BaseException | None] = SimpleQueue()
        self._reported = [asyncio.Event() for _ in targets]
        self._freed = asyncio.Event()
        """Set, and replaced, whenever a probe has ended."""
        self._at_once = asyncio.Semaphore(AT_ONCE)

    def __iter__(self) -> Iterator[Seen]:
        """Give each probe when it is over, whichever comes first; ends when all have ended or `stop` was called.

        Raises:
            OptionError: an option turned out to be unusable, as a CA file that is none.
        """
        while (event := next_of(self._events)) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event

    def done(self, number: int) -> None:
        """Let the next probe of a target begin at its time."""
        self._call(self._reported[number].set)

    # --- in the thread ----------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        if self._for_s is not None:
            self._loop.call_later(self._for_s, self._cancel)
        for outcome in await self._all(self._repeat(*each) for each in enumerate(self._targets)):
            if isinstance(outcome, Exception):
                raise outcome

    def _ended(self, error: BaseException | None) -> None:
        if error is not None:
            self._events.put(error)
        self._events.put(None)

    async def _repeat(self, number: int, target: Target) -> None:
        try:
            for _ in counting() if self._count is None else range(self._count):
                evidence = await self._probe(number, target)
                if evidence.is_interrupted:
                    return
                pause_s = self._pace.end(number, put_off_by(evidence), self._loop.time())
                self._wake()
                self._events.put(Seen(number, evidence, pause_s))
                await self._reported[number].wait()
                self._reported[number].clear()
        except Exception:
            self._cancel()  # an option that cannot be used is a mistake of the caller, and the end of all
            raise

    async def _probe(self, number: int, target: Target) -> Evidence:
        while True:
            await asyncio.sleep(max(0.0, self._pace.due_s(number) - self._loop.time()))
            async with self._at_once:
                freed = self._freed
                try:
                    return await collect(target, self._options[number], on_progress=partial(self._admit, number))
                except _NotYetError as error:
                    wait_s = error.wait_s
            if wait_s == math.inf:
                await freed.wait()
            else:
                await asyncio.sleep(wait_s)

    def _admit(self, number: int, progress: Progress) -> None:
        """Once the addresses are known, begin, or put the probe off before anybody is connected to."""
        if isinstance(progress, Resolved):
            addresses = (each.address for each in progress.endpoints)
            wait_s = self._pace.begin(number, addresses, self._loop.time())
            if wait_s > 0:
                raise _NotYetError(wait_s)

    def _wake(self) -> None:
        self._freed.set()
        self._freed = asyncio.Event()
