"""A DNS server for the lab: a few records on loopback, and every way in which a name server can let one down.

It answers like a resolver that knows everything: from one set of records, over UDP and TCP on the same port, and over
TLS on another where it is given a certificate, following
aliases, denying with the zone's SOA what is not there (RFC 2308), truncating over UDP what does not fit (RFC 2181 9).
Records come in the order given, so that runs compare. Any answer can be made to go wrong with a `Fault`: failing,
refusing, silent, unreadable, cut short, late. What was asked is kept in `DnsServer.questions`, so that a test can tell
that nothing was asked twice.

    records = '''
    example.org      MX  10 mx1.example.org
    mx1.example.org  A   192.0.2.1
    '''
    async with DnsServer(records) as server:
        options = Options(resolvers=(server.resolver,))

It has no cache, no recursion and no wildcards, and it serves nobody but this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

Records = str | Mapping[str, Mapping[str, str | Iterable[str]]]
"""Records as lines ``NAME [TTL] [IN] TYPE DATA``, the data as in master files (RFC 1035 5.1), or as a mapping
``{"example.org": {"MX": ["10 mx1.example.org"], "A": "192.0.2.1"}}``. All names are full names; a final dot may be
missing. Empty lines and those that begin with ``;`` do not count."""

ANY_TYPE: Final = "ANY"
"""As the type of a fault: for each question about the name."""

DEFAULT_TTL_S: Final = 300
"""Of records that state none."""
NEGATIVE_TTL_S: Final = 60
"""Of what is denied where the records have no SOA: then the root stands in as their zone."""

PLAIN_UDP_BYTES: Final = 512
"""The largest answer over UDP to a client without EDNS0 (RFC 1035 2.3.4)."""
MAX_ALIASES: Final = 16
"""Aliases followed for one answer, as many as common resolvers follow; a loop ends here too."""
PORT_ATTEMPTS: Final = 20
"""How often to look for a port that is free over both UDP and TCP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with the answers to one question. The parts can be combined."""

    rcode: str | None = None
    """Answer with this code and no records: ``SERVFAIL``, ``REFUSED``, ``NOTIMP`` ..."""
    extended_error: int | None = None
    """Add this extended error (RFC 8914), also to an answer with records; only to clients with EDNS0."""
    extra_text: str | None = None
    """The text of the extended error."""
    is_silent: bool = False
    """Never answer; over TCP the connection stays open."""
    is_truncated: bool = False
    """Answer over UDP with the TC bit and no records, so that the client must come over TCP."""
    raw: bytes | None = None
    """Send these bytes behind the identifier of the question instead of an answer."""
    held: asyncio.Event | None = None
    """Answer only once this is set."""
    delay_s: float = 0.0
    """Answer this much later."""
    times: int | None = None
    """Only the first so many questions go wrong; None: all."""


SERVFAIL: Final = Fault(rcode="SERVFAIL")
BOGUS: Final = Fault(rcode="SERVFAIL", extended_error=6)
"""What a validating resolver says of a name whose signatures do not fit (RFC 8914 4.7)."""
REFUSED: Final = Fault(rcode="REFUSED")
NOT_IMPLEMENTED: Final = Fault(rcode="NOTIMP")
SILENT: Final = Fault(is_silent=True)
MALFORMED: Final = Fault(raw=b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\xc0")
"""A header that promises a question and an answer, and a name that ends in the middle of a pointer."""
TRUNCATED: Final = Fault(is_truncated=True)


@dataclass(frozen=True, slots=True)
class Question:
    """One question as it came in."""

    name: str
    """Lower case, without a final dot."""
    rrtype: str
    over_tcp: bool = False


class DnsServer:
    """The server; an asynchronous context manager that runs it.

    Args:
        records: what it knows.
        faults: what goes wrong, by name and type (or `ANY_TYPE`); can be changed while it runs.
        authenticated: the names for which the AD bit is set (RFC 4035 3.2.3), for clients that ask for it.
        address: where it listens.
        port: 0 to choose a free one.
        tls: answer over TLS too (RFC 7858), on a port of its own.
    """

    def __init__(
        self,
        records: Records = "",
        *,
        faults: Mapping[tuple[str, str], Fault] | None = None,
        authenticated: Collection[str] = (),
        address: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.address = address
        self.port = port
        self.tls_port = 0
        """Where it answers over TLS; 0 where it does not."""
        self._tls = tls
        self.questions: list[Question] = []
        self.faults: dict[tuple[str, str], Fault] = dict(faults or {})
        self.authenticated = {_plain(dns.name.from_text(name)) for name in authenticated}
        self._sets: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], dns.rrset.RRset] = {}
        self._names: set[dns.name.Name] = set()
        self._met: dict[tuple[str, str], int] = {}
        self._listeners: list[asyncio.DatagramTransport | asyncio.Server] = []
        self._connections: set[asyncio.Transport] = set()
        self._late: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self.add(records)

    @property
    def resolver(self) -> str:
        """What to give as resolver: ``ADDR:PORT``."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    def add(self, records: Records) -> None:
        """Make more records known, also while the server runs.

        Raises:
            dns.exception.DNSException: a line is no record.
        """
        for line in records.splitlines() if isinstance(records, str) else _lines(records):
            found = _read_line(line)
            if found is None:
                continue
            known = self._sets.setdefault((found.name, found.rdtype), found)
            for record in found:
                known.add(record, found.ttl)
            name = found.name
            while name != dns.name.root:  # RFC 8020 2: what is above an existing name exists too
                self._names.add(name)
                name = name.parent()

    async def hear(self, count: int) -> None:
        """Wait until so many questions have come in all, answered or not."""
        while len(self.questions) < count:
            self._news.clear()
            await self._news.wait()

    async def __aenter__(self) -> Self:
        for attempt in range(1, PORT_ATTEMPTS + 1):
            try:
                await self._listen()
            except OSError:
                await self._stop()
                if self.port or attempt == PORT_ATTEMPTS:
                    raise
            else:
                break
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        stream = await loop.create_server(lambda: _Stream(self), self.address, self.port)
        self._listeners.append(stream)
        port = stream.sockets[0].getsockname()[1]
        datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=(self.address, port))
        self._listeners.append(datagrams)
        self.port = port
        if self._tls is not None:
            inside = await loop.create_server(lambda: _Stream(self), self.address, 0, ssl=self._tls)
            self._listeners.append(inside)
            self.tls_port = inside.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for connection in tuple(self._connections):
            connection.abort()
        for task in tuple(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close their sockets in the next turn of the loop

    # --- one question -----------------------------------------------------------------------------------------------

    def take(self, wire: bytes, send: Any, *, over_tcp: bool) -> None:
        """Answer one message, now or later; what is no question is passed over.

        Args:
            send: is called with the bytes of the answer.
        """
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return
        if query.flags & dns.flags.QR or len(query.question) != 1:
            return
        asked = Question(_plain(query.question[0].name), dns.rdatatype.to_text(query.question[0].rdtype), over_tcp)
        self.questions.append(asked)
        self._news.set()
        fault = self._fault(asked)
        if fault.is_silent:
            return
        answer = self._answer(query, asked, fault)
        if fault.held is None and not fault.delay_s:
            send(answer)
            return
        task = asyncio.get_running_loop().create_task(_send_late(answer, send, fault))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    def _fault(self, asked: Question) -> Fault:
        for key in ((asked.name, asked.rrtype), (asked.name, ANY_TYPE)):
            fault = self.faults.get(key)
            if fault is None:
                continue
            self._met[key] = self._met.get(key, 0) + 1
            if fault.times is None or self._met[key] <= fault.times:
                return fault
        return Fault()

    def _answer(self, query: dns.message.Message, asked: Question, fault: Fault) -> bytes:
        if fault.raw is not None:
            return struct.pack("!H", query.id) + fault.raw
        answer = dns.message.make_response(query, recursion_available=True)
        if fault.extended_error is not None and query.edns >= 0:
            error = dns.edns.EDEOption(dns.edns.EDECode.make(fault.extended_error), fault.extra_text)
            answer.use_edns(0, 0, 1232, options=[error])
        if fault.is_truncated and not asked.over_tcp:
            answer.flags |= dns.flags.TC
        elif fault.rcode is not None:
            answer.set_rcode(dns.rcode.from_text(fault.rcode))
        else:
            self._fill(answer, query)
            wants_ad = query.flags & dns.flags.AD or query.ednsflags & dns.flags.DO
            if wants_ad and asked.name in self.authenticated:
                answer.flags |= dns.flags.AD
        limit = 65535 if asked.over_tcp else max(PLAIN_UDP_BYTES, query.payload)
        try:
            return answer.to_wire(max_size=limit, want_shuffle=False)
        except dns.exception.TooBig:
            for section in (answer.answer, answer.authority, answer.additional):
                section.clear()
            answer.flags |= dns.flags.TC
            return answer.to_wire(max_size=limit)

    def _fill(self, answer: dns.message.Message, query: dns.message.Message) -> None:
        """Put in the records asked for, or the denial."""
        name, rrtype = query.question[0].name, query.question[0].rdtype
        for _ in range(MAX_ALIASES):
            found = self._sets.get((name, rrtype))
            if found is not None:
                answer.answer.append(found)
                return
            alias = self._sets.get((name, dns.rdatatype.CNAME))
            if alias is None or alias in answer.answer:
                break
            answer.answer.append(alias)
            name = alias[0].target
        if name not in self._names and name != dns.name.root:
            answer.set_rcode(dns.rcode.NXDOMAIN)  # RFC 2308 2.1: of the last name of the chain
        answer.authority.append(self._authority(name))

    def _authority(self, name: dns.name.Name) -> dns.rrset.RRset:
        """The SOA of the zone that a name lies in."""
        while name != dns.name.root:
            found = self._sets.get((name, dns.rdatatype.SOA))
            if found is not None:
                return found
            name = name.parent()
        return _ROOT


_ROOT: Final = dns.rrset.from_text(
    ".", NEGATIVE_TTL_S, "IN", "SOA", f"ns.invalid. hostmaster.invalid. 1 3600 600 86400 {NEGATIVE_TTL_S}"
)


async def _send_late(answer: bytes, send: Any, fault: Fault) -> None:
    if fault.held is not None:
        await fault.held.wait()
    if fault.delay_s:
        await asyncio.sleep(fault.delay_s)
    send(answer)


def _lines(records: Mapping[str, Mapping[str, str | Iterable[str]]]) -> Iterable[str]:
    for name, by_type in records.items():
        for rrtype, values in by_type.items():
            for value in (values,) if isinstance(values, str) else values:
                yield f"{name} {rrtype} {value}"


def _read_line(line: str) -> dns.rrset.RRset | None:
    words = line.split(maxsplit=1)
    if not words or words[0].startswith(";"):
        return None
    name, rest, ttl_s = words[0], words[1] if len(words) > 1 else "", DEFAULT_TTL_S
    word, rest = _first_word(rest)
    if word.isdigit():
        ttl_s = int(word)
        word, rest = _first_word(rest)
    if word.upper() == "IN":
        word, rest = _first_word(rest)
    owner = dns.name.from_text(name)
    return dns.rrset.from_text_list(owner, ttl_s, "IN", word, [rest], origin=dns.name.root, relativize=False)


def _first_word(text: str) -> tuple[str, str]:
    word, *rest = text.split(maxsplit=1) or [""]
    return word, rest[0] if rest else ""


def _plain(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


class _Datagrams(asyncio.DatagramProtocol):
    """The UDP side: a datagram is a message."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        def send(answer: bytes) -> None:
            if self._transport is not None and not self._transport.is_closing():
                self._transport.sendto(answer, addr)

        self._server.take(data, send, over_tcp=False)


class _Stream(asyncio.Protocol):
    """The TCP side: messages, each behind its length in two bytes (RFC 1035 4.2.2)."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._server._connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._server._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= 2:
            size = int.from_bytes(self._received[:2], "big")
            if len(self._received) < 2 + size:
                return
            message = bytes(self._received[2 : 2 + size])
            del self._received[: 2 + size]
            self._server.take(message, self._send, over_tcp=True)

    def _send(self, answer: bytes) -> None:
        with contextlib.suppress(OSError):
            if self._transport is not None and not self._transport.is_closing():
                self._transport.write(len(answer).to_bytes(2, "big") + answer)
