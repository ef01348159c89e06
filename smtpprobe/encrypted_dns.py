"""DNS messages over an encrypted and authenticated way: over TLS (RFC 7858), and over HTTPS (RFC 8484).

A resolver that is asked so proves by its certificate who it is (RFC 8310 8.1, the strict profile), so that what it
says of DNSSEC can be believed. Bytes of a question go in, bytes of its answer come out; `stub` reads and writes them.

A connection serves all questions that are open at the same time, and is closed with the last of them: those of a probe
come in a few waves, and nobody need tell when it is over.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from smtpprobe.targets import NameServer, Transport

if TYPE_CHECKING:
    import httpx

MEDIA_TYPE: Final = "application/dns-message"
"""RFC 8484 6."""
MAX_MESSAGE_BYTES: Final = 65535
"""RFC 1035 4.2.2: the length stands in two bytes."""
MAX_HTTP_CONNECTIONS: Final = 8
"""To one resolver at once, where it does not speak HTTP/2, which needs one."""


class NotAnsweredError(Exception):
    """The resolver answered, and not with a DNS message."""


def make_channel(server: NameServer, ca_file: str | None) -> TlsChannel | HttpsChannel:
    """Make the way to a resolver whose transport is an encrypted one. Nothing is opened yet.

    Args:
        ca_file: roots to trust beside the system's.
    """
    return TlsChannel(server, ca_file) if server.transport is Transport.TLS else HttpsChannel(server, ca_file)


@lru_cache(maxsize=8)
def _context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


# --- over TLS -------------------------------------------------------------------------------------------------------


class TlsChannel:
    """Questions over TLS, as many at once as there are, on one connection (RFC 7858 3.3)."""

    def __init__(self, server: NameServer, ca_file: str | None) -> None:
        self._server = server
        self._ca_file = ca_file
        self._users = 0
        self._opening: asyncio.Task[_TlsConnection] | None = None

    async def ask(self, wire: bytes) -> bytes:
        """Put one question.

        Raises:
            OSError: the resolver cannot be reached, or its certificate does not hold.
            EOFError: it closed before its answer was complete.
        """
        async with self._connection() as connection:
            return await connection.ask(wire)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_TlsConnection]:
        if self._opening is None or (self._opening.done() and not _is_good(self._opening)):
            self._opening = asyncio.create_task(_TlsConnection.open(self._server, self._ca_file))
            self._users = 0
        opening = self._opening
        self._users += 1
        try:
            # One that gives up must not take the connection from the others.
            yield await asyncio.shield(opening)
        finally:
            if opening is self._opening:
                self._users -= 1
                if self._users == 0:
                    self._opening = None
                    _close(opening)


def _is_good(opening: asyncio.Task[_TlsConnection]) -> bool:
    return not opening.cancelled() and opening.exception() is None and opening.result().is_open


def _close(opening: asyncio.Task[_TlsConnection]) -> None:
    if not opening.done():
        opening.cancel()
    elif not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class _TlsConnection:
    """One connection, and who waits for which answer on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._next = 0
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, server: NameServer, ca_file: str | None) -> _TlsConnection:
        try:
            reader, writer = await asyncio.open_connection(
                server.address, server.port, ssl=_context(ca_file), server_hostname=server.name or server.address
            )
        except ssl.SSLCertVerificationError as error:
            raise OSError(_certificate_error(error)) from error
        return cls(reader, writer)

    @property
    def is_open(self) -> bool:
        return not self._reading.done()

    async def ask(self, wire: bytes) -> bytes:
        """Put one question, under an identifier that no other has here (RFC 7766 6.2.1); the answer bears its own."""
        while self._next in self._waiting:
            self._next = (self._next + 1) & 0xFFFF
        ident, self._next = self._next, (self._next + 1) & 0xFFFF
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[ident] = answer
        try:
            if self._reading.done():
                raise EOFError
            self._writer.write(len(wire).to_bytes(2, "big") + ident.to_bytes(2, "big") + wire[2:])
            return wire[:2] + (await answer)[2:]
        finally:
            del self._waiting[ident]

    def close(self) -> None:
        self._reading.cancel()
        self._writer.transport.abort()

    async def _read(self) -> None:
        error: Exception = EOFError()
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(2), "big")
                message = await self._reader.readexactly(size)
                answer = self._waiting.get(int.from_bytes(message[:2], "big"))
                if answer is not None and not answer.done():
                    answer.set_result(message)
        except (EOFError, OSError) as failed:
            error = failed
        finally:
            for each in self._waiting.values():
                if not each.done():
                    each.set_exception(error)
            self._writer.transport.abort()


# --- over HTTPS -----------------------------------------------------------------------------------------------------


class HttpsChannel:
    """Questions over HTTPS, a request each."""

    def __init__(self, server: NameServer, ca_file: str | None) -> None:
        self._server = server
        self._ca_file = ca_file
        self._users = 0
        self._client: httpx.AsyncClient | None = None

    async def ask(self, wire: bytes) -> bytes:
        """Put one question.

        Raises:
            OSError: the resolver cannot be reached, or its certificate does not hold.
            NotAnsweredError: what came is no DNS message, with what it is.
        """
        import httpx

        async with self._shared() as client:
            try:
                # RFC 8484 4.1: the identifier is 0, for caches.
                async with client.stream("POST", self._url, content=b"\0\0" + wire[2:]) as response:
                    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                    if response.status_code != 200:
                        raise NotAnsweredError(f"HTTP status {response.status_code} instead of an answer")
                    if media_type != MEDIA_TYPE:
                        raise NotAnsweredError(f"{media_type or 'something'} instead of {MEDIA_TYPE}")
                    message = await _body(response)
            except httpx.HTTPError as error:
                raise OSError(_certificate_error(error) or str(error) or type(error).__name__) from error
        if message[:2] != b"\0\0":
            raise NotAnsweredError("what came is no answer to the question")
        return wire[:2] + message[2:]

    @asynccontextmanager
    async def _shared(self) -> AsyncIterator[httpx.AsyncClient]:
        client = self._client = self._client or self._make_client()
        self._users += 1
        try:
            yield client
        finally:
            self._users -= 1
            if self._users == 0:
                self._client = None
                await client.aclose()

    def _make_client(self) -> httpx.AsyncClient:
        import httpx

        name = self._server.name
        headers = {"Content-Type": MEDIA_TYPE, "Accept": MEDIA_TYPE, "User-Agent": "smtpprobe"}
        return httpx.AsyncClient(
            verify=_context(self._ca_file),
            http2=find_spec("h2") is not None,
            trust_env=False,
            timeout=None,  # noqa: S113 - who asks has a time of his own
            headers=headers if name is None else {**headers, "Host": name},
            limits=httpx.Limits(max_connections=MAX_HTTP_CONNECTIONS),
            event_hooks={"request": [self._name_server]},
        )

    async def _name_server(self, request: httpx.Request) -> None:
        """The connection goes to the address; certificate and SNI go by the name, if there is one."""
        if self._server.name is not None:
            request.extensions = {**request.extensions, "sni_hostname": self._server.name}

    @property
    def _url(self) -> str:
        address, port = self._server.address, self._server.port
        host = f"[{address}]" if ip_address(address).version == 6 else address
        return f"https://{host}:{port}{self._server.path}"


async def _body(response: httpx.Response) -> bytes:
    message = bytearray()
    async for part in response.aiter_bytes():
        message += part
        if len(message) > MAX_MESSAGE_BYTES:
            raise NotAnsweredError("more than a DNS message can be")
    return bytes(message)


# --- errors ---------------------------------------------------------------------------------------------------------


def _certificate_error(error: BaseException | None) -> str | None:
    """Why the certificate of the resolver does not hold; None where that is not the trouble."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"the certificate of the resolver does not hold: {error.verify_message}"
        error = error.__cause__ or error.__context__
    return None
