"""Probes that are made again and again beside the program, at the pace of `watching.Pace`.

As with `background.Probes`, a thread with an event loop talks to the network and the main thread judges and prints. The
next probe of a target waits until the program has done with the last one, so nothing piles up behind a slow reader.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count as counting
from queue import SimpleQueue
from types import TracebackType
from typing import NamedTuple, Self

from smtpprobe.cli.background import AT_ONCE, PATIENCE_S, new_event_loop
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


class RepeatedProbes:
    """The probes of several targets; iterate over it for what they find, and call `done` after each."""

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
        self._targets = targets
        self._options = options
        self._pace = pace
        self._count = count
        self._for_s = for_s
        self._events: SimpleQueue[Seen | BaseException | None] = SimpleQueue()
        self._loop = new_event_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self._reported = [asyncio.Event() for _ in targets]
        self._freed = asyncio.Event()
        """Set, and replaced, whenever a probe has ended."""
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._is_stopped = False
        # A daemon, so that a second Ctrl-C ends the program at once.
        self._thread = threading.Thread(target=self._run, name="probes", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        if not isinstance(error, KeyboardInterrupt):
            self._thread.join(PATIENCE_S)

    def __iter__(self) -> Iterator[Seen]:
        """Give each probe when it is over, whichever comes first; ends when all have ended or `stop` was called.

        Raises:
            OptionError: an option turned out to be unusable, as a CA file that is none.
        """
        while (event := self._events.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event

    def done(self, number: int) -> None:
        """Let the next probe of a target begin at its time."""
        self._call(self._reported[number].set)

    def stop(self) -> None:
        """End all probes now; one that is under way comes to nothing. Can be called from a signal."""
        self._call(self._cancel)

    def _call(self, function: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop is closed: there is nothing left to be told
            return

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _cancel(self) -> None:
        self._is_stopped = True
        for task in self._tasks:
            task.cancel()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._probe_all())
        except BaseException as error:  # noqa: BLE001 - it is raised again in the main thread
            self._events.put(error)
        self._events.put(None)

    async def _probe_all(self) -> None:
        if self._for_s is not None:
            self._loop.call_later(self._for_s, self._cancel)
        self._tasks = [asyncio.create_task(self._repeat(*each)) for each in enumerate(self._targets)]
        if self._is_stopped:
            self._cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

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
