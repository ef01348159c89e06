"""Work on the network that goes on beside the program: tasks on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Final, Self, TypeVar

PATIENCE_S: Final = 2.0
"""Seconds. So long the thread is waited for in the end, when all that is left to do is to close connections."""

LOOK_UP_S: Final = 0.5
"""Seconds. So long a signal may go unnoticed at worst."""

_T = TypeVar("_T")


class Beside(ABC):
    """A thread that does some tasks; it runs while the context lasts."""

    def __init__(self) -> None:
        """Prepare it.

        Raises:
            OSError: there are too few descriptors left.
        """
        self._loop = new_event_loop()
        self._tasks: list[asyncio.Task[None]] = []
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

    def stop(self) -> None:
        """End all tasks now. Can be called from a signal."""
        self._call(self._cancel)

    def _call(self, function: Callable[[], object]) -> None:
        """Have a function called in the thread."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop is closed: there is nothing left to be told
            return

    # --- in the thread ----------------------------------------------------------------------------------------------

    @abstractmethod
    async def _work(self) -> None:
        """Do all there is to do."""

    @abstractmethod
    def _ended(self, error: BaseException | None) -> None:
        """Hear that the work is over, or what broke it off."""

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._work())
        except BaseException as error:  # noqa: BLE001 - it is raised again in the main thread
            self._ended(error)
        else:
            self._ended(None)

    async def _all(self, work: Iterable[Coroutine[Any, Any, None]]) -> list[BaseException | None]:
        """Do each as a task that `stop` ends, and give what became of them."""
        self._tasks = [asyncio.create_task(each) for each in work]
        if self._is_stopped:
            self._cancel()
        return await asyncio.gather(*self._tasks, return_exceptions=True)

    def _cancel(self) -> None:
        self._is_stopped = True
        for task in self._tasks:
            task.cancel()


def next_of(events: SimpleQueue[_T]) -> _T:
    """Wait for what the thread has to tell, and hear signals meanwhile.

    A signal that comes between the last look for one and the wait wakes nobody, and Ctrl-C right after some progress
    is just then. So the wait is not for ever.
    """
    while True:
        try:
            return events.get(timeout=LOOK_UP_S)
        except Empty:
            continue


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop.

    Raises:
        OSError: there are too few descriptors left for one. Asyncio would then forget half a loop, which complains.
    """
    first, second = socket.socketpair()
    with first, second, first.dup():  # as many as a loop takes
        pass
    return asyncio.new_event_loop()
