"""Well-behaved mail servers for the lab, on aiosmtpd: a relay, and submission with STARTTLS or implicit TLS.

They do what they say. A message for the domain is accepted and thrown away, one for anybody else is refused unless the
client logged in, passwords are taken inside TLS only, and every reply has its enhanced status code. They run on the
event loop of the caller, keep a `Visit` for each client as the scripted servers do (but do not watch its manners), and
leave nothing behind.

aiosmtpd is an extra: importing this module without it says so.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self, cast

from smtpprobe.errors import MissingExtraError
from smtpprobe.lab.scripted import (
    HANDSHAKE_TIMEOUT_S,
    SHUTDOWN_TIMEOUT_S,
    Visit,
    closed,
    ehlo_reply,
)

try:
    from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
except ImportError as error:  # pragma: no cover - the tests come with it
    raise MissingExtraError("the lab", "lab") from error

MAX_MESSAGE_BYTES: Final = 10_240_000
"""What common servers are shipped with."""
IDLE_TIMEOUT_S: Final = 300.0
"""RFC 5321 4.5.3.2.7: a server waits at least five minutes for the next command."""
PASSWORDS: Final[Mapping[str, str]] = MappingProxyType({"alice": "correct horse"})
"""Who may submit mail, in the lab."""

SHORT_CODES: Final = {b"500": b"5.5.1", b"501": b"5.5.4", b"502": b"5.5.1", b"503": b"5.5.1", b"504": b"5.5.4"}
"""Enhanced codes (RFC 3463) for replies to which aiosmtpd gives none."""
_BARE_REPLY: Final = re.compile(rb"([245]\d\d) (?!\d\.\d{1,3}\.\d{1,3} )(.*)", re.DOTALL)

Tls = ssl.SSLContext | Callable[[], ssl.SSLContext]
"""To make a context takes longer than a session, so a world of many servers makes them late."""

# Without any handler, Python prints warnings to stderr: what a client says is no business of the terminal's.
logging.getLogger("mail.log").addHandler(logging.NullHandler())


class MailServer:
    """One of these servers; an asynchronous context manager that runs it.

    Args:
        name: the host's name, in greeting and EHLO.
        domain: whose mail is accepted from anybody.
        tls: the server's side of TLS, or how to make it once it is needed; None: there is none.
        is_implicit: TLS begins with the connection (RFC 8314 3.3), instead of on STARTTLS.
        passwords: those who may log in, inside TLS; None: there is no AUTH.
        host: the loopback address to listen on.
        port: 0 to choose a free one.
        listener: a bound socket to listen on instead; the server closes it.
    """

    def __init__(
        self,
        name: str,
        *,
        domain: str | None = None,
        tls: Tls | None = None,
        is_implicit: bool = False,
        passwords: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        listener: socket.socket | None = None,
    ) -> None:
        if is_implicit and tls is None:
            raise ValueError("implicit TLS needs a context")
        self.name = name
        self.host = host
        self.port = port
        self.visits: list[Visit] = []
        self.most_at_once = 0
        """How many connections were open at once at most."""
        self._tls = tls
        self._is_implicit = is_implicit
        self._mailbox = _Mailbox(domain, None if tls is None else passwords)
        self._listener = listener
        self._server: asyncio.Server | None = None
        self._open: set[_Session | _Doorway] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        welcome = self._doorway if self._is_implicit else self._session
        if self._listener is not None:
            self._server = await loop.create_server(welcome, sock=self._listener)
        else:
            self._server = await loop.create_server(welcome, self.host, self.port)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._open):
            connection.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await self.idle()
        if self._server is not None:
            await self._server.wait_closed()

    async def idle(self) -> None:
        """Wait until no connection is open."""
        while self._open or self._tasks:
            self._changed.clear()
            await self._changed.wait()

    # --- what connections tell ---

    def entered(self, connection: _Session | _Doorway) -> None:
        self._open.add(connection)
        self.most_at_once = max(self.most_at_once, len(self._open))

    def left(self, connection: _Session | _Doorway) -> None:
        self._open.discard(connection)
        self._changed.set()

    def watch(self, task: asyncio.Task[None]) -> None:
        """Wait for a task in the end, and take its exception: connections break, and that is no news."""

        def end(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._changed.set()
            if not task.cancelled():
                task.exception()

        self._tasks.add(task)
        task.add_done_callback(end)

    def _session(self) -> _Session:
        visit = Visit(peer="")
        self.visits.append(visit)
        return _Session(self, visit, self._mailbox, self._context(), self._is_implicit)

    def _doorway(self) -> _Doorway:
        return _Doorway(self, self._session, cast("ssl.SSLContext", self._context()))

    def _context(self) -> ssl.SSLContext | None:
        if callable(self._tls):
            self._tls = self._tls()
        return self._tls


class _Mailbox:
    """What happens to mail: the hooks that aiosmtpd calls."""

    def __init__(self, domain: str | None, passwords: Mapping[str, str] | None) -> None:
        self._domain = domain
        self.passwords = passwords

    async def handle_HELO(self, server: _Session, session: Session, envelope: Envelope, hostname: str) -> str:  # noqa: N802
        session.host_name = hostname
        return f"250 {server.hostname}"

    async def handle_EHLO(  # noqa: N802
        self, server: _Session, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        keywords = ["PIPELINING", f"SIZE {MAX_MESSAGE_BYTES}", "8BITMIME", "ENHANCEDSTATUSCODES"]
        if server.is_before_tls:
            keywords.append("STARTTLS")
        elif self.passwords is not None:
            keywords.append("AUTH PLAIN LOGIN")
        server.say(ehlo_reply(server.hostname, *keywords))  # at once, instead of a packet for each line
        return []

    async def handle_MAIL(  # noqa: N802
        self, server: _Session, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.passwords is not None and not session.authenticated:
            return "530 5.7.0 Authentication required"  # RFC 6409 4.3
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Sender OK"

    async def handle_RCPT(  # noqa: N802
        self, server: _Session, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not session.authenticated and address.rpartition("@")[2].lower() != self._domain:
            return "550 5.7.1 Relaying denied"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Recipient OK"

    async def handle_DATA(self, server: _Session, session: Session, envelope: Envelope) -> str:  # noqa: N802
        return "250 2.0.0 Accepted, and thrown away: this is a lab"

    async def handle_VRFY(self, server: _Session, session: Session, envelope: Envelope, address: str) -> str:  # noqa: N802
        return "252 2.1.5 Cannot verify, but will take a message"  # RFC 5321 7.3

    def log_in(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: Any) -> AuthResult:
        known = self.passwords or {}
        is_right = (
            isinstance(login, LoginPassword)
            and (password := known.get(login.login.decode("utf-8", "replace"))) is not None
            and hmac.compare_digest(login.password, password.encode())
        )
        return AuthResult(success=is_right, handled=False)


class _Session(SMTP):
    """aiosmtpd's session, with what it says seen to: enhanced codes, and no words that it cannot mean."""

    def __init__(
        self, server: MailServer, visit: Visit, mailbox: _Mailbox, tls: ssl.SSLContext | None, is_implicit: bool
    ) -> None:
        super().__init__(
            mailbox,
            hostname=server.name,
            ident="ESMTP",
            data_size_limit=MAX_MESSAGE_BYTES,
            tls_context=None if is_implicit else tls,
            # Inside implicit TLS it does not know that there is TLS.
            auth_require_tls=not is_implicit,
            authenticator=mailbox.log_in,
            auth_exclude_mechanism=() if mailbox.passwords is not None else ("PLAIN", "LOGIN"),
            timeout=IDLE_TIMEOUT_S,
            loop=asyncio.get_running_loop(),
        )
        self._of = server
        self._visit = visit
        self._line = bytearray()
        self._socket: Any = None

    @property
    def is_before_tls(self) -> bool:
        """STARTTLS can be said now."""
        return self.tls_context is not None and self._tls_protocol is None

    def say(self, data: bytes) -> None:
        """Send bytes as they stand."""
        self._writer.write(data)

    async def push(self, status: str | bytes) -> None:
        reply = status.encode("ascii") if isinstance(status, str) else status
        found = _BARE_REPLY.fullmatch(reply)
        # RFC 2034 3: each reply but those to HELO and EHLO, and the greeting.
        is_named = self.session is not None and self.session.host_name is not None
        if found is not None and is_named and found[2] != self.hostname.encode():
            reply = b"%s %s %s" % (found[1], SHORT_CODES.get(found[1], found[1][:1] + b".0.0"), found[2])
        await super().push(reply)

    def abort(self) -> None:
        if self.transport is not None:
            cast("asyncio.Transport", self.transport).abort()

    # --- what the event loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        is_first = self._socket is None
        super().connection_made(transport)
        if is_first:
            self._socket = transport.get_extra_info("socket")
            peer = transport.get_extra_info("peername")
            self._visit.peer = peer[0] if peer else ""
            self._of.entered(self)
            if self._handler_coroutine is not None:
                self._of.watch(self._handler_coroutine)
        secured = transport.get_extra_info("ssl_object")
        if secured is not None:
            self._visit.tls_version = secured.version()

    def data_received(self, data: bytes) -> None:
        self._visit.received += data
        *lines, rest = (self._line + data).split(b"\n")
        self._visit.lines.extend(bytes(line).rstrip(b"\r") for line in lines)
        self._line = bytearray(rest)
        super().data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._visit.is_over:  # aiosmtpd calls this by itself where a handshake failed, before the event loop does
            return
        if self._tls_protocol is not None and self._visit.tls_version is None:
            cause = error.__cause__ if error is not None and error.__cause__ is not None else error
            self._visit.tls_failure = str(cause) if cause is not None else "closed"
        self._visit.is_over = True
        super().connection_lost(error)
        self._of.watch(asyncio.get_running_loop().create_task(closed(self._socket)))
        self._of.left(self)


class _Doorway(asyncio.Protocol):
    """A connection on which TLS comes first.

    The event loop could do this in `create_server`, but would then keep clients in the middle of a handshake to itself
    when the server ends.
    """

    def __init__(self, server: MailServer, session: Callable[[], _Session], context: ssl.SSLContext) -> None:
        self._of = server
        self._session = session()
        self._context = context
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._of.entered(self)
        self._of.watch(asyncio.get_running_loop().create_task(self._pass_on(self._transport)))

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def _pass_on(self, transport: asyncio.Transport) -> None:
        visit, connection = self._session._visit, transport.get_extra_info("socket")
        secured: asyncio.Transport | None = None
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                self._session,
                self._context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            )
        except OSError as error:
            visit.tls_failure = str(error) or type(error).__name__
        finally:
            if secured is None:
                visit.is_over = True
                transport.abort()
                await closed(connection)
            self._of.left(self)
        if secured is not None:
            self._session.connection_made(secured)


def relay(name: str, tls: Tls | None, *, domain: str | None = None, **where: Any) -> MailServer:
    """A server that takes mail for a domain from anybody, as on port 25.

    Args:
        where: ``host`` and ``port``, or ``listener``, as for `MailServer`.
    """
    return MailServer(name, domain=domain, tls=tls, **where)


def submission(name: str, tls: Tls, **where: Any) -> MailServer:
    """A server that takes mail from its own users, who log in after STARTTLS, as on port 587 (RFC 6409)."""
    return MailServer(name, tls=tls, passwords=PASSWORDS, **where)


def submissions(name: str, tls: Tls, **where: Any) -> MailServer:
    """The same over implicit TLS, as on port 465 (RFC 8314 3.3)."""
    return MailServer(name, tls=tls, is_implicit=True, passwords=PASSWORDS, **where)
