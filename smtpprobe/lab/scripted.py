"""A server that says exactly what its script says: how the lab misbehaves.

A well-made SMTP library refuses to send a malformed reply, to fall silent or to cut a connection, rightly. This server
knows no SMTP. It plays a script, a tuple of steps, to each client: bytes are sent as they stand, the other steps
listen, wait, start TLS, or end the connection in one of the ways in which connections end.

    script = (
        b"220 mx.example.org ESMTP\\r\\n",
        Expect("EHLO"),
        b"250-mx.example.org\\r\\n250 STARTTLS\\r\\n",
        Expect("STARTTLS"),
        StartTls(context),
        Reset(),
    )
    async with ScriptedServer(script) as server:
        ...  # talk to server.host, server.port
    assert server.visits[0].lines == [b"EHLO client.example.org", b"STARTTLS"]

`Serve` answers command by command, for servers that misbehave in one place only. What each client said is kept in a
`Visit`, and so is every rudeness: speaking before its turn, or something else than the script expects. So a test can
hold a client to RFC 5321 from the server's side. It listens on loopback only and serves nobody but this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from asyncio.trsock import TransportSocket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self, assert_never, cast

START_TLS_REPLY: Final = b"220 2.0.0 Ready to start TLS\r\n"
UNKNOWN_COMMAND: Final = b"502 5.5.1 Command not implemented\r\n"
CLOSING: Final = b"221 2.0.0 Bye\r\n"
HANDSHAKE_TIMEOUT_S: Final = 10.0
"""For a client that begins TLS and does not go on; the lab is not to wait for it for ever."""
SHUTDOWN_TIMEOUT_S: Final = 1.0
"""For a client that does not answer the end of TLS, before the connection is closed all the same."""
CLOSING_TURNS: Final = 20
"""Turns of the event loop within which an aborted socket is closed; two or three are needed."""
ABORT_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER, on, of no time: close() sends RST instead of FIN."""
CONTINUES: Final = re.compile(rb"\d{3}-")
"""How a line begins that is not the last of its reply (RFC 5321 4.2.1)."""


# --- the steps ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dribble:
    """Send bytes one by one, or a few at a time."""

    data: bytes
    pause_s: float = 0.0
    """Between the pieces; 0 only lets everything else run in between."""
    piece_bytes: int = 1


@dataclass(frozen=True, slots=True)
class Expect:
    """Wait for a line. One that does not begin with this verb is a rudeness of the client, and the script goes on."""

    verb: str = ""
    """In any case; empty: any line."""


@dataclass(frozen=True, slots=True)
class Swallow:
    """Wait until something comes, and pass over it, whatever it is: the beginning of a TLS handshake, say."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer lines by their verb until the client goes or an answer ends the connection; QUIT ends it in any case."""

    answers: Mapping[str, Answer]
    """By the verb in capitals."""
    otherwise: Answer = UNKNOWN_COMMAND


@dataclass(frozen=True, slots=True)
class StartTls:
    """Say that TLS may begin, and do the server's side of the handshake."""

    context: ssl.SSLContext
    saying: bytes = START_TLS_REPLY
    """In plain text before the handshake; empty at the start of a script, where TLS is implicit."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Go on only once an event is set, or after a time."""

    until: asyncio.Event | None = None
    at_most_s: float | None = None
    """None: as long as it takes, or until the client goes."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Say nothing until the client goes."""


@dataclass(frozen=True, slots=True)
class Flood:
    """Send the same bytes over and over until the client goes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; so does the end of the script."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Cut the connection with RST, as a crashed server or a firewall does."""


@dataclass(frozen=True, slots=True)
class HalfClose:
    """Send FIN and go on reading."""


Step = bytes | Dribble | Expect | Swallow | Serve | StartTls | Hold | Stall | Flood | Close | Reset | HalfClose
Script = tuple[Step, ...]
Answer = bytes | Script


# --- the usual script -----------------------------------------------------------------------------------------------


def ehlo_reply(*lines: str) -> bytes:
    """Write a multi-line 250: the host's name, then a keyword a line (RFC 5321 4.1.1.1)."""
    return b"".join(
        b"250%s%s\r\n" % (b" " if number == len(lines) else b"-", line.encode())
        for number, line in enumerate(lines, start=1)
    )


def serve(
    host: str, *keywords: str, tls: ssl.SSLContext | None = None, changes: Mapping[str, Answer] | None = None
) -> Serve:
    """Answer as a plain mail server does, apart from the changes.

    Args:
        host: the name in the EHLO reply.
        keywords: the extensions to announce; STARTTLS comes by itself with `tls`.
        tls: begin TLS on STARTTLS; None: STARTTLS is unknown.
        changes: answers by verb that differ, inside TLS too.
    """
    different = dict(changes or {})
    answers: dict[str, Answer] = {
        "EHLO": ehlo_reply(host, *keywords),
        "HELO": f"250 {host}\r\n".encode(),
        "NOOP": b"250 2.0.0 OK\r\n",
        "RSET": b"250 2.0.0 OK\r\n",
        "QUIT": CLOSING,
    }
    if tls is None:
        return Serve(answers | different)
    inside = Serve(answers | different)
    answers["EHLO"] = ehlo_reply(host, *keywords, "STARTTLS")
    answers["STARTTLS"] = (StartTls(tls), inside)
    return Serve(answers | different)


def greeting(host: str) -> bytes:
    """Write the usual greeting."""
    return f"220 {host} ESMTP\r\n".encode()


# --- the server -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Visit:
    """One connection, as the server saw it."""

    peer: str
    """The client's address."""
    received: bytearray = field(default_factory=bytearray)
    """All that the client said, decrypted where TLS stands."""
    lines: list[bytes] = field(default_factory=list)
    """The lines that were read, without their ends."""
    rudeness: list[str] = field(default_factory=list)
    """How the client broke the rules, in the order in which it did."""
    tls_version: str | None = None
    server_name: str | None = None
    """The name that the client asked for in the TLS handshake (SNI)."""
    tls_failure: str | None = None
    """Why the handshake did not come about."""
    is_over: bool = False

    @property
    def verbs(self) -> list[str]:
        """The first word of each line, in capitals."""
        return [line.split(b" ", 1)[0].decode("ascii", "replace").upper() for line in self.lines]


class ScriptedServer:
    """The server; an asynchronous context manager that runs it.

    Args:
        scripts: the first visitor gets the first, and so on; the last one is for all others.
        host: the loopback address to listen on.
        port: 0 to choose a free one.
        listener: a bound socket to listen on instead; the server closes it.
    """

    def __init__(
        self, *scripts: Script, host: str = "127.0.0.1", port: int = 0, listener: socket.socket | None = None
    ) -> None:
        if not scripts:
            raise ValueError("a scripted server needs a script")
        self.scripts = scripts
        self.host = host
        self.port = port
        self.visits: list[Visit] = []
        self.most_at_once = 0
        """How many connections were open at once at most."""
        self._listener = listener
        self._server: asyncio.Server | None = None
        self._playing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self._listener is not None:
            self._server = await loop.create_server(self._welcome, sock=self._listener)
        else:
            self._server = await loop.create_server(self._welcome, self.host, self.port)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._playing):
            task.cancel()
        await asyncio.gather(*self._playing, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    async def idle(self) -> None:
        """Wait until no connection is open."""
        while self._playing:
            await asyncio.wait(tuple(self._playing))

    @property
    def rudeness(self) -> list[str]:
        """Every rudeness of every client."""
        return [each for visit in self.visits for each in visit.rudeness]

    def _welcome(self) -> _Connection:
        script = self.scripts[min(len(self.visits), len(self.scripts) - 1)]
        visit = Visit(peer="")
        self.visits.append(visit)
        return _Connection(visit, script, self._start)

    def _start(self, connection: _Connection) -> None:
        task = asyncio.get_running_loop().create_task(connection.play())
        self._playing.add(task)
        task.add_done_callback(self._end)
        self.most_at_once = max(self.most_at_once, len(self._playing))

    def _end(self, task: asyncio.Task[None]) -> None:
        self._playing.discard(task)
        if not task.cancelled():
            task.result()  # a defect of the lab is to be heard of


async def closed(connection: TransportSocket) -> None:
    """Give a socket whose transport was aborted the turns of the event loop in which it is closed."""
    for _ in range(CLOSING_TURNS):
        if connection.fileno() == -1:
            return
        await asyncio.sleep(0)


class _OverError(Exception):
    """The connection is over: the script ended it, or the client is gone."""


class _Connection(asyncio.Protocol):
    """One client and the script that is played to it.

    A protocol rather than a pair of streams, because the order of events matters here: TLS has to begin before the
    first byte behind the 220 is read, and what the client said before its turn must be seen.
    """

    _transport: asyncio.Transport
    _socket: TransportSocket

    def __init__(self, visit: Visit, script: Script, start: Callable[[_Connection], None]) -> None:
        self._visit = visit
        self._script = script
        self._start = start
        self._unread = bytearray()
        self._changed = asyncio.Event()
        """Set whenever something arrived, the client went, or the transport can be written to again."""
        self._has_eof = False
        self._is_lost = False
        self._is_full = False
        self._is_tls = False
        self._is_our_turn = True
        """A greeting or a reply is due, so the client has to keep silent (RFC 5321 4.3.1, 4.1.1.1)."""
        self._line = bytearray()
        """The line that is being sent."""

    # --- what the event loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._take_transport(cast("asyncio.Transport", transport))
        peer = transport.get_extra_info("peername")  # None where the client is gone already
        self._visit.peer = peer[0] if peer else ""
        self._start(self)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        self._visit.received += data
        self._changed.set()

    def eof_received(self) -> bool:
        self._has_eof = True
        self._changed.set()
        return not self._is_tls  # our half stays open; TLS has no halves

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = self._has_eof = True
        self._changed.set()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._changed.set()

    # --- the play ---

    async def play(self) -> None:
        """Play the script to its end, or until the client goes; then close the connection."""
        try:
            await self._perform(self._script)
        except _OverError:
            pass
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        finally:
            self._transport.close()
            await self._closed()
            self._visit.is_over = True

    async def _perform(self, script: Script) -> None:
        for step in script:
            await self._take(step)

    async def _take(self, step: Step) -> None:
        match step:
            case bytes():
                await self._say(step)
            case Dribble():
                for start in range(0, len(step.data), step.piece_bytes):
                    await self._say(step.data[start : start + step.piece_bytes])
                    await self._wait(at_most_s=step.pause_s)
            case Expect():
                await self._expect(step.verb)
            case Swallow():
                await self._arrival()
                self._unread.clear()
            case Serve():
                await self._serve(step)
            case StartTls():
                await self._start_tls(step)
            case Hold():
                await self._wait(step.until, step.at_most_s)
            case Stall():
                await self._wait()
            case Flood():
                while not self._has_eof:
                    await self._say(step.data)
                    await asyncio.sleep(0)
            case Close():
                raise _OverError
            case Reset():
                await self._flushed()
                self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT_ON_CLOSE)
                self._transport.abort()
                raise _OverError
            case HalfClose():
                await self._flushed()
                with contextlib.suppress(OSError):  # the client was faster
                    self._transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
            case _:
                assert_never(step)

    async def _serve(self, step: Serve) -> None:
        while True:
            verb = (await self._read_line()).split(b" ", 1)[0].decode("ascii", "replace").upper()
            answer = step.answers.get(verb, step.otherwise)
            await self._perform((answer,) if isinstance(answer, bytes) else answer)
            if verb == "QUIT":
                raise _OverError

    async def _start_tls(self, step: StartTls) -> None:
        transport = self._transport
        # The client's first TLS record may be here as soon as the last byte of the 220 is out; it is for OpenSSL.
        transport.pause_reading()
        self._write(step.saying)
        self._unread.clear()  # RFC 3207 4.2: what was said before TLS does not count
        self._is_tls = True
        secured: asyncio.Transport | None = None
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                self,
                step.context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            )
        except OSError as error:  # ssl.SSLError is one
            self._visit.tls_failure = str(error) or type(error).__name__
            raise _OverError from error
        finally:
            # Unless the handshake is done, asyncio closes the transport without a word to this protocol.
            self._is_lost = self._has_eof = secured is None
        if secured is None:  # the client went in the moment in which the handshake was done
            raise _OverError
        self._take_transport(secured)
        self._visit.tls_version = secured.get_extra_info("ssl_object").version()

    # --- reading ---

    async def _expect(self, verb: str) -> None:
        line = await self._read_line()
        if not line.upper().startswith(verb.upper().encode()):
            self._visit.rudeness.append(f"said {line!r} where {verb} was due")

    async def _read_line(self) -> bytes:
        while (end := self._unread.find(b"\n")) < 0:
            await self._arrival(len(self._unread))
        line = bytes(self._unread[: end + 1]).rstrip(b"\r\n")
        del self._unread[: end + 1]
        self._visit.lines.append(line)
        self._is_our_turn = True
        return line

    async def _arrival(self, known_bytes: int = 0) -> None:
        """Wait until more has come than is known."""
        while len(self._unread) <= known_bytes:
            if self._has_eof:
                raise _OverError
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    # --- writing ---

    async def _say(self, data: bytes) -> None:
        self._write(data)
        await self._flushed()

    def _write(self, data: bytes) -> None:
        if self._is_our_turn and self._unread:
            self._visit.rudeness.append(f"spoke before its turn: {bytes(self._unread[:80])!r}")
            self._is_our_turn = False
        *ended, rest = (self._line + data).split(b"\n")
        self._line = bytearray(rest)
        if any(not CONTINUES.match(line) for line in ended):
            self._is_our_turn = False
        self._transport.write(data)

    async def _flushed(self) -> None:
        """Wait until all that was written is with the operating system."""
        while self._is_full:
            if self._is_lost:
                raise _OverError
            await self._change()

    # --- waiting and ending ---

    async def _wait(self, until: asyncio.Event | None = None, at_most_s: float | None = None) -> None:
        """Wait for the event, or so long.

        Raises:
            _OverError: the client went meanwhile.
        """
        if at_most_s == 0:
            await asyncio.sleep(0)
            return
        tasks = {asyncio.ensure_future(self._gone())}
        if until is not None:
            tasks.add(asyncio.ensure_future(until.wait()))
        try:
            await asyncio.wait(tasks, timeout=at_most_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._has_eof and (until is None or not until.is_set()):
            raise _OverError

    async def _gone(self) -> bool:
        while not self._has_eof:
            await self._change()
        return True

    async def _closed(self) -> None:
        """Wait until the socket is closed."""
        while not self._is_lost:
            await self._change()
        await closed(self._socket)

    def _take_transport(self, transport: asyncio.Transport) -> None:
        # Not 0: with that, the TLS transport of asyncio takes an empty buffer for a full one every other time.
        transport.set_write_buffer_limits(high=1, low=0)
        self._socket = transport.get_extra_info("socket")
        self._transport = transport
