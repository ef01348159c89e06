"""Probes that run beside the program: in a thread with an event loop, while the main thread prints.

So neither a slow terminal nor the judging of one target falsifies the times that are measured on another, and Ctrl-C
reaches somebody who can answer. Evidence is handed over in the order of the targets, as soon as it is there.

What judging and printing take is loaded in the main thread, too, while the network is waited for. Threads of Python
take turns, and these take short ones: so a time that falls into the loading is recorded a few milliseconds late.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from types import TracebackType
from typing import Final, NamedTuple, Self

from smtpprobe.cli.beside import Beside, next_of
from smtpprobe.evidence import Evidence, Options, Target
from smtpprobe.opening import Openings
from smtpprobe.probing import Decided, Progress, collect
from smtpprobe.turns import Turns

AT_ONCE: Final = 16
"""So many targets are probed at once: each may have `Options.concurrency` connections open."""
AHEAD: Final = 256
"""So many targets may be begun after the one whose report is due: what is held in memory."""
TURN_S: Final = 0.0005
"""Seconds after which a thread that does not wait for anything lets another one run."""


class Stage(NamedTuple):
    """The evidence of one target, whole or nearly so."""

    evidence: Evidence
    is_final: bool
    """False: all is known but how servers answer QUIT; the final evidence comes next."""
    number: int = 0
    """The place of its target among those that were asked for."""


class _Ended(NamedTuple):
    number: int
    evidence: Evidence | None
    """None: it was stopped before it began."""


class _Step(NamedTuple):
    number: int
    progress: Progress


class _Broken(NamedTuple):
    error: BaseException


class Probes(Beside):
    """The probes of several targets; iterate over it for what they find, and what was known when they were stopped."""

    def __init__(
        self,
        targets: Sequence[Target],
        options: Options | Sequence[Options],
        *,
        on_progress: Callable[[int, Progress], None] | None = None,
        on_due: Callable[[int], None] | None = None,
        openings: Openings | None = None,
    ) -> None:
        """Prepare them; they begin with the context.

        Args:
            options: of all targets, or one for each.
            on_progress: told what happens to which target, by its place in `targets`.
            on_due: told which target is waited for from now on.
            openings: connections that set out for the first target.
        """
        super().__init__()
        self._targets = targets
        self._options = [options] * len(targets) if isinstance(options, Options) else list(options)
        self._on_progress = on_progress
        self._on_due = on_due
        self._openings = openings
        self._events: SimpleQueue[_Ended | _Step | _Broken] = SimpleQueue()
        self._usual_turn_s = sys.getswitchinterval()
        self._ahead = asyncio.Semaphore(AHEAD)
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._turns = Turns()
        self.not_begun: list[Target] = []
        """The targets that were never tried, because the probes were stopped before."""

    def __enter__(self) -> Self:
        sys.setswitchinterval(TURN_S)
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        sys.setswitchinterval(self._usual_turn_s)

    def __iter__(self) -> Iterator[Stage]:
        """Give one target after the other: nearly whole where that comes first, then whole.

        Raises:
            OptionError: an option turned out to be unusable, as a CA file that is none.
        """
        decided: dict[int, Evidence] = {}
        ended: dict[int, _Ended] = {}
        for due, target in enumerate(self._targets):
            if self._on_due is not None:
                self._on_due(due)
            while due not in ended:
                if due in decided:
                    yield Stage(decided.pop(due), is_final=False, number=due)
                match next_of(self._events):
                    case _Ended() as event:
                        ended[event.number] = event
                        decided.pop(event.number, None)
                    case _Step(number, progress):
                        if isinstance(progress, Decided):
                            decided[number] = progress.evidence
                        if self._on_progress is not None:
                            self._on_progress(number, progress)
                    case _Broken(error):
                        raise error
            evidence = ended.pop(due).evidence
            self._call(self._ahead.release)
            if evidence is None:
                self.not_begun.append(target)
            else:
                yield Stage(evidence, is_final=True, number=due)

    # --- in the thread ----------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        outcomes = await self._all(self._probe(*each) for each in enumerate(self._targets))
        for number, outcome in enumerate(outcomes):
            if isinstance(outcome, asyncio.CancelledError):
                self._events.put(_Ended(number, None))

    def _ended(self, error: BaseException | None) -> None:
        if error is not None:
            self._events.put(_Broken(error))

    async def _probe(self, number: int, target: Target) -> None:
        await self._ahead.acquire()  # released when its report is out
        try:
            async with self._at_once:
                # A cancellation is answered with what is known.
                evidence = await collect(
                    target,
                    self._options[number],
                    on_progress=lambda progress: self._events.put(_Step(number, progress)),
                    openings=self._openings if number == 0 else None,
                    turns=self._turns,
                )
        except Exception as error:  # noqa: BLE001 - it is raised again in the main thread
            self._events.put(_Broken(error))
        else:
            self._events.put(_Ended(number, evidence))


_ENDINGS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Ctrl-C, and what a service manager or a closed terminal sends; Windows has not all of them."""


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Take the first Ctrl-C or other wish to end as one to stop and see what is known; a second one raises
    `KeyboardInterrupt`. Either way files that are being written are put in order.

    Gives a list that has something in it once that happened. A shell that has a signal ignored is obeyed.
    """
    received: list[int] = []

    def interrupted(number: int, _: object) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt
        stop()

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    # None: somebody else's handler, which could not be put back.
    heard = [number for number in _ENDINGS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = [signal.signal(number, interrupted) for number in heard]
    try:
        yield received
    finally:
        for number, handler in zip(heard, before, strict=True):
            signal.signal(number, handler)
