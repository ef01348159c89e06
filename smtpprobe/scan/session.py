"""The light session: greeting, EHLO, STARTTLS, TLS, EHLO and QUIT on one connection, as cheap as evidence allows.

What is said and recorded is what `conversation` says and records; the steps come from the same `next_step`. What
differs is the price: no task, no timer and no future of a session's own. Time is kept by whoever runs many sessions,
who looks at all of them now and then; the outcome is told to a function. Replies that keep to the
grammar, as nearly all do, take the short way; whatever else a server sends goes through the same reading as anywhere.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

from smtpprobe import tls
from smtpprobe.conversation import Step, next_step
from smtpprobe.evidence import (
    MAX_REPLY_BYTES,
    Conversation,
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
from smtpprobe.oserrors import explain_os_error
from smtpprobe.replies import parse_regular, parse_reply, reply_end
from smtpprobe.wire import MAX_HEAD_BYTES, TLS_CONTENT_TYPES

_COMMANDS: Final = {
    Step.EHLO: Phase.EHLO,
    Step.HELO: Phase.HELO,
    Step.STARTTLS: Phase.STARTTLS,
    Step.QUIT: Phase.QUIT,
}
_ENDINGS_OF_THE_PEER: Final = (FailureKind.CLOSED, FailureKind.RESET, FailureKind.TLS_ALERT)


class Times:
    """How long steps may take, and the clock by which that is measured; shared by all sessions of a scan."""

    __slots__ = ("clock", "deadline_s", "greeting_s", "step_s")

    def __init__(self, clock: Callable[[], float], step_s: float, greeting_s: float, deadline_s: float) -> None:
        self.clock = clock
        self.step_s = step_s
        self.greeting_s = greeting_s
        self.deadline_s = deadline_s


class LightSession(asyncio.Protocol):
    """One session while it lasts. It is made for `loop.create_connection`, and tells `then` once when the socket is
    closed; a connection that does not come about is told to it by `not_connected`."""

    __slots__ = (
        "_buffer", "_closed_s", "_connected_s", "_context", "_end", "_exchanges", "_first_byte_s", "_handshake",
        "_head", "_layer", "_lines", "_mode", "_phase", "_resume", "_secure", "_sent", "_started_s",
        "_step_s", "_then", "_times", "_transport", "_unasked", "_unasked_bytes", "_waits", "certificates",
        "endpoint", "ends_s", "failure",
    )  # fmt: skip

    def __init__(
        self,
        endpoint: Endpoint,
        lines: dict[Step, bytes],
        times: Times,
        context: ssl.SSLContext,
        then: Callable[[LightSession], None],
    ) -> None:
        """Prepare it.

        Args:
            lines: what is sent at each step that says something.
        """
        now_s = times.clock()
        self.endpoint = endpoint
        self.failure: Failure | None = None
        self.certificates: tuple[bytes, ...] = ()
        self.ends_s = now_s + times.step_s
        """When the step that runs must be over; whoever keeps the time calls `time_is_up` then."""
        self._mode = endpoint.tls
        self._lines = lines
        self._times = times
        self._context = context
        self._then: Callable[[LightSession], None] | None = then
        self._started_s = now_s
        self._connected_s: float | None = None
        self._closed_s: float | None = None
        self._exchanges: list[Exchange] = []
        self._handshake: Handshake | None = None
        self._phase = Phase.CONNECT
        self._waits = False
        """A reply is due."""
        self._sent: bytes | None = None
        self._step_s = now_s
        self._first_byte_s: float | None = None
        self._buffer: bytearray | None = None
        self._resume = 0
        self._transport: asyncio.Transport | None = None
        self._layer: tls.Layer | None = None
        self._secure = False
        self._head = b""
        self._unasked: list[Unsolicited] = []
        self._unasked_bytes = 0
        self._end: FailureKind | None = None

    # --- the outcome ------------------------------------------------------------------------------------------------

    def conversation(self) -> Conversation:
        """Write down what passed; the trust in the certificates is not judged yet."""
        exchanges = self._exchanges
        last = exchanges[-1] if exchanges else None
        is_through = last is not None and last.phase is Phase.QUIT and isinstance(last.outcome, Reply)
        return Conversation(
            endpoint=self.endpoint,
            started_s=self._started_s,
            connected_s=self._connected_s,
            failure=self.failure,
            exchanges=tuple(exchanges),
            handshake=self._handshake,
            unsolicited=tuple(self._unasked),
            is_closed_by_peer=self._end in _ENDINGS_OF_THE_PEER and not is_through,
            ended_s=self._times.clock() if self._closed_s is None else self._closed_s,
        )

    # --- from outside -----------------------------------------------------------------------------------------------

    def not_connected(self, error: OSError) -> None:
        """The connection did not come about."""
        if self._then is None:
            return
        kind, detail = FailureKind.TIMEOUT, f"not complete within {self._times.step_s:g} s"
        if error.errno is not None:
            kind, detail = explain_os_error(error, self.endpoint.address)
        self.failure = Failure(phase=Phase.CONNECT, kind=kind, detail=detail)
        self._closed_s = self._times.clock()
        self._tell()

    def time_is_up(self, now_s: float) -> bool:
        """End the step that runs.

        Returns:
            False where there is no connection yet: then whoever makes it is to give up.
        """
        if self._connected_s is None:
            return False
        if self._closed_s is None:
            if now_s >= self._started_s + self._times.deadline_s:
                self._fail(FailureKind.DEADLINE, "the time for the whole session is up")
            else:
                self._fail(FailureKind.TIMEOUT, f"not complete within {self.ends_s - self._step_s:g} s")
            self._hang_up()
        return True

    def interrupt(self) -> None:
        """End it at once because somebody wants to stop."""
        if self._connected_s is not None and self._closed_s is None:
            self._fail(FailureKind.INTERRUPTED, "")
            self._hang_up()

    # --- what the event loop calls ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connected_s = now_s = self._times.clock()
        if self._closed_s is not None:  # given up in this very moment
            self._transport.abort()
        elif self._mode is TlsMode.IMPLICIT:
            self._begin_handshake()
        else:
            self._await(Phase.GREETING, self._times.greeting_s, None, now_s)

    def data_received(self, data: bytes) -> None:
        if self._closed_s is not None or self._end is not None:
            return
        layer = self._layer
        if layer is None:
            self._take(data)
            return
        layer.incoming.write(data)
        if self._secure:
            self._read_all(layer)
            self._flush(layer)
        else:
            if len(self._head) < MAX_HEAD_BYTES:
                self._head += data[: MAX_HEAD_BYTES - len(self._head)]
            self._shake_hands(layer)

    def eof_received(self) -> bool:
        self._ended(FailureKind.CLOSED, "")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._closed_s is None:
            if isinstance(exc, OSError):
                self._ended(*explain_os_error(exc, self.endpoint.address))
            else:
                self._ended(
                    FailureKind.CLOSED if exc is None else FailureKind.INTERNAL, "" if exc is None else repr(exc)
                )
            self._closed_s = self._times.clock()
        self._tell()

    # --- steps ------------------------------------------------------------------------------------------------------

    def _go_on(self, now_s: float) -> None:
        if self._closed_s is not None:
            return
        step = next_step(self._mode, self._exchanges, self._handshake)
        phase = _COMMANDS.get(step)
        if phase is not None:
            line = self._lines[step]
            if self._end is not None:
                if step is Step.QUIT:
                    self._hang_up()
                else:
                    self._await(phase, self._times.step_s, None, now_s)
                    self._fail(self._end, "")
                return
            self._await(phase, self._times.step_s, line, now_s)
            self._write(line)
        elif step is Step.HANDSHAKE:
            self._begin_handshake()
        elif step is Step.GREETING:
            self._await(Phase.GREETING, self._times.greeting_s, None, now_s)
        else:
            self._hang_up()

    def _await(self, phase: Phase, limit_s: float, sent: bytes | None, now_s: float) -> None:
        self._phase = phase
        self._sent = sent
        self._waits = True
        self._step_s = now_s
        self.ends_s = min(now_s + limit_s, self._started_s + self._times.deadline_s)

    def _write(self, data: bytes) -> None:
        if self._layer is None:
            cast("asyncio.Transport", self._transport).write(data)
            return
        try:
            self._layer.session.write(data)
        except ssl.SSLError as error:
            self._ended(*tls.explain_error(error))
        self._flush(self._layer)

    def _take(self, data: bytes) -> None:
        """Take plain or decrypted bytes."""
        if not self._waits:
            self._keep_unasked(data)
            return
        buffer = self._buffer
        if buffer is None:
            self._first_byte_s = now_s = self._times.clock()
            reply = parse_regular(data)
            if reply is not None:
                self._settle(reply, now_s)
                return
            self._buffer = buffer = bytearray()
        buffer += data
        if b"\n" not in data and len(buffer) <= MAX_REPLY_BYTES:
            return
        end = reply_end(buffer, 0, self._resume)
        if end is not None and end <= MAX_REPLY_BYTES:
            self._deliver(end)
        elif len(buffer) > MAX_REPLY_BYTES:
            self._end = FailureKind.GARBAGE
            self._deliver(len(buffer))
            self._hang_up()
        else:
            self._resume = buffer.rfind(b"\n") + 1

    def _deliver(self, end: int) -> None:
        buffer = self._buffer or bytearray()
        raw, rest = bytes(buffer[:end]), bytes(buffer[end:])
        self._buffer = None
        self._resume = 0
        reply = parse_reply(raw)
        if reply.code is None:
            partial = (raw + rest)[:MAX_REPLY_BYTES]
            failure = Failure(phase=self._phase, kind=FailureKind.GARBAGE, partial=partial)
            self._settle(failure, self._times.clock())
            return
        if rest:
            self._keep_unasked(rest, reply)
        self._settle(reply, self._times.clock())

    def _settle(self, outcome: Reply | Failure, at_s: float) -> None:
        """Record how the exchange has ended, and go on."""
        self._waits = False
        self._exchanges.append(
            Exchange(
                phase=self._phase,
                sent=self._sent,
                outcome=outcome,
                over_tls=self._secure,
                started_s=self._step_s,
                first_byte_s=self._first_byte_s,
                ended_s=at_s,
            )
        )
        self._first_byte_s = None
        if isinstance(outcome, Failure):
            self.failure = outcome
        self._go_on(at_s)

    def _keep_unasked(self, data: bytes, reply: Reply | None = None) -> None:
        self._unasked_bytes += len(data)
        if self._unasked_bytes > MAX_REPLY_BYTES:
            data = data[: max(0, MAX_REPLY_BYTES - self._unasked_bytes + len(data))]
            self._end = FailureKind.GARBAGE
            self._hang_up()
        if not data:
            return
        is_accepted = reply.code == 220 if reply is not None else self._layer is not None
        before = self._phase is Phase.STARTTLS and not self._secure and is_accepted
        last = self._unasked[-1] if self._unasked else None
        if last is not None and (last.after, last.over_tls, last.before_handshake) == (
            self._phase,
            self._secure,
            before,
        ):
            self._unasked.pop()
            data, at_s = last.raw + data, last.at_s
        else:
            at_s = self._times.clock()
        self._unasked.append(
            Unsolicited(after=self._phase, raw=data, at_s=at_s, over_tls=self._secure, before_handshake=before)
        )

    # --- TLS --------------------------------------------------------------------------------------------------------

    def _begin_handshake(self) -> None:
        now_s = self._times.clock()
        self._phase = Phase.TLS
        self._step_s = now_s
        self.ends_s = min(now_s + self._times.step_s, self._started_s + self._times.deadline_s)
        self._layer = layer = tls.begin(self._context, self.endpoint.name)
        self._shake_hands(layer)

    def _shake_hands(self, layer: tls.Layer) -> None:
        try:
            layer.session.do_handshake()
        except ssl.SSLWantReadError:
            self._flush(layer)
        except ssl.SSLError as error:
            self._flush(layer)
            self._fail(*tls.explain_error(error))
            self._hang_up()
        else:
            self._secure = True
            session, self.certificates = tls.read_session(layer.session)
            self._record_handshake(session)
            self._head = b""
            if self._mode is TlsMode.IMPLICIT:
                self._go_on(self._times.clock())
                self._read_all(layer)  # the greeting may be there already
            else:
                self._read_all(layer)  # before the next command goes out, whose reply it cannot be
                self._go_on(self._times.clock())
            self._flush(layer)  # what goes out last in the handshake goes with the command, where there is one

    def _record_handshake(self, outcome: TlsSession | Failure) -> None:
        self._handshake = Handshake(
            outcome=outcome,
            server_name=None if self._layer is None else self._layer.server_name,
            started_s=self._step_s,
            ended_s=self._times.clock(),
        )

    def _read_all(self, layer: tls.Layer) -> None:
        if self._closed_s is not None or self._end is not None:
            return
        plain, end = tls.read_all(layer.session)
        if plain:
            self._take(plain)
        if end is not None:
            self._ended(*end)

    def _flush(self, layer: tls.Layer) -> None:
        data = layer.outgoing.read() if layer.outgoing.pending else b""
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    # --- the end ----------------------------------------------------------------------------------------------------

    def _ended(self, kind: FailureKind, detail: str) -> None:
        """The peer can send nothing any more."""
        if self._end is None and self._closed_s is None:
            self._end = kind
            self._fail(kind, detail)

    def _fail(self, kind: FailureKind, detail: str) -> None:
        """End the step that runs, if one does."""
        if self._layer is not None and not self._secure and self._handshake is None:
            is_tls = bool(self._head) and self._head[0] in TLS_CONTENT_TYPES
            if kind is FailureKind.CLOSED:
                kind = FailureKind.TLS_CLOSED
            self.failure = Failure(phase=Phase.TLS, kind=kind, detail=detail, partial=b"" if is_tls else self._head)
            self._record_handshake(self.failure)
        elif self._waits:
            partial = bytes(self._buffer or b"")
            self._buffer = None
            self._settle(Failure(phase=self._phase, kind=kind, detail=detail, partial=partial), self._times.clock())

    def _hang_up(self) -> None:
        if self._closed_s is not None:
            return
        self._closed_s = self._times.clock()
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._secure and self._end is None and self._layer is not None:
            with suppress(ssl.SSLError):
                self._layer.session.unwrap()  # RFC 8446 6.1: say close_notify
            self._flush(self._layer)
        transport.abort()  # what the system has not taken by now nobody waits for

    def _tell(self) -> None:
        self._transport = None  # which knows us: neither would be gone before somebody looks for such pairs
        then, self._then = self._then, None
        if then is not None:
            then(self)
