"""Very many short connections at once: sockets under one epoll, which the event loop watches as a whole.

A transport of asyncio is made for connections that live. Making and unmaking one costs more than all that is said in a
session of a scan, also with uvloop. Here a connection is a socket and two methods; what it does is told to the same
kind of protocol, in the same order: `connection_made`, `data_received`, `eof_received`, `connection_lost`.

`Sockets` needs epoll (Linux). Elsewhere `Transports` does the same with what the event loop has.
"""

from __future__ import annotations

import asyncio
import select
import socket
from _socket import SocketType as Socket  # without the layers for files, timeouts and names
from collections import deque
from errno import EINPROGRESS
from socket import AF_INET, AF_INET6, IPPROTO_TCP, MSG_PEEK, SOCK_STREAM, TCP_NODELAY
from typing import Final, Protocol

from smtpprobe.oserrors import has_stood

_EVENTS_AT_ONCE: Final = 1024
_READ_BYTES: Final = 16 * 1024
_TURNS_TO_TELL: Final = 3
"""Within so many turns an event loop tells a protocol that its transport was closed."""
_BEGUN: Final = (0, EINPROGRESS)

# Not everywhere, as `Sockets` is not.
EPOLLERR: Final[int] = getattr(select, "EPOLLERR", 0)
EPOLLOUT: Final[int] = getattr(select, "EPOLLOUT", 0)
_ENDS: Final[int] = EPOLLERR | getattr(select, "EPOLLHUP", 0) | getattr(select, "EPOLLRDHUP", 0)
_EVENTS: Final[int] = EPOLLOUT | getattr(select, "EPOLLIN", 0) | _ENDS | getattr(select, "EPOLLET", 0)
"""Whatever is new, each once: so nothing need be asked for again."""
MSG_NOSIGNAL: Final[int] = getattr(socket, "MSG_NOSIGNAL", 0)
SOCK_NONBLOCK: Final[int] = getattr(socket, "SOCK_NONBLOCK", 0)


class Talker(Protocol):
    """What is told how a connection fares: an `asyncio.Protocol`, and what becomes of the attempt to make one."""

    def connection_made(self, transport: asyncio.BaseTransport, /) -> None: ...
    def data_received(self, data: bytes, /) -> None: ...
    def eof_received(self) -> bool | None: ...
    def connection_lost(self, exc: Exception | None, /) -> None: ...
    def not_connected(self, error: OSError, /) -> None:
        """No connection came about; nothing else is told."""
        ...


class Connector(Protocol):
    """Who makes connections."""

    def connect(self, talker: Talker, address: str, port: int) -> None:
        """Begin to make one to an address in figures; how it fares is told to `talker`, never before this returns."""
        ...

    def give_up(self, talker: Talker) -> None:
        """Give up making one that does not exist yet."""
        ...

    async def close(self) -> None:
        """Give up all attempts, and let every end be told that is not told yet. Whoever made a connection closes it."""
        ...


def connector() -> Connector:
    """The best that there is here, on the running event loop."""
    return Sockets() if hasattr(select, "epoll") else Transports()


class Sockets:
    """Connections under one epoll."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._by_number: dict[int, _Connection] = {}
        self._ended: deque[_Connection] = deque()
        """Closed ones of which that is still to be told, which is done when nobody is in the middle of anything."""
        self._is_turning = False
        self._loop.add_reader(self._epoll.fileno(), self._turn)

    def connect(self, talker: Talker, address: str, port: int) -> None:
        opened = None
        try:
            opened = Socket(AF_INET6 if ":" in address else AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)
            number = opened.connect_ex((address, port))
            if number not in _BEGUN:
                raise OSError(number, "")
            descriptor = opened.fileno()
            self._epoll.register(descriptor, _EVENTS)
        except OSError as error:
            if opened is not None:
                opened.close()
            self._loop.call_soon(talker.not_connected, error)
        else:
            self._by_number[descriptor] = _Connection(self, talker, opened, descriptor)

    def give_up(self, talker: Talker) -> None:
        for connection in self._by_number.values():
            if connection.talker is talker and not connection.is_made:
                connection.abort()
                break

    async def close(self) -> None:
        if self._epoll.closed:
            return
        self._loop.remove_reader(self._epoll.fileno())
        for connection in list(self._by_number.values()):
            connection.abort()
        self._tell_ended()
        self._epoll.close()

    # --- for connections --------------------------------------------------------------------------------------------

    def end(self, connection: _Connection) -> None:
        """Close its socket now, and tell its talker as soon as nobody is in the middle of anything."""
        del self._by_number[connection.descriptor]
        connection.socket.close()  # and so it leaves the epoll
        if not (self._ended or self._is_turning):
            self._loop.call_soon(self._tell_ended)
        self._ended.append(connection)

    # --- the loop ---------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        connections = self._by_number
        self._is_turning = True
        for number, events in self._epoll.poll(0, _EVENTS_AT_ONCE):
            connection = connections.get(number)
            if connection is None:
                continue  # closed in this turn
            try:
                if connection.is_made:
                    connection.go_on(events)
                else:
                    self._made(connection, events)
                if self._ended:
                    self._tell_ended()
            except Exception as defect:  # noqa: BLE001 - of one talker, and what is new for the others comes only once
                connection.lose(defect)
                self._loop.call_exception_handler({"message": "a talker failed", "exception": defect})
        self._is_turning = False
        if self._ended:
            self._loop.call_soon(self._tell_ended)

    def _made(self, connection: _Connection, events: int) -> None:
        if events & EPOLLERR:
            try:  # a server that spoke and reset the connection before anybody looked was there
                connection.socket.recv(1, MSG_PEEK)
            except OSError as error:
                connection.lose(error)
                if not has_stood(error):
                    return
        connection.is_made = True
        connection.talker.connection_made(connection)
        if events != EPOLLOUT:
            connection.go_on(events)

    def _tell_ended(self) -> None:
        while self._ended:
            connection = self._ended.popleft()
            # It knows the frame in which it was raised, and so the connection: neither would be gone at once.
            error, connection.error = connection.error, None
            if connection.is_made:
                connection.talker.connection_lost(error)
            else:
                connection.talker.not_connected(error if isinstance(error, OSError) else OSError())


class _Connection(asyncio.BaseTransport):
    """One connection, with as much of `asyncio.Transport` as a short session needs."""

    __slots__ = (
        "_has_spoken",
        "_is_closing",
        "_owner",
        "_unsent",
        "descriptor",
        "error",
        "is_made",
        "socket",
        "talker",
    )

    def __init__(self, owner: Sockets, talker: Talker, opened: Socket, descriptor: int) -> None:
        self._owner = owner
        self._has_spoken = False
        """Nothing has come since the last thing was sent."""
        self._unsent = b""
        self._is_closing = False
        self.talker = talker
        self.socket = opened
        self.descriptor = descriptor
        self.is_made = False
        self.error: Exception | None = None

    def write(self, data: bytes) -> None:
        """Send it, now or as soon as there is room."""
        if self._is_closing:
            return
        if self._unsent:
            self._unsent += data
            return
        try:
            if self._has_spoken:  # not to wait until the first part is acknowledged, as RFC 896 has it
                self.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            self._has_spoken = True
            sent = self.socket.send(data, MSG_NOSIGNAL)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self.lose(error)
            return
        if sent < len(data):
            self._unsent = data[sent:]

    def is_closing(self) -> bool:
        return self._is_closing

    def abort(self) -> None:
        """Close it; what could not be sent is not sent any more."""
        self.lose(None)

    close = abort

    def go_on(self, events: int) -> None:
        """Take all that has come, and send what was left."""
        if events & ~EPOLLOUT:
            is_last = False
            while not (is_last or self._is_closing):
                try:
                    data = self.socket.recv(_READ_BYTES)
                except (BlockingIOError, InterruptedError):
                    break
                except OSError as error:
                    self.lose(error)
                    return
                self._has_spoken = False
                if data:
                    # Less than there is room for is all that there is, unless the end has come, too.
                    is_last = len(data) < _READ_BYTES and not events & _ENDS
                    self.talker.data_received(data)
                else:
                    self.talker.eof_received()
                    self.lose(None)
        if self._unsent and events & EPOLLOUT and not self._is_closing:
            data, self._unsent = self._unsent, b""
            self.write(data)

    def lose(self, error: Exception | None) -> None:
        """Close it for a reason; None: because somebody wants it."""
        if not self._is_closing:
            self._is_closing = True
            self.error = error
            self._owner.end(self)


class Transports:
    """The same with the event loop's own transports, where there is no epoll."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._connecting: dict[Talker, asyncio.Task[OSError | None]] = {}

    def connect(self, talker: Talker, address: str, port: int) -> None:
        teller = _Teller(talker)
        attempt = self._loop.create_task(self._connect(teller, address, port))
        self._connecting[talker] = attempt

        def attempted(_: object) -> None:
            del self._connecting[talker]
            if teller.is_made:
                return
            error = OSError() if attempt.cancelled() else attempt.result() or OSError()
            if has_stood(error):
                talker.connection_made(_Cut())
                talker.connection_lost(error)
            else:
                talker.not_connected(error)

        attempt.add_done_callback(attempted)  # which is called even if it was given up before it began

    async def _connect(self, teller: _Teller, address: str, port: int) -> OSError | None:
        try:
            await self._loop.create_connection(lambda: teller, address, port)
        except OSError as error:
            return error
        return None

    def give_up(self, talker: Talker) -> None:
        connecting = self._connecting.get(talker)
        if connecting is not None:
            connecting.cancel()

    async def close(self) -> None:
        for connecting in self._connecting.values():
            connecting.cancel()
        await asyncio.gather(*self._connecting.values(), return_exceptions=True)
        for _ in range(_TURNS_TO_TELL):
            await asyncio.sleep(0)


class _Cut(asyncio.Transport):
    """What is left of a connection that was cut before there was a transport for it."""

    def write(self, data: object) -> None:
        """Send nothing."""

    def is_closing(self) -> bool:
        return True

    def abort(self) -> None:
        """It is closed."""

    close = abort


class _Teller(asyncio.Protocol):
    """Passes everything on, and knows whether there is a connection."""

    def __init__(self, talker: Talker) -> None:
        self._talker = talker
        self.is_made = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.is_made = True
        self._talker.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._talker.data_received(data)

    def eof_received(self) -> bool | None:
        return self._talker.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._talker.connection_lost(exc)
