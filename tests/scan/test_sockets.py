"""Many short connections: what happens to one is told to it alone, once and in order, in both ways of making them."""

from __future__ import annotations

import asyncio
import errno
import gc
import select
import socket
import struct
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import closing

import pytest
import pytest_asyncio

from smtpprobe.scan import sockets as module
from smtpprobe.scan.sockets import Connector, Sockets, Transports
from tests.loopback import until

MUCH = 8 * 1024 * 1024
"""Bytes. More than any buffer of the system takes."""


class Talker(asyncio.Protocol):
    """Writes down what it is told."""

    def __init__(self, on_data: Callable[[Talker, bytes], None] = lambda talker, data: None) -> None:
        self.told: list[str] = []
        self.data = b""
        self.error: Exception | None = None
        self.transport: asyncio.Transport | None = None
        self._on_data = on_data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._on_data(self, data)

    def eof_received(self) -> bool:
        self.told.append("eof")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.error = exc

    def not_connected(self, error: OSError) -> None:
        self.told.append("not connected")
        self.error = error

    def write(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    @property
    def is_over(self) -> bool:
        return self.told[-1:] in (["lost"], ["not connected"])


@pytest_asyncio.fixture(params=[Sockets, Transports])
async def connector(request: pytest.FixtureRequest) -> AsyncIterator[Connector]:
    made: Connector = request.param()
    yield made
    await made.close()


@pytest_asyncio.fixture
async def listening() -> AsyncIterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def reset(other: socket.socket) -> None:
    """Close it with RST."""
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    other.close()


async def connected(connector: Connector, listening: socket.socket, talker: Talker) -> socket.socket:
    """The server's side."""
    connector.connect(talker, *listening.getsockname())
    other, _ = await asyncio.get_running_loop().sock_accept(listening)
    await until(lambda: bool(talker.told))
    return other


async def test_both_sides_say_something_and_hang_up(connector: Connector, listening: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    talker = Talker(lambda one, data: one.write(b"you said " + data))
    with closing(await connected(connector, listening, talker)) as other:
        await loop.sock_sendall(other, b"220\r\n")
        assert await loop.sock_recv(other, 100) == b"you said 220\r\n"
        await loop.sock_sendall(other, b"221\r\n")
    await until(lambda: talker.is_over)
    assert (talker.told, talker.data) == (["made", "eof", "lost"], b"220\r\n221\r\n")


async def test_ipv6(connector: Connector) -> None:
    talker = Talker()
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with server:
        connector.connect(talker, "::1", server.getsockname()[1])
        await until(lambda: bool(talker.told))
    assert talker.told[0] == "made"


async def test_who_hangs_up_is_told_when_what_runs_has_come_to_its_end(
    connector: Connector, listening: socket.socket
) -> None:
    seen: list[list[str]] = []

    def hang_up(talker: Talker, data: bytes) -> None:
        assert talker.transport is not None
        talker.transport.abort()
        talker.transport.abort()
        assert talker.transport.is_closing()
        talker.write(b"not sent")
        seen.append(list(talker.told))

    talker = Talker(hang_up)
    with closing(await connected(connector, listening, talker)) as other:
        await asyncio.get_running_loop().sock_sendall(other, b"220\r\n")
        await until(lambda: talker.is_over)
        assert await asyncio.get_running_loop().sock_recv(other, 100) == b""
    assert (seen, talker.told, talker.error) == ([["made"]], ["made", "lost"], None)


async def test_a_refused_connection_is_told_with_its_reason(connector: Connector, listening: socket.socket) -> None:
    address, port = listening.getsockname()
    listening.close()
    talker = Talker()
    connector.connect(talker, address, port)
    assert talker.told == []
    await until(lambda: talker.is_over)
    assert talker.told == ["not connected"]
    assert isinstance(talker.error, ConnectionRefusedError)


async def test_an_address_that_cannot_be_is_told_too(connector: Connector) -> None:
    talker = Talker()
    connector.connect(talker, "255.255.255.255", 25)
    assert talker.told == []
    await until(lambda: talker.is_over)
    assert (talker.told, isinstance(talker.error, OSError)) == (["not connected"], True)


async def test_a_reset_is_told_with_its_reason(connector: Connector, listening: socket.socket) -> None:
    talker = Talker()
    other = await connected(connector, listening, talker)
    reset(other)
    await until(lambda: talker.is_over)
    assert (talker.told, isinstance(talker.error, ConnectionResetError)) == (["made", "lost"], True)


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="no epoll here")
@pytest.mark.parametrize("said", [b"554 no\r\n", b""])
async def test_a_connection_that_is_reset_before_anybody_looks_had_stood_and_what_was_said_is_heard(
    listening: socket.socket, said: bytes
) -> None:
    connector = Sockets()
    talker = Talker()
    connector.connect(talker, *listening.getsockname())
    listening.setblocking(True)
    other, _ = listening.accept()
    other.sendall(said)
    reset(other)
    await until(lambda: talker.is_over)
    await connector.close()
    assert (talker.told, talker.data) == (["made", "lost"], said)
    assert isinstance(talker.error, ConnectionResetError)


async def test_so_it_had_if_the_event_loop_tells_it_as_an_attempt_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def cut(*_: object) -> None:
        raise ConnectionResetError(errno.ECONNRESET, "cut")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", cut)
    connector = Transports()
    talker = Talker()
    connector.connect(talker, "127.0.0.1", 25)
    await until(lambda: talker.is_over)
    await connector.close()
    assert (talker.told, isinstance(talker.error, ConnectionResetError)) == (["made", "lost"], True)
    assert talker.transport is not None
    assert talker.transport.is_closing()


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="no epoll here")
async def test_what_has_failed_is_gone_without_anybody_looking_for_garbage(listening: socket.socket) -> None:
    class Forgetful(Talker):
        def not_connected(self, error: OSError) -> None:
            self.told.append("not connected")

        def connection_lost(self, exc: Exception | None) -> None:
            self.told.append("lost")
            self.transport = None

    connector = Sockets()
    talkers = [Forgetful(), Forgetful()]
    other = await connected(connector, listening, talkers[0])
    reset(other)
    address, port = listening.getsockname()
    listening.close()
    connector.connect(talkers[1], address, port)
    gc.disable()
    try:
        await until(lambda: talkers[0].is_over and talkers[1].is_over)
        assert [each.told for each in talkers] == [["made", "lost"], ["not connected"]]
        left = [weakref.ref(each) for each in talkers]
        talkers.clear()
        assert [each() for each in left] == [None, None]
    finally:
        gc.enable()
        await connector.close()


async def test_an_attempt_that_is_given_up_is_none(connector: Connector) -> None:
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())  # and so nobody else is let in
        talkers = [Talker() for _ in range(3)]
        for talker in talkers:
            connector.connect(talker, *full.getsockname())
        for _ in range(3):
            await asyncio.sleep(0)
        waiting = [each for each in talkers if not each.told]
        assert waiting
        for talker in waiting:
            connector.give_up(talker)
            connector.give_up(talker)
        await until(lambda: all(each.is_over for each in waiting))
        assert [each.told for each in waiting] == [["not connected"]] * len(waiting)
        connector.give_up(waiting[0])
        await asyncio.sleep(0)
        assert waiting[0].told == ["not connected"]


async def test_what_the_system_does_not_take_at_once_is_sent_when_it_does(
    connector: Connector, listening: socket.socket
) -> None:
    loop = asyncio.get_running_loop()
    talker = Talker()
    with closing(await connected(connector, listening, talker)) as other:
        talker.write(b"a" * MUCH)
        talker.write(b"the end")
        received = bytearray()
        while not received.endswith(b"the end"):
            received += await loop.sock_recv(other, 1 << 20)
        assert len(received) == MUCH + len(b"the end")
        await loop.sock_sendall(other, b"250\r\n")  # and it still hears
        await until(lambda: talker.data == b"250\r\n")


async def test_two_in_a_row_do_not_wait_for_each_other(listening: socket.socket) -> None:
    options: list[tuple[int, int, int]] = []

    class Watched(socket.SocketType):
        def setsockopt(self, *given: int) -> None:  # type: ignore[override]
            options.append(given)  # type: ignore[arg-type]
            super().setsockopt(*given)

    connector = Sockets()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Socket", Watched)
        talker = Talker(lambda one, data: one.write(b"next"))
        with closing(await connected(connector, listening, talker)) as other:
            talker.write(b"EHLO")
            await asyncio.get_running_loop().sock_sendall(other, b"250\r\n")
            await until(lambda: bool(talker.data))
            assert options == []
            talker.write(b"QUIT")
            assert options == [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    await connector.close()


async def test_a_defect_of_one_touches_no_other(connector: Connector, listening: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    reports: list[object] = []
    loop.set_exception_handler(lambda loop, context: reports.append(context.get("exception")))

    def fail(talker: Talker, data: bytes) -> None:
        raise RuntimeError("cannot happen")

    defective, sound = Talker(fail), Talker()
    with (
        closing(await connected(connector, listening, defective)) as one,
        closing(await connected(connector, listening, sound)) as other,
    ):
        await loop.sock_sendall(one, b"220\r\n")
        await loop.sock_sendall(other, b"220\r\n")
        await until(lambda: bool(sound.data) and defective.is_over)
    assert [str(each) for each in reports] == ["cannot happen"]
    assert str(defective.error) == "cannot happen"


async def test_closing_tells_what_is_not_told_yet(connector: Connector, listening: socket.socket) -> None:
    talker, late = Talker(), Talker()
    other = await connected(connector, listening, talker)
    connector.connect(late, *listening.getsockname())
    assert talker.transport is not None
    talker.transport.abort()
    await connector.close()
    assert talker.told == ["made", "lost"]
    assert late.told[:1] in (["made"], ["not connected"])
    if late.transport is not None:
        late.transport.abort()
    await connector.close()
    with closing(other):
        assert await asyncio.get_running_loop().sock_recv(other, 100) == b""


def test_it_works_where_there_is_no_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    async def made() -> Connector:
        connector = module.connector()
        await connector.close()
        return connector

    assert isinstance(asyncio.run(made()), Sockets)
    monkeypatch.delattr("select.epoll")
    assert isinstance(asyncio.run(made()), Transports)
