"""One connection, recorded: every byte with its time, in plain text and inside TLS, every error put into a `Failure`.

The one importer of aiosmtplib, whose protocol builds commands, refuses control characters in them, keeps to one at a
time, and owns the transport. Three things are done here instead, because evidence needs them otherwise:

* **Replies** are framed by `replies` from the bytes as they came. What nobody asked for is kept apart and never taken
  for the reply to the next command; no reply is made up where the peer closes without one.
* **TLS** runs through memory (`ssl.MemoryBIO`) on the same connection rather than through the event loop's TLS
  transport. So plain text in place of TLS can be shown, a closed handshake is told from a broken one, bytes behind the
  220 to STARTTLS never reach TLS (RFC 3207 6), closing waits for nobody, and a session costs tens of kilobytes, not
  hundreds.
* **Time** is one timer that moves from step to step. A step is a whole reply, so a byte now and then prolongs nothing.

A peer that sends without end is cut off at `MAX_REPLY_BYTES`. A `Secret` goes over the wire and nowhere else.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

from aiosmtplib.errors import SMTPServerDisconnected
from aiosmtplib.protocol import SMTPProtocol
from aiosmtplib.response import SMTPResponse

from smtpprobe import tls
from smtpprobe.evidence import (
    MAX_REPLY_BYTES,
    Endpoint,
    Exchange,
    Failure,
    FailureKind,
    Handshake,
    Phase,
    Reply,
    TlsMode,
    TlsSession,
    Unsolicited,
)
from smtpprobe.replies import parse_regular, parse_reply, reply_end

TLS_RECORD_BYTES: Final = 16 * 1024
"""The most plain text that one TLS record holds (RFC 8446 5.1)."""

MAX_HEAD_BYTES: Final = 1024
"""How much of what comes during a handshake is kept, to show what was sent in place of TLS."""

TLS_CONTENT_TYPES: Final = range(20, 25)
"""The first byte of every TLS record: change_cipher_spec to heartbeat (RFC 8446 5.1, RFC 6520 3)."""

REDACTED: Final = b"***"
"""What the evidence has in place of a secret."""

_DISCARD_PORT: Final = 9
"""RFC 863; any port would do where nothing is sent."""

_SETTLED: Final = SMTPResponse(0, "")
"""Wakes whoever waits in aiosmtplib; what came is in `Wire._outcome`."""

_BY_ERRNO: Final = {
    errno.ECONNREFUSED: FailureKind.REFUSED,
    errno.ETIMEDOUT: FailureKind.TIMEOUT,
    errno.EHOSTUNREACH: FailureKind.UNREACHABLE,
    errno.ENETUNREACH: FailureKind.UNREACHABLE,
    errno.ENETDOWN: FailureKind.UNREACHABLE,
    errno.EADDRNOTAVAIL: FailureKind.NO_ROUTE,
    errno.EAFNOSUPPORT: FailureKind.NO_ROUTE,
    errno.EACCES: FailureKind.DENIED,
    errno.EPERM: FailureKind.DENIED,
    errno.ECONNRESET: FailureKind.RESET,
    errno.ECONNABORTED: FailureKind.RESET,
    errno.EPIPE: FailureKind.RESET,
}


_ENDINGS_OF_THE_PEER: Final = (FailureKind.CLOSED, FailureKind.RESET, FailureKind.TLS_ALERT)


class Secret(bytes):
    """A word of a command that is sent but never recorded."""

    __slots__ = ()


class Wire(SMTPProtocol):
    """A connection to one endpoint, and the record of it.

    The steps (`connect`, `greeting`, `command`, `handshake`) are taken one after the other by one task. None of them
    raises for what the network or the peer does: a step returns what came or a `Failure`, and records it. When a step
    is cancelled, it is recorded as interrupted.

    Args:
        endpoint: where to connect; with `TlsMode.IMPLICIT`, TLS begins with the connection.
        clock: seconds since the probe began.
        deadline_s: when everything must be over, on that clock.
        context: what TLS to speak; None: the usual context, made when it is needed.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        clock: Callable[[], float],
        deadline_s: float,
        context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(asyncio.get_running_loop())
        self.endpoint = endpoint
        self.started_s = clock()
        self.connected_s: float | None = None
        self.local_address: str | None = None
        self.exchanges: list[Exchange] = []
        self.handshaken: Handshake | None = None
        self.certificates: tuple[bytes, ...] = ()
        """As the server sent them, leaf first, in DER."""
        self.phase = Phase.CONNECT
        """The step that runs or ran last."""
        self.failure: Failure | None = None
        """Of the last step."""
        self.is_closed_by_peer = False
        self._clock = clock
        self._deadline_s = deadline_s
        self._context = context
        self._unasked: list[_Unasked] = []
        self._unasked_bytes = 0
        # The reply that is coming in, in the buffer of the base.
        self._resume = 0
        self._first_byte_s: float | None = None
        self._settled_s = 0.0
        self._outcome: Reply | Failure | None = None
        # TLS; there is a waiter as long as the handshake lasts.
        self._layer: tls.Layer | None = None
        self._handshake_waiter: asyncio.Future[TlsSession | Failure] | None = None
        self._handshake_started_s = 0.0
        self._head = bytearray()
        self._is_tls_next = False
        """STARTTLS was accepted: until the handshake, plain text is an injection (RFC 3207 6)."""
        # Time.
        self._timer: asyncio.TimerHandle | None = None
        self._step_ends_at: float | None = None
        self._step_limit = (FailureKind.TIMEOUT, "")
        # How the line ended; None as long as it is good.
        self._end: tuple[FailureKind, str] | None = None
        self._is_closed = False
        self._lost_waiter: asyncio.Future[None] | None = None

    # --- the steps --------------------------------------------------------------------------------------------------

    async def connect(self, timeout_s: float) -> Failure | None:
        """Open the connection.

        Returns:
            None once it stands, else why it does not.
        """
        self.started_s = self._clock()
        left_s = self._deadline_s - self.started_s
        limit = _limit(timeout_s, left_s)
        kind, detail = limit
        try:
            if left_s > 0:
                async with asyncio.timeout(min(timeout_s, left_s)):
                    await self._loop.create_connection(lambda: self, self.endpoint.address, self.endpoint.port)
                return None
        except OSError as error:
            if error.errno is not None:  # asyncio's own TimeoutError has none
                kind, detail = explain_os_error(error, self.endpoint.address)
        except asyncio.CancelledError:
            self._fail_connect(FailureKind.INTERRUPTED, "")
            raise
        return self._fail_connect(kind, detail)

    async def greeting(self, timeout_s: float) -> Reply | Failure:
        """Wait for the greeting, which comes unasked."""
        began_s = self.connected_s if self.handshaken is None else self.handshaken.ended_s
        return await self._exchange(Phase.GREETING, None, timeout_s, self._clock() if began_s is None else began_s)

    async def command(self, phase: Phase, *words: bytes, timeout_s: float) -> Reply | Failure:
        """Send one command and wait for its reply.

        Args:
            words: without control characters; joined by spaces, with a line end added. A `Secret` is sent but recorded
                as `REDACTED`.

        Raises:
            ValueError: a word has a control character, which could smuggle in another command.
        """
        return await self._exchange(phase, words, timeout_s, self._clock())

    async def handshake(self, timeout_s: float) -> TlsSession | Failure:
        """Do the TLS handshake: after a 220 to STARTTLS, or from the first byte on where TLS is implicit."""
        self.phase = Phase.TLS
        if self._layer is None:
            self._begin_tls()
        waiter = cast("asyncio.Future[TlsSession | Failure]", self._handshake_waiter)
        self._start_step(timeout_s)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._settle_handshake(Failure(phase=Phase.TLS, kind=FailureKind.INTERRUPTED))
            raise
        finally:
            self._step_ends_at = None

    async def close(self) -> None:
        """Close the connection, without waiting for the peer; may be called at any time, also again.

        When it returns, the socket is closed, so that a next connection to the same address does not overlap.
        """
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        transport = cast("asyncio.Transport | None", self.transport)
        if transport is None:
            return
        if self._layer is not None and self._over_ssl and self._end is None:
            with suppress(ssl.SSLError):  # which says that theirs has not come
                self._layer.session.unwrap()  # RFC 8446 6.1: say close_notify
            self._flush(self._layer)
        if transport.get_write_buffer_size():
            transport.abort()  # the peer does not read; waiting for it could take for ever
        else:
            transport.close()
        if self._lost_waiter is None:
            self._lost_waiter = self._loop.create_future()
        await self._lost_waiter

    @property
    def is_open(self) -> bool:
        """The line is good as far as anybody can know."""
        return self.connected_s is not None and self._end is None and not self._is_closed

    @property
    def unsolicited(self) -> tuple[Unsolicited, ...]:
        """What nobody asked for, in the order in which it came."""
        return tuple([each.written_down() for each in self._unasked])

    # --- one exchange -----------------------------------------------------------------------------------------------

    async def _exchange(
        self, phase: Phase, words: tuple[bytes, ...] | None, timeout_s: float, started_s: float
    ) -> Reply | Failure:
        self.phase = phase
        if self._end is not None and self._outcome is None:  # the line is dead: nothing is sent any more
            self._settle(Failure(phase=phase, kind=self._end[0], detail=self._end[1]))
            return self._record(phase, None, started_s)
        sent = None if words is None else _recorded(words)
        self._start_step(timeout_s)
        try:
            if words is None:
                await self.read_response()
            else:
                await self.execute_command(*words)
        except SMTPServerDisconnected:  # the transport knows that it is over, and has not told us yet
            self._end_by_peer(FailureKind.CLOSED, "")
            self._settle(Failure(phase=phase, kind=FailureKind.CLOSED))
        except asyncio.CancelledError:
            self._settle(Failure(phase=phase, kind=FailureKind.INTERRUPTED, partial=bytes(self._buffer)))
            self._record(phase, sent, started_s)
            raise
        finally:
            self._step_ends_at = None
        return self._record(phase, sent, started_s)

    def _record(self, phase: Phase, sent: bytes | None, started_s: float) -> Reply | Failure:
        """Write down the exchange that is settled, and make room for the next."""
        outcome = cast("Reply | Failure", self._outcome)
        self.exchanges.append(
            Exchange(
                phase=phase,
                sent=sent,
                outcome=outcome,
                over_tls=self._over_ssl,
                started_s=started_s,
                first_byte_s=self._first_byte_s,
                ended_s=self._settled_s,
            )
        )
        if isinstance(outcome, Failure):
            self.failure = outcome
        self._outcome = self._first_byte_s = None
        return outcome

    def _settle(self, outcome: Reply | Failure) -> None:
        """Set how the exchange ends, once, and wake whoever waits for it."""
        if self._outcome is None:
            self._outcome = outcome
            self._settled_s = self._clock()
        waiter = self._response_waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(_SETTLED)

    def _fail_connect(self, kind: FailureKind, detail: str) -> Failure:
        self.failure = Failure(phase=Phase.CONNECT, kind=kind, detail=detail)
        self.connected_s = None
        return self.failure

    # --- what the event loop and aiosmtplib call --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.connected_s = self._clock()
        self.local_address = str(transport.get_extra_info("sockname")[0])
        if self.endpoint.tls is TlsMode.IMPLICIT:
            self.phase = Phase.TLS
            self._begin_tls()
        else:
            self.phase = Phase.GREETING  # which may be there before anybody waits for it

    def data_received(self, data: bytes) -> None:
        if self._end is not None:
            return
        if self._layer is None:
            self._take(data)
        else:
            self._decrypt(self._layer, data)

    def eof_received(self) -> bool:
        self._end_by_peer(FailureKind.CLOSED, "")
        return False  # the transport closes: a peer that cannot answer need not be asked

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, OSError):
            self._end_by_peer(*explain_os_error(exc, self.endpoint.address))
        elif exc is not None:
            self._end_by_peer(FailureKind.INTERNAL, repr(exc))
        else:
            self._end_by_peer(FailureKind.CLOSED, "")
        # Whatever waited is settled now, so that aiosmtplib does not make up a 221 for a QUIT without one.
        super().connection_lost(exc)
        if self._lost_waiter is not None and not self._lost_waiter.done():
            self._lost_waiter.set_result(None)

    def write(self, data: bytes) -> None:
        if self._layer is None:
            super().write(data)
            return
        try:
            self._layer.session.write(data)
        except ssl.SSLError as error:
            self._end_by_peer(*tls.explain_error(error))
        self._flush(self._layer)

    # --- what comes in ----------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        """Take plain or decrypted bytes: into the reply that is awaited, or as something that nobody asked for."""
        waiter = self._response_waiter
        if not self._response_pending or waiter is None or waiter.done():
            self._keep_unasked(data)
            return
        buffer = self._buffer
        if not buffer:
            self._first_byte_s = self._clock()
            reply = parse_regular(data)
            if reply is not None:
                self._accept(reply)
                return
        buffer += data
        if b"\n" in data:
            end = reply_end(buffer, 0, self._resume)
            if end is not None and end <= MAX_REPLY_BYTES:
                self._deliver(end)
                return
            self._resume = buffer.rfind(b"\n") + 1
        if len(buffer) > MAX_REPLY_BYTES:
            self._deliver(len(buffer))
            self._give_up("the reply does not end")

    def _deliver(self, end: int) -> None:
        """Hand over the reply at the beginning of the buffer; what stands behind it nobody asked for."""
        raw, rest = bytes(self._buffer[:end]), bytes(self._buffer[end:])
        self._buffer.clear()
        self._resume = 0
        reply = parse_reply(raw)
        if reply.code is None:
            partial = (raw + rest)[:MAX_REPLY_BYTES]
            self._settle(Failure(phase=self.phase, kind=FailureKind.GARBAGE, partial=partial))
            return
        self._accept(reply)
        if rest:
            self._keep_unasked(rest)

    def _accept(self, reply: Reply) -> None:
        self._is_tls_next = self.phase is Phase.STARTTLS and reply.code == 220 and self._layer is None
        self._settle(reply)

    def _keep_unasked(self, data: bytes) -> None:
        self._unasked_bytes += len(data)
        if self._unasked_bytes > MAX_REPLY_BYTES:
            data = data[: max(0, MAX_REPLY_BYTES - self._unasked_bytes + len(data))]
            self._give_up(f"more than {MAX_REPLY_BYTES} bytes that nobody asked for")
        last = self._unasked[-1] if self._unasked else None
        if last is not None and (last.after, last.over_tls, last.before_handshake) == (
            self.phase,
            self._over_ssl,
            self._is_tls_next,
        ):
            last.raw += data
        elif data:
            self._unasked.append(_Unasked(self.phase, self._clock(), self._over_ssl, self._is_tls_next, data))

    # --- TLS --------------------------------------------------------------------------------------------------------

    def _begin_tls(self) -> None:
        self._is_tls_next = False
        self._handshake_started_s = self._clock()
        self._layer = tls.begin(self._context or tls.client_context(), self.endpoint.name)
        self._handshake_waiter = self._loop.create_future()
        if self._end is not None:
            self._fail_handshake(*self._end)
        else:
            self._shake_hands(self._layer)

    def _shake_hands(self, layer: tls.Layer) -> None:
        """Go on with the handshake as far as what came allows."""
        try:
            layer.session.do_handshake()
        except ssl.SSLWantReadError:
            self._flush(layer)
            return
        except ssl.SSLError as error:
            self._flush(layer)  # our alert
            self._fail_handshake(*tls.explain_error(error))
            return
        self._flush(layer)
        self._over_ssl = True
        session, self.certificates = tls.read_session(layer.session)
        self._settle_handshake(session)

    def _decrypt(self, layer: tls.Layer, data: bytes) -> None:
        layer.incoming.write(data)
        if not self._over_ssl:
            self._head += data[: MAX_HEAD_BYTES - len(self._head)]
            self._shake_hands(layer)
            if not self._over_ssl:
                return
        try:
            while plain := layer.session.read(TLS_RECORD_BYTES):
                self._take(plain)
                if self._end is not None:
                    return
        except ssl.SSLWantReadError:
            if layer.outgoing.pending:
                self._flush(layer)
        except ssl.SSLError as error:
            self._flush(layer)
            self._end_by_peer(*tls.explain_error(error))
        else:
            self._end_by_peer(FailureKind.CLOSED, "")  # close_notify

    def _flush(self, layer: tls.Layer) -> None:
        data = layer.outgoing.read()
        if data and self.is_connected:
            super().write(data)

    def _fail_handshake(self, kind: FailureKind, detail: str) -> None:
        if kind is FailureKind.CLOSED:
            kind = FailureKind.TLS_CLOSED
        is_tls = bool(self._head) and self._head[0] in TLS_CONTENT_TYPES
        partial = b"" if is_tls else bytes(self._head)
        self._settle_handshake(Failure(phase=Phase.TLS, kind=kind, detail=detail, partial=partial))

    def _settle_handshake(self, outcome: TlsSession | Failure) -> None:
        """Write down how the handshake ended, once, and wake whoever waits for it."""
        if self.handshaken is None and self._layer is not None:
            self.handshaken = Handshake(
                outcome=outcome,
                server_name=self._layer.server_name,
                started_s=self._handshake_started_s,
                ended_s=self._clock(),
            )
            if isinstance(outcome, Failure):
                self.failure = outcome
        waiter = self._handshake_waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(outcome)

    @property
    def _is_shaking_hands(self) -> bool:
        return self._handshake_waiter is not None and self.handshaken is None

    # --- the end of the line ----------------------------------------------------------------------------------------

    def _end_by_peer(self, kind: FailureKind, detail: str) -> None:
        """Note that nothing can come any more, and settle whatever waits for it."""
        if self._is_closed:
            return
        if self._end is None:
            self.is_closed_by_peer = kind in _ENDINGS_OF_THE_PEER
            self._end = (kind, detail)
        self._break_step(kind, detail)

    def _give_up(self, why: str) -> None:
        """Cut off a peer that sends without end."""
        self._end = (FailureKind.GARBAGE, why)
        transport = cast("asyncio.Transport | None", self.transport)
        if transport is not None:
            transport.abort()

    def _break_step(self, kind: FailureKind, detail: str) -> None:
        """End the step that waits, if one does."""
        if self._is_shaking_hands:
            self._fail_handshake(kind, detail)
        elif self._response_pending:
            self._settle(Failure(phase=self.phase, kind=kind, detail=detail, partial=bytes(self._buffer)))

    # --- time -------------------------------------------------------------------------------------------------------

    def _start_step(self, timeout_s: float) -> None:
        """Set when the step that begins must be over, and move the timer where it would come too late."""
        left_s = max(0.0, self._deadline_s - self._clock())
        self._step_limit = _limit(timeout_s, left_s)
        ends_at = self._loop.time() + min(timeout_s, left_s)
        self._step_ends_at = ends_at
        if self._timer is None or self._timer.when() > ends_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(ends_at, self._look_at_time)

    def _look_at_time(self) -> None:
        """End the step if its time is up; the timer may have been set for an earlier step."""
        self._timer = None
        if self._step_ends_at is None:
            return
        if self._loop.time() < self._step_ends_at:
            self._timer = self._loop.call_at(self._step_ends_at, self._look_at_time)
        else:
            self._break_step(*self._step_limit)


class _Unasked:
    """Bytes that nobody asked for, as they come in."""

    __slots__ = ("after", "at_s", "before_handshake", "over_tls", "raw")

    def __init__(self, after: Phase, at_s: float, over_tls: bool, before_handshake: bool, raw: bytes) -> None:
        self.after = after
        self.at_s = at_s
        self.over_tls = over_tls
        self.before_handshake = before_handshake
        self.raw = bytearray(raw)

    def written_down(self) -> Unsolicited:
        return Unsolicited(
            after=self.after,
            raw=bytes(self.raw),
            at_s=self.at_s,
            over_tls=self.over_tls,
            before_handshake=self.before_handshake,
        )


def explain_os_error(error: OSError, address: str) -> tuple[FailureKind, str]:
    """Say what an error of the operating system means for a connection to an address, and in which words it came."""
    if error.errno is None:
        return FailureKind.OTHER, str(error)
    kind = _BY_ERRNO.get(error.errno, FailureKind.OTHER)
    if kind is FailureKind.UNREACHABLE and not has_route(address):
        kind = FailureKind.NO_ROUTE
    return kind, f"{errno.errorcode.get(error.errno, str(error.errno))}: {os.strerror(error.errno)}"


def has_route(address: str) -> bool:
    """Tell whether this machine has any way to an address.

    Connecting a datagram socket sends nothing: the kernel only looks for a route.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as route:
            route.connect((address, _DISCARD_PORT))
    except OSError as error:
        return _BY_ERRNO.get(error.errno or 0) not in (FailureKind.UNREACHABLE, FailureKind.NO_ROUTE)
    return True


def _limit(timeout_s: float, left_s: float) -> tuple[FailureKind, str]:
    """What it means when the time for a step is up."""
    if left_s <= timeout_s:
        return FailureKind.DEADLINE, "the time for the whole probe is up"
    return FailureKind.TIMEOUT, f"not complete within {timeout_s:g} s"


def _recorded(words: tuple[bytes, ...]) -> bytes:
    """A command as it goes into the evidence."""
    return b" ".join([REDACTED if isinstance(word, Secret) else word for word in words]) + b"\r\n"
