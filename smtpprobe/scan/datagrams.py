"""Very many questions to the DNS at once, in datagrams: the plain answers to the questions of a light scan.

The usual stub has a socket, a timer and a whole message of dnspython for each question, which costs more than all that
is said to a mail server. Here a question is one datagram on one of a few sockets, and of the answer only that is read
which is to be known. Only what is plain is taken: records of the wanted type under the name that was asked for, no such
records, no such name. Everything else, as aliases, failures, silence and what was cut, is asked again by the usual
stub, which knows what to do about it.

What is read here is what the usual stub would read, but for how long a denial holds; the tests hold the two against
each other.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from collections import deque
from collections.abc import Iterable
from functools import partial
from socket import AF_INET6, inet_ntoa, inet_ntop
from struct import Struct
from typing import Final, NamedTuple, Protocol

from smtpprobe.evidence import Lookup, LookupStatus, Options
from smtpprobe.resolution import LookupSource
from smtpprobe.stub import make_stub, system_servers
from smtpprobe.targets import NameServer, Transport, parse_name_server

WAIT_S: Final = 2.0
"""The longest wait for an answer, before the usual stub takes over."""
TICK_S: Final = 0.25
"""How often it is looked who has waited for too long."""
SOCKETS: Final = 4
"""For each resolver, so that more than its number must be guessed to forge an answer (RFC 5452 9.2)."""
BUFFER_BYTES: Final = 1 << 20
"""For answers that come while we do something else; the system may allow less."""

_ANSWERS_AT_ONCE: Final = 64
_MAX_BYTES: Final = 4096
_HEADER: Final = Struct("!HHHHHH")
_RECORD: Final = Struct("!HHIH")
_FLAGS: Final = 0x0120
"""RD, to look up what is not known, and AD, to be told what is authenticated (RFC 6840 5.7)."""
_TYPES: Final = {"A": 1, "MX": 15, "AAAA": 28}
_ASKED: Final = {name: Struct("!HH").pack(number, 1) for name, number in _TYPES.items()}
_TTL_MAX: Final = 0x7FFFFFFF
"""RFC 2181 8."""
_PLAIN_NAME: Final = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}", re.ASCII)


class Asker(LookupSource, Protocol):
    """Who answers many questions at once."""

    def ask(self, name: str, rrtype: str) -> asyncio.Future[Lookup]:
        """Put a question; any number may wait for the answer."""
        ...

    async def close(self) -> None:
        """Let go of the sockets; what is open is cancelled."""
        ...


def make_asker(options: Options) -> Asker:
    """Make the cheapest source for the resolvers of the options, else of the system, on the running event loop.

    Raises:
        OptionError: one of the resolvers is no address.
    """
    servers = [parse_name_server(each) for each in options.resolvers] if options.resolvers else system_servers()[0]
    stub = make_stub(options)
    if not servers or any(each.transport is not Transport.PLAIN for each in servers):
        return Deferred(stub)
    return Datagrams(servers, stub, timeout_s=options.timeout_s)


class Deferred:
    """Leaves everything to the usual stub."""

    def __init__(self, stub: LookupSource) -> None:
        self._stub = stub
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Lookup]] = set()

    def ask(self, name: str, rrtype: str) -> asyncio.Future[Lookup]:
        task = self._loop.create_task(self._stub.lookup(name, rrtype))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def lookup(self, name: str, rrtype: str) -> Lookup:
        return await self.ask(name, rrtype)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Open(NamedTuple):
    """A question that waits for its answer."""

    name: str
    rrtype: str
    question: bytes
    """As it stands in the message, and must stand in the answer."""
    answer: asyncio.Future[Lookup]


class _Socket:
    """One socket, to one resolver, with the questions on it by their numbers."""

    __slots__ = ("open", "resolver", "server", "socket")

    def __init__(self, server: NameServer) -> None:
        self.server = server
        self.resolver = str(server)
        self.socket = socket.socket(AF_INET6 if ":" in server.address else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self.open: dict[int, _Open] = {}


class Datagrams:
    """Asks the first of some resolvers, and the next where that one is silent.

    Args:
        stub: who is asked about everything that is not plain.
        timeout_s: the longest time for one question; the stub has as much again.
    """

    def __init__(self, servers: Iterable[NameServer], stub: LookupSource, *, timeout_s: float) -> None:
        self._servers = deque(servers)
        self._rest = Deferred(stub)
        self._wait_s = min(WAIT_S, timeout_s / 2)
        self._loop = asyncio.get_running_loop()
        self._sockets: list[_Socket] = []
        self._next = 0
        self._waiting: deque[tuple[float, _Socket, int, _Open]] = deque()
        """Until when, where, which; the first to give up first. Answered ones are among them until then."""
        self._timer: asyncio.TimerHandle | None = None
        self._heard_s = 0.0
        """When something came last."""

    async def lookup(self, name: str, rrtype: str) -> Lookup:
        return await self.ask(name, rrtype)

    def ask(self, name: str, rrtype: str) -> asyncio.Future[Lookup]:
        question = encode_question(name, rrtype)
        if question is None:
            return self._rest.ask(name, rrtype)
        asked = _Open(name, rrtype, question, self._loop.create_future())
        try:
            at = self._socket()
            number = secrets.randbits(16)
            while number in at.open:
                number = secrets.randbits(16)
            at.socket.send(_HEADER.pack(number, _FLAGS, 1, 0, 0, 0) + question)
        except OSError:  # no descriptor, no route, no room: whatever it is, it is the stub's to tell
            return self._rest.ask(name, rrtype)
        at.open[number] = asked
        now_s = self._loop.time()
        self._waiting.append((now_s + self._wait_s, at, number, asked))
        if self._timer is None:
            self._heard_s = now_s
            self._timer = self._loop.call_later(TICK_S, self._look_at_times)
        return asked.answer

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for at in self._sockets:
            self._close(at)
            for asked in at.open.values():
                asked.answer.cancel()
        self._sockets.clear()
        await self._rest.close()

    # --- sockets ----------------------------------------------------------------------------------------------------

    def _socket(self) -> _Socket:
        """The next one to ask on.

        Raises:
            OSError: there is none, and none can be had.
        """
        if len(self._sockets) < SOCKETS:
            at = _Socket(self._servers[0])
            try:
                # So that others cannot answer, and "port unreachable" comes through.
                at.socket.connect(self._servers[0][:2])
            except OSError:
                at.socket.close()
                raise
            self._loop.add_reader(at.socket.fileno(), partial(self._receive, at))
            self._sockets.append(at)
        self._next = (self._next + 1) % len(self._sockets)
        return self._sockets[self._next]

    def _close(self, at: _Socket) -> None:
        self._loop.remove_reader(at.socket.fileno())
        at.socket.close()

    def _receive(self, at: _Socket) -> None:
        self._heard_s = self._loop.time()
        for _ in range(_ANSWERS_AT_ONCE):
            try:
                data = at.socket.recv(_MAX_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._turn_away(at)
                return
            asked = at.open.pop(int.from_bytes(data[:2], "big"), None)
            if asked is None:
                continue  # late, or forged
            found = read_answer(data, asked.name, asked.rrtype, asked.question, at.resolver)
            if found is None:
                self._hand_over(asked)
            elif not asked.answer.done():
                asked.answer.set_result(found)

    def _turn_away(self, at: _Socket) -> None:
        """A resolver cannot be reached: leave what was asked there to the stub, and ask the next one from now on."""
        if at in self._sockets:
            for each in [each for each in self._sockets if each.server == at.server]:
                self._sockets.remove(each)
                self._close(each)
                for asked in each.open.values():
                    self._hand_over(asked)
                each.open.clear()
            if self._servers[0] == at.server:
                self._servers.rotate(-1)

    def _hand_over(self, asked: _Open) -> None:
        """Leave a question to the usual stub."""

        def tell(task: asyncio.Future[Lookup]) -> None:
            if asked.answer.done():
                return
            if task.cancelled():
                asked.answer.cancel()
            elif (error := task.exception()) is not None:
                asked.answer.set_exception(error)
            else:
                asked.answer.set_result(task.result())

        if not asked.answer.done():
            self._rest.ask(asked.name, asked.rrtype).add_done_callback(tell)

    def _look_at_times(self) -> None:
        now_s = self._loop.time()
        waiting = self._waiting
        while waiting and waiting[0][0] <= now_s:
            _, at, number, asked = waiting.popleft()
            if at.open.get(number) is asked:
                del at.open[number]
                self._hand_over(asked)
                if now_s - self._heard_s >= self._wait_s:
                    self._turn_away(at)
        self._timer = self._loop.call_later(TICK_S, self._look_at_times) if waiting else None


# --- the messages (RFC 1035 4.1) ------------------------------------------------------------------------------------


def encode_question(name: str, rrtype: str) -> bytes | None:
    """Write the question section; None where it is none of the usual ones."""
    asked = _ASKED.get(rrtype)
    if asked is None or len(name) > 253 or not _PLAIN_NAME.fullmatch(name):
        return None
    return b"".join([bytes((len(each),)) + each for each in name.encode("ascii").split(b".")]) + b"\0" + asked


def read_answer(data: bytes, name: str, rrtype: str, question: bytes, resolver: str) -> Lookup | None:
    """Read the answer to a question; None where it is not plain, whatever it is then.

    Args:
        question: the section as it was sent.
        resolver: who answers, as evidence names it.
    """
    end = _HEADER.size + len(question)
    # QR, and neither another kind of query nor cut; one question, and that one.
    if len(data) < end or data[2] & 0xFA != 0x80 or data[4:6] != b"\0\1" or data[_HEADER.size : end] != question:
        return None
    count, code = int.from_bytes(data[6:8], "big"), data[3] & 0x0F
    if count == 0:
        status = LookupStatus.NO_DATA if code == 0 else LookupStatus.NXDOMAIN
        is_final = data[3] & 0x80 or data[2] & 0x04  # RA or AA; with neither it may be a referral (RFC 2308 2.2)
        if code not in (0, 3) or not is_final:
            return None
        return Lookup(name=name, rrtype=rrtype, status=status, authenticated=bool(data[3] & 0x20), resolver=resolver)
    if code != 0:
        return None
    try:
        records, ttl_s = _read_records(data, end, count, _TYPES[rrtype])
    except (_NotPlainError, LookupError, ValueError, OSError):
        return None
    return Lookup(
        name=name,
        rrtype=rrtype,
        status=LookupStatus.ANSWERED,
        records=records,
        ttl_s=ttl_s,
        authenticated=bool(data[3] & 0x20),
        resolver=resolver,
    )


class _NotPlainError(Exception):
    """There is something else in the answer."""


def _read_records(data: bytes, at: int, count: int, wanted: int) -> tuple[tuple[str, ...], int]:
    """Read the answer section: the records in their order, each once, and the smallest TTL."""
    records: dict[str, None] = {}
    ttl_s = _TTL_MAX
    for _ in range(count):
        start = at + 2 + _RECORD.size
        if data[at : at + 2] != b"\xc0\x0c" or start > len(data):  # a pointer to the name in the question
            raise _NotPlainError
        kind, class_, ttl, length = _RECORD.unpack_from(data, at + 2)
        at = start + length
        if kind != wanted or class_ != 1 or ttl > _TTL_MAX or at > len(data):
            raise _NotPlainError
        ttl_s = min(ttl_s, ttl)
        if wanted == 1:
            records[inet_ntoa(data[start:at])] = None
        elif wanted == 28:
            address = inet_ntop(AF_INET6, data[start:at])
            if "." in address:  # an IPv4 address in it, of which there are several spellings
                raise _NotPlainError
            records[address] = None
        else:
            records[f"{data[start] << 8 | data[start + 1]} {_read_name(data, start + 2, at)}"] = None
    return tuple(records), ttl_s


def _read_name(data: bytes, at: int, end: int) -> str:
    """Read a name that stands before `end`, perhaps with its end elsewhere before it (RFC 1035 4.1.4)."""
    labels = []
    limit = at
    is_elsewhere = False
    while length := data[at]:
        if length >= 0xC0:
            goal = (length & 0x3F) << 8 | data[at + 1]
            if goal >= limit or (not is_elsewhere and at + 2 != end):
                raise _NotPlainError
            at = limit = goal
            is_elsewhere = True
            continue
        labels.append(data[at + 1 : at + 1 + length])
        at += 1 + length
    if not is_elsewhere and at + 1 != end:
        raise _NotPlainError
    name = b".".join(labels).decode("ascii")
    # A dot inside a label is none between two.
    if labels and (len(name) > 253 or name.count(".") >= len(labels) or not _PLAIN_NAME.fullmatch(name)):
        raise _NotPlainError
    return name.lower() or "."
