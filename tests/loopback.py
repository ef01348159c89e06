"""Shorthand for tests that talk to a server on loopback."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from smtpprobe.evidence import Endpoint, HostOrigin, Role, TlsMode
from smtpprobe.lab.scripted import ScriptedServer

MAX_TURNS = 1_000_000
"""Of the event loop; far more than anything on loopback takes."""

MX = "mx.example.org"
ROLES = {TlsMode.STARTTLS: Role.SMTP, TlsMode.IMPLICIT: Role.SUBMISSIONS, TlsMode.NONE: Role.SMTP}


def endpoint(
    at: ScriptedServer | tuple[str, int], mode: TlsMode = TlsMode.STARTTLS, *, name: str | None = MX
) -> Endpoint:
    """The endpoint of a server."""
    address, port = (at.host, at.port) if isinstance(at, ScriptedServer) else at
    return Endpoint(
        host=name or address, address=address, port=port, role=ROLES[mode], tls=mode, origin=HostOrigin.GIVEN, name=name
    )


def clock() -> Callable[[], float]:
    """A clock that begins now."""
    began = time.monotonic()
    return lambda: time.monotonic() - began


async def until(is_so: Callable[[], bool]) -> None:
    """Let everything else run until something is so."""
    for _ in range(MAX_TURNS):
        if is_so():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to be so")


@contextmanager
def closed_port() -> Iterator[tuple[str, int]]:
    """An address where nobody listens, and nobody else can begin to."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()


@contextmanager
def silent_port() -> Iterator[tuple[str, int]]:
    """An address where connects remain unanswered: the queue of those that wait to be accepted is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()
