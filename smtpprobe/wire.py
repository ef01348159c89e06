"""One connection, recorded: every byte with its time, in plain text and inside TLS, every error put into a `Failure`.

The one importer of aiosmtplib, whose protocol class owns the transport and the writing, and knows which characters a
command must not have. What evidence needs otherwise is done here:

* **Replies** are framed by `replies` from the bytes as they came. What nobody asked for is kept apart and never taken
  for the reply to the next command; no reply is made up where the peer closes without one.
* **TLS** runs through memory (`ssl.MemoryBIO`) on the same connection rather than through the event loop's TLS
  transport. So plain text in place of TLS can be shown, a closed handshake is told from a broken one, bytes behind the
  220 to STARTTLS never reach TLS (RFC 3207 6), closing waits for nobody, and a session costs tens of kilobytes, not
  hundreds.
* **Time** is one timer that moves from step to step. A step is a whole reply, so a byte now and then prolongs nothing.

A step is begun with a function that is called with its outcome, at once when that is there: whoever decides by what
came can say the next command in the same turn of the event loop, which a scan of many servers lives on. For those who
would rather wait there is a coroutine of each step.

A peer that sends without end is cut off at `MAX_REPLY_BYTES`. A `Secret` goes over the wire and nowhere else.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar, cast

from aiosmtplib.errors import SMTPServerDisconnected
from aiosmtplib.protocol import COMMAND_INJECTION_REGEX, SMTPProtocol

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
    TlsSession,
    Unsolicited,
)
from smtpprobe.opening import Opening
from smtpprobe.oserrors import explain_os_error, has_stood
from smtpprobe.replies import parse_regular, parse_reply, reply_end

MAX_HEAD_BYTES: Final = 1024
"""How much of what comes during a handshake is kept, to show what was sent in place of TLS."""

TLS_CONTENT_TYPES: Final = range(20, 25)
"""The first byte of every TLS record: change_cipher_spec to heartbeat (RFC 8446 5.1, RFC 6520 3)."""

REDACTED: Final = b"***"
"""What the evidence has in place of a secret."""

_ENDINGS_OF_THE_PEER: Final = (FailureKind.CLOSED, FailureKind.RESET, FailureKind.TLS_ALERT)

_T = TypeVar("_T")


class Secret(bytes):
    """A word of a command that is sent but never recorded."""

    __slots__ = ()


class Wire(SMTPProtocol):
    """A connection to one endpoint, and the record of it.

    The steps (greeting, command, handshake) are taken one after the other. None raises for what the network or the
    peer does: its outcome is what came or a `Failure`, and is recorded.

    Args:
        endpoint: where to connect.
        clock: seconds since the probe began.
        deadline_s: when everything must be over, on that clock.
        context: what TLS to speak; None: the usual context, made when it is needed.
        begin_tls: begins another kind of session than that of a context, for the server name that it is given.
        on_connected: called as soon as the connection stands.
        opening: the connection, where it is on its way already.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        clock: Callable[[], float],
        deadline_s: float,
        context: ssl.SSLContext | None = None,
        begin_tls: Callable[[str | None], tls.Layer] | None = None,
        on_connected: Callable[[], None] | None = None,
        opening: Opening | None = None,
    ) -> None:
        super().__init__(asyncio.get_running_loop())
        self.endpoint = endpoint
        self.started_s = clock()
        self.connected_s: float | None = None
        self.closed_s: float | None = None
        """When we closed; None as long as we did not."""
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
        self._begin_tls = begin_tls
        self._on_connected = on_connected
        self._opening = opening
        self._heard_s: float | None = None
        """When the first bytes came, if that was before anybody could look."""
        # The step that waits; what it waits for comes together in the buffer of the base.
        self._then: Callable[[Reply | Failure], None] | None = None
        self._sent: bytes | None = None
        self._step_began_s = 0.0
        self._first_byte_s: float | None = None
        self._resume = 0
        self._owes_greeting = True
        """What comes before anybody waits for it is the greeting."""
        # TLS.
        self._layer: tls.Layer | None = None
        self._then_secure: Callable[[TlsSession | Failure], None] | None = None
        self._head = bytearray()
        self._is_tls_next = False
        """STARTTLS was accepted: until the handshake, plain text is an injection (RFC 3207 6)."""
        # What nobody asked for.
        self._unasked: list[_Unasked] = []
        self._unasked_bytes = 0
        # Time.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0
        self._step_ends_s = 0.0
        self._step_limit_s: float | None = None
        """None: the step has all the time that is left."""
        self._usual_s = 0.0
        # How the line ended; None as long as it is good.
        self._end: tuple[FailureKind, str] | None = None
        self._gone: asyncio.Future[None] | None = None

    @property
    def is_open(self) -> bool:
        """The line is good as far as anybody can know."""
        return self.connected_s is not None and self._end is None and self.closed_s is None

    @property
    def unsolicited(self) -> tuple[Unsolicited, ...]:
        """What nobody asked for, in the order in which it came."""
        return tuple([each.written_down() for each in self._unasked])

    # --- opening and closing ----------------------------------------------------------------------------------------

    async def connect(self, timeout_s: float) -> Failure | None:
        """Open the connection.

        Returns:
            None once it stands, else why it does not.
        """
        self.started_s = self._clock() if self._opening is None else self._opening.started_s
        self._usual_s = timeout_s
        left_s = self._deadline_s - self.started_s
        kind, detail = _out_of_time(timeout_s if timeout_s < left_s else None)
        try:
            if left_s > 0:
                async with asyncio.timeout(self.started_s + min(timeout_s, left_s) - self._clock()):
                    await self._open()
                return None
        except OSError as error:
            if error.errno is not None:  # asyncio's own TimeoutError has none
                kind, detail = explain_os_error(error, self.endpoint.address)
            if has_stood(error):
                self._stood_for_a_moment(detail)
                return None
        except asyncio.CancelledError:
            self._fail_connect(FailureKind.INTERRUPTED, "")
            raise
        return self._fail_connect(kind, detail)

    async def _open(self) -> None:
        if self._opening is None:
            await self._loop.create_connection(lambda: self, self.endpoint.address, self.endpoint.port)
            return
        self.connected_s, self._heard_s = await self._opening.stand()
        await self._loop.create_connection(lambda: self, sock=self._opening.socket)

    def _stood_for_a_moment(self, detail: str) -> None:
        """Tell of a connection that was cut before anybody looked."""
        self.connected_s = self._clock()
        self._end_by_peer(FailureKind.RESET, detail)
        self._tell_connected()

    def _tell_connected(self) -> None:
        go_on, self._on_connected = self._on_connected, None  # a cycle less for the garbage collector
        if go_on is not None:
            go_on()

    def hang_up(self) -> None:
        """Close the connection, without waiting for the peer; may be called at any time, also again."""
        if self.closed_s is not None:
            return
        self.closed_s = self._clock()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        transport = cast("asyncio.Transport | None", self.transport)
        if transport is None and self._opening is not None:
            self._opening.close()
        if transport is None or transport.is_closing():
            return
        if self._layer is not None and self._over_ssl and self._end is None:
            with suppress(ssl.SSLError):  # which says that theirs has not come
                self._layer.session.unwrap()  # RFC 8446 6.1: say close_notify
            self._flush(self._layer)
        if transport.get_write_buffer_size():
            transport.abort()  # the peer does not read; waiting for it could take for ever
        else:
            transport.close()

    async def wait_closed(self) -> None:
        """Wait until the socket is closed, by whomever: only then may another connection go to the same address."""
        if self.transport is not None:
            self._gone = self._loop.create_future()
            await self._gone

    def interrupt(self) -> None:
        """Record the step that waits as interrupted; nobody is told its outcome."""
        self._then, self._then_secure = self._then and _nobody, self._then_secure and _nobody
        self._break_step(FailureKind.INTERRUPTED, "")

    # --- the steps --------------------------------------------------------------------------------------------------

    def begin_greeting(self, then: Callable[[Reply | Failure], None], *, timeout_s: float) -> None:
        """Wait for the greeting, which comes unasked."""
        since_s = self.connected_s if self.handshaken is None else self.handshaken.ended_s
        self._begin(Phase.GREETING, then, timeout_s)
        self._step_began_s = self._step_began_s if since_s is None else since_s
        self._owes_greeting = False
        if self._buffer:
            self._look_for_reply()
        if self._end is not None:  # it may be there although the line is dead
            self._break_step(*self._end)

    def begin_command(
        self,
        phase: Phase,
        *words: bytes,
        timeout_s: float,
        then: Callable[[Reply | Failure], None],
        smuggled: bytes = b"",
    ) -> None:
        """Send a command and wait for its reply. To a line that is dead nothing is sent; then nothing is recorded as
        sent either.

        Args:
            words: joined by spaces, with a line end added. A `Secret` is sent but recorded as `REDACTED`.
            smuggled: what goes out behind the line end in the same segment, as an attacker would put it there. Only
                the probe for that hole has a use for it.

        Raises:
            ValueError: a word has a control character, which could smuggle in another command.
        """
        line = b" ".join(words)
        if COMMAND_INJECTION_REGEX.search(line):
            self.phase = phase
            raise ValueError(f"a {phase.value} command with a control character")
        self._begin(phase, then, timeout_s)
        if self._end is not None:
            self._break_step(*self._end)
            return
        line += b"\r\n" + smuggled
        self._sent = line if Secret not in map(type, words) else _redacted(words)
        try:
            self.write(line)
        except SMTPServerDisconnected:  # the transport knows that it is over, and has not told us yet
            self._end_by_peer(FailureKind.CLOSED, "")

    def begin_handshake(self, then: Callable[[TlsSession | Failure], None], *, timeout_s: float) -> None:
        """Begin TLS: after a 220 to STARTTLS, or before anything else where TLS is implicit."""
        self._start(Phase.TLS, timeout_s)
        self._then_secure = then
        self._is_tls_next = False
        if self._begin_tls is not None:
            self._layer = layer = self._begin_tls(self.endpoint.name)
        else:
            self._layer = layer = tls.begin(self._context or tls.client_context(), self.endpoint.name)
        if self._end is not None:
            self._break_step(*self._end)
            return
        early = bytes(self._buffer)
        self._buffer.clear()
        self._first_byte_s = None
        self._shake_hands(layer)
        if early:
            self._decrypt(layer, early)

    async def greeting(self, timeout_s: float) -> Reply | Failure:
        """Wait for the greeting."""
        return await self._wait(lambda then: self.begin_greeting(then, timeout_s=timeout_s))

    async def command(self, phase: Phase, *words: bytes, timeout_s: float, smuggled: bytes = b"") -> Reply | Failure:
        """Send a command and wait for its reply; see `begin_command`."""
        return await self._wait(
            lambda then: self.begin_command(phase, *words, timeout_s=timeout_s, then=then, smuggled=smuggled)
        )

    async def handshake(self, timeout_s: float) -> TlsSession | Failure:
        """Do the TLS handshake."""
        return await self._wait(lambda then: self.begin_handshake(then, timeout_s=timeout_s))

    async def _wait(self, begin: Callable[[Callable[[_T], None]], None]) -> _T:
        """Begin a step and wait for its outcome; when cancelled, the step is interrupted."""
        outcome: asyncio.Future[_T] = self._loop.create_future()

        def tell(what: _T) -> None:
            if not outcome.done():
                outcome.set_result(what)

        begin(tell)
        try:
            return await outcome
        except asyncio.CancelledError:
            self.interrupt()
            raise

    # --- what the event loop calls ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if self.connected_s is None:
            self.connected_s = self._clock()
        self.local_address = str(transport.get_extra_info("sockname")[0])
        self._tell_connected()

    def data_received(self, data: bytes) -> None:
        if self._end is not None or self.closed_s is not None:
            return
        if self._layer is None:
            self._take(data)
        else:
            self._decrypt(self._layer, data)

    def eof_received(self) -> bool:
        self._end_by_peer(FailureKind.CLOSED, "")
        return False  # the transport closes: a peer that cannot answer need not be asked

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if isinstance(exc, OSError):
            self._end_by_peer(*explain_os_error(exc, self.endpoint.address))
        elif exc is not None:
            self._end_by_peer(FailureKind.INTERNAL, repr(exc))
        else:
            self._end_by_peer(FailureKind.CLOSED, "")
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def write(self, data: bytes) -> None:
        if self._layer is None:
            super().write(data)
            return
        try:
            self._layer.session.write(data)
        except ssl.SSLError as error:
            self._end_by_peer(*tls.explain_error(error))
        self._flush(self._layer)

    # --- one exchange -----------------------------------------------------------------------------------------------

    def _begin(self, phase: Phase, then: Callable[[Reply | Failure], None], timeout_s: float) -> None:
        self._start(phase, timeout_s)
        self._then = then
        self._sent = None

    def _start(self, phase: Phase, timeout_s: float) -> None:
        """Start a step, of which there is one at a time (RFC 5321 4.3.1)."""
        if self._then is not None or self._then_secure is not None:
            raise RuntimeError(f"{phase.value} before the step {self.phase.value} is over")
        self.phase = phase
        self._step_began_s = self._clock()
        self._set_time(timeout_s)

    def _settle(self, outcome: Reply | Failure, at_s: float) -> None:
        """Record how the exchange that waits has ended, and tell who waits for it."""
        then, self._then = self._then, None
        if then is None:
            return
        self.exchanges.append(
            Exchange(
                phase=self.phase,
                sent=self._sent,
                outcome=outcome,
                over_tls=self._over_ssl,
                started_s=self._step_began_s,
                first_byte_s=self._first_byte_s,
                ended_s=at_s,
            )
        )
        self._first_byte_s = None
        if isinstance(outcome, Failure):
            self.failure = outcome
        then(outcome)

    def _take(self, data: bytes) -> None:
        """Take plain or decrypted bytes: into the reply that is awaited, or as something that nobody asked for."""
        if self._then is None and not self._owes_greeting:
            self._keep_unasked(data)
            return
        if not self._buffer:
            self._first_byte_s = now_s = self._clock() if self._heard_s is None else self._heard_s
            self._heard_s = None
            if self._then is not None:
                reply = parse_regular(data)
                if reply is not None:
                    self._accept(reply)
                    self._settle(reply, now_s)
                    return
        self._buffer += data
        if self._then is not None:
            if b"\n" in data or len(self._buffer) > MAX_REPLY_BYTES:
                self._look_for_reply()
        elif len(self._buffer) > MAX_REPLY_BYTES:
            self._give_up("more than a greeting can be, before it was asked for")

    def _look_for_reply(self) -> None:
        """Hand over the reply in the buffer if it is complete, or longer than any may be."""
        buffer = self._buffer
        end = reply_end(buffer, 0, self._resume)
        if end is not None and end <= MAX_REPLY_BYTES:
            self._deliver(end)
        elif len(buffer) > MAX_REPLY_BYTES:
            self._give_up("the reply does not end")
            self._deliver(len(buffer))
        else:
            self._resume = buffer.rfind(b"\n") + 1

    def _deliver(self, end: int) -> None:
        """Hand over the reply at the beginning of the buffer; what stands behind it nobody asked for."""
        raw, rest = bytes(self._buffer[:end]), bytes(self._buffer[end:])
        self._buffer.clear()
        self._resume = 0
        reply = parse_reply(raw)
        if reply.code is None:
            partial = (raw + rest)[:MAX_REPLY_BYTES]
            self._settle(Failure(phase=self.phase, kind=FailureKind.GARBAGE, partial=partial), self._clock())
            return
        self._accept(reply)
        if rest:  # before the next command goes out, whose reply it cannot be
            self._keep_unasked(rest)
        self._settle(reply, self._clock())

    def _accept(self, reply: Reply) -> None:
        """Note what follows from a reply for what comes behind it."""
        self._is_tls_next = self.phase is Phase.STARTTLS and reply.code == 220 and self._layer is None

    def _keep_unasked(self, data: bytes) -> None:
        self._unasked_bytes += len(data)
        if self._unasked_bytes > MAX_REPLY_BYTES:
            data = data[: max(0, MAX_REPLY_BYTES - self._unasked_bytes + len(data))]
            self._give_up(f"more than {MAX_REPLY_BYTES} bytes that nobody asked for")
        where = (self.phase, self._over_ssl, self._is_tls_next)
        if self._unasked and self._unasked[-1].where == where:
            self._unasked[-1].raw += data
        elif data:
            self._unasked.append(_Unasked(where, self._clock(), data))

    # --- TLS --------------------------------------------------------------------------------------------------------

    def _shake_hands(self, layer: tls.Layer) -> None:
        """Go on with the handshake as far as what came allows."""
        try:
            layer.session.do_handshake()
        except ssl.SSLWantReadError:
            self._flush(layer)
        except ssl.SSLError as error:
            self._flush(layer)  # our alert
            self._fail_handshake(*tls.explain_error(error))
        else:
            self._flush(layer)
            self._over_ssl = True
            session, self.certificates = layer.describe()
            then = self._record_handshake(session)
            self._read_all(layer)  # before the next command goes out, whose reply it cannot be
            then(session)

    def _decrypt(self, layer: tls.Layer, data: bytes) -> None:
        layer.incoming.write(data)
        if self._over_ssl:
            self._read_all(layer)
        elif self._then_secure is not None:
            self._head += data[: MAX_HEAD_BYTES - len(self._head)]
            self._shake_hands(layer)

    def _read_all(self, layer: tls.Layer) -> None:
        """Take all plain text that is there."""
        end = None
        while end is None and self._end is None and self.closed_s is None:
            plain, end = tls.read_all(layer.session)
            if plain:
                self._take(plain)
            elif end is None:
                break
        if layer.outgoing.pending:
            self._flush(layer)
        if end is not None:
            self._end_by_peer(*end)

    def _flush(self, layer: tls.Layer) -> None:
        data = layer.outgoing.read()
        if data and self.is_connected:
            super().write(data)

    def _fail_handshake(self, kind: FailureKind, detail: str) -> None:
        if kind is FailureKind.CLOSED:
            kind = FailureKind.TLS_CLOSED
        is_tls = bool(self._head) and self._head[0] in TLS_CONTENT_TYPES
        partial = b"" if is_tls else bytes(self._head)
        self.failure = Failure(phase=Phase.TLS, kind=kind, detail=detail, partial=partial)
        self._record_handshake(self.failure)(self.failure)

    def _record_handshake(self, outcome: TlsSession | Failure) -> Callable[[TlsSession | Failure], None]:
        """Record how the handshake has ended.

        Returns:
            Whom to tell.
        """
        then, self._then_secure = self._then_secure or _nobody, None
        self.handshaken = Handshake(
            outcome=outcome,
            server_name=None if self._layer is None else self._layer.server_name,
            started_s=self._step_began_s,
            ended_s=self._clock(),
        )
        return then

    # --- the end of the line ----------------------------------------------------------------------------------------

    def _end_by_peer(self, kind: FailureKind, detail: str) -> None:
        """Note that nothing can come any more, and end the step that waits for it."""
        if self._end is None and self.closed_s is None:
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
        if self._then_secure is not None:
            self._fail_handshake(kind, detail)
        elif self._then is not None:
            partial = bytes(self._buffer)
            self._settle(Failure(phase=self.phase, kind=kind, detail=detail, partial=partial), self._clock())

    def _fail_connect(self, kind: FailureKind, detail: str) -> Failure:
        # It may have stood for the moment in which its time was up.
        self._then = self._then_secure = self.connected_s = None
        self.failure = Failure(phase=Phase.CONNECT, kind=kind, detail=detail)
        self.hang_up()
        return self.failure

    # --- time -------------------------------------------------------------------------------------------------------

    def _set_time(self, timeout_s: float) -> None:
        """Set when the step that begins must be over, and the timer where it would come too late.

        It is first set for the usual time of a step, which may be before the end of this one: then it is set anew when
        it comes, which is seldom, instead of with each step.
        """
        now_s = self._step_began_s
        ends_s = now_s + timeout_s
        self._step_limit_s = timeout_s
        if ends_s > self._deadline_s:
            ends_s = self._deadline_s
            self._step_limit_s = None
        self._step_ends_s = ends_s
        if self._timer is None:
            self._set_timer(min(ends_s, now_s + self._usual_s), now_s)
        elif self._timer_s > ends_s:
            self._timer.cancel()
            self._set_timer(ends_s, now_s)

    def _set_timer(self, at_s: float, now_s: float) -> None:
        self._timer_s = at_s
        self._timer = self._loop.call_later(max(0.0, at_s - now_s), self._look_at_time)

    def _look_at_time(self) -> None:
        """End the step if its time is up; the timer may have been set for an earlier one."""
        self._timer = None
        if self._then is None and self._then_secure is None:
            return
        now_s = self._clock()
        if now_s < self._step_ends_s:
            self._set_timer(self._step_ends_s, now_s)
        else:
            self._break_step(*_out_of_time(self._step_limit_s))


class _Unasked:
    """Bytes that nobody asked for, as they come in."""

    __slots__ = ("at_s", "raw", "where")

    def __init__(self, where: tuple[Phase, bool, bool], at_s: float, raw: bytes) -> None:
        self.where = where
        """After which step, whether over TLS, and whether it ought to have been TLS."""
        self.at_s = at_s
        self.raw = bytearray(raw)

    def written_down(self) -> Unsolicited:
        after, over_tls, before_handshake = self.where
        return Unsolicited(
            after=after, raw=bytes(self.raw), at_s=self.at_s, over_tls=over_tls, before_handshake=before_handshake
        )


def _out_of_time(limit_s: float | None) -> tuple[FailureKind, str]:
    """What it means when the time for a step is up; None: when that for the whole probe is."""
    if limit_s is None:
        return FailureKind.DEADLINE, "the time for the whole probe is up"
    return FailureKind.TIMEOUT, f"not complete within {limit_s:g} s"


def _redacted(words: tuple[bytes, ...]) -> bytes:
    """A command with secrets as it goes into the evidence."""
    return b" ".join([REDACTED if isinstance(word, Secret) else word for word in words]) + b"\r\n"


def _nobody(outcome: object) -> None:
    """Takes an outcome that nobody waits for any more."""
