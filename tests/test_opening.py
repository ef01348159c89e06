"""Connections that set out early: the times are those of the network, and each is handed over once or closed."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import sys
from ipaddress import ip_address
from struct import pack_into

import pytest

from smtpprobe import opening
from smtpprobe.endpoints import host_of_address, plan_endpoints
from smtpprobe.errors import OptionError
from smtpprobe.evidence import Endpoint, Failure, FailureKind, Options, Phase, Resolution, TlsMode
from smtpprobe.lab.scripted import Close, Reset, ScriptedServer, Stall, Step, greeting, serve
from smtpprobe.opening import Opening, Openings, set_out
from smtpprobe.probing import collect
from smtpprobe.targets import parse_target
from smtpprobe.wire import Wire
from tests.loopback import MX, clock, closed_port, endpoint, silent_port, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing sets out early elsewhere")

LONG_S = 30.0
OPTIONS = Options(timeout_s=20.0, greeting_timeout_s=20.0, deadline_s=60.0, ehlo_name="client.example.org")


def is_closed(begun: Opening) -> bool:
    return begun.socket.fileno() == -1


# --- what sets out --------------------------------------------------------------------------------------------------


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Where connections set out to, though none does."""
    where: list[tuple[str, int]] = []

    class Nowhere(Opening):
        def __init__(self, endpoint: Endpoint, clock: object) -> None:
            where.append((endpoint.address, endpoint.port))
            self.socket = socket.socket()

    monkeypatch.setattr(opening, "Opening", Nowhere)
    return where


def set_out_and_return(target: str, options: Options = OPTIONS) -> None:
    begun = set_out(parse_target(target), options)
    if begun is not None:
        begun.close()


@pytest.mark.parametrize(
    ("target", "ports"),
    [("192.0.2.1", [25, 465, 587]), ("192.0.2.1:2525", [2525]), ("[2001:db8::1]:465", [465])],
)
def test_all_endpoints_of_an_address_set_out(target: str, ports: list[int], sent: list[tuple[str, int]]) -> None:
    set_out_and_return(target)
    assert [port for _, port in sent] == ports
    assert {ip_address(address).is_loopback for address, _ in sent} == {False}


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("example.org", OPTIONS),
        ("mx.example.org:25", OPTIONS),
        ("localhost", OPTIONS),
        ("127.0.0.1", OPTIONS),
        ("[::1]:25", OPTIONS),
        ("192.0.2.1", Options(ca_file="roots.pem")),
        ("192.0.2.1", Options(posture=True)),
    ],
)
def test_nothing_sets_out_where_something_else_comes_first(
    target: str, options: Options, sent: list[tuple[str, int]]
) -> None:
    set_out_and_return(target, options)
    assert not sent


def test_an_ehlo_name_that_is_none_is_told_before_anything_sets_out(sent: list[tuple[str, int]]) -> None:
    with pytest.raises(OptionError):
        set_out_and_return("192.0.2.1", Options(ehlo_name="under_score"))
    assert not sent


def test_no_more_set_out_than_may_be_open_at_once(sent: list[tuple[str, int]]) -> None:
    set_out_and_return("192.0.2.1", Options(concurrency=2))
    assert len(sent) == 2


def test_an_address_that_cannot_even_be_tried_is_left_to_the_conversation() -> None:
    openings = Openings([endpoint(("fe80::1%no-such-interface", 25))])
    assert openings.take(endpoint(("fe80::1%no-such-interface", 25))) is None


# --- handing over ---------------------------------------------------------------------------------------------------


async def test_a_probe_talks_on_the_connection_that_set_out() -> None:
    async with ScriptedServer((greeting(MX), serve(MX))) as server:
        target = parse_target(f"127.0.0.1:{server.port}")
        here = Resolution(hosts=(host_of_address("127.0.0.1"),))
        openings = Openings(plan_endpoints(target, here, OPTIONS))
        evidence = await collect(target, OPTIONS, openings=openings)
        await server.idle()
        assert len(server.visits) == 1, "there is no second connection"
    (conversation,) = evidence.conversations
    assert [each.phase for each in conversation.exchanges] == [Phase.GREETING, Phase.EHLO, Phase.QUIT]
    assert conversation.connected_s is not None
    assert conversation.started_s <= conversation.connected_s <= conversation.exchanges[0].ended_s
    assert evidence.started_at is openings.started_at


async def test_what_nobody_takes_is_closed() -> None:
    async with ScriptedServer((greeting(MX), Stall())) as server:
        openings = Openings([endpoint(server)])
        (begun,) = openings._waiting.values()
        with closed_port() as (_, port):
            await collect(parse_target(f"localhost:{port}"), OPTIONS, openings=openings)
        assert is_closed(begun)
        await server.idle()


async def test_a_refusal_is_told_as_ever() -> None:
    with closed_port() as where:
        begun = Opening(endpoint(where), clock())
        wire = Wire(endpoint(where), clock=clock(), deadline_s=60.0, opening=begun)
        failure = await wire.connect(LONG_S)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.REFUSED
    assert failure.detail.startswith("ECONNREFUSED: ")
    assert wire.connected_s is None
    assert is_closed(begun)


@pytest.mark.parametrize(("step", "kind"), [(Reset(), FailureKind.RESET), (Close(), FailureKind.CLOSED)])
async def test_a_connection_that_ended_before_anybody_looked_had_stood(step: Step, kind: FailureKind) -> None:
    async with ScriptedServer((step,)) as server:
        begun = Opening(endpoint(server), clock())
        await until(lambda: bool(server.visits))
        await server.idle()
        wire = Wire(endpoint(server), clock=clock(), deadline_s=60.0, opening=begun)
        assert await wire.connect(LONG_S) is None
        failure = await wire.greeting(LONG_S)
        wire.hang_up()
        await wire.wait_closed()
    assert isinstance(failure, Failure)
    assert (failure.phase, failure.kind) == (Phase.GREETING, kind)
    assert wire.connected_s is not None


@pytest.mark.parametrize(
    ("timeout_s", "deadline_s", "kind"), [(0.05, 60.0, FailureKind.TIMEOUT), (LONG_S, 0.05, FailureKind.DEADLINE)]
)
async def test_silence_ends_with_its_time_or_that_of_the_probe(
    timeout_s: float, deadline_s: float, kind: FailureKind
) -> None:
    with silent_port() as where:
        now_s = clock()
        begun = Opening(endpoint(where), now_s)
        failure = await Wire(endpoint(where), clock=now_s, deadline_s=deadline_s, opening=begun).connect(timeout_s)
    assert isinstance(failure, Failure)
    assert failure.kind is kind
    assert is_closed(begun)


async def test_the_time_for_connecting_counts_from_when_it_set_out() -> None:
    with silent_port() as where:
        begun = Opening(endpoint(where), lambda: -LONG_S)
        failure = await Wire(endpoint(where), clock=clock(), deadline_s=60.0, opening=begun).connect(LONG_S)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.TIMEOUT


async def test_an_interrupted_connect_is_closed() -> None:
    with silent_port() as where:
        begun = Opening(endpoint(where), clock())
        wire = Wire(endpoint(where), clock=clock(), deadline_s=60.0, opening=begun)
        connecting = asyncio.create_task(wire.connect(LONG_S))
        await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
    assert is_closed(begun)


# --- the times ------------------------------------------------------------------------------------------------------


async def test_a_connection_stands_since_the_network_says_so_and_not_since_somebody_looked() -> None:
    async with ScriptedServer((Stall(),)) as server:
        now_s = clock()
        begun = Opening(endpoint(server), now_s)
        select.select((), (begun.socket,), (), LONG_S)
        stood_by_s = now_s()
        connected_s, heard_s = await begun.stand()
        assert begun.started_s < connected_s <= stood_by_s
        assert heard_s is None
        begun.close()
        await server.idle()


class _Told:
    """A socket of whose past the kernel tells this."""

    def __init__(self, real: socket.socket, told: tuple[int, int] | None) -> None:
        self._real = real
        self._info = bytearray(104)
        self._tells = told is not None
        if told is not None:
            round_trip_us, silence_ms = told
            pack_into("=I", self._info, 52, silence_ms)
            pack_into("=I", self._info, 68, round_trip_us)

    def fileno(self) -> int:
        return self._real.fileno()

    def getsockopt(self, level: int, name: int, *size: int) -> int | bytes:
        if name != socket.TCP_INFO:
            return self._real.getsockopt(level, name, *size)
        if not self._tells:
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
        return bytes(self._info)


@pytest.mark.parametrize(
    ("told", "times"),
    [
        ((30_000, 20), (0.03, 0.08)),
        ((30_000, 90), (0.03, 0.03)),
        ((0, 20), (0.1, 0.1)),
        ((500_000, 20), (0.1, 0.1)),
        (None, (0.1, 0.1)),
    ],
    ids=["told", "before it stood", "sent again", "in the future", "not told"],
)
async def test_a_greeting_that_waited_to_be_read_was_heard_when_it_came(
    told: tuple[int, int] | None, times: tuple[float, float]
) -> None:
    """The round trip in microseconds and the silence in milliseconds, a tenth of a second after it set out."""
    now_s = [0.0]
    async with ScriptedServer((greeting(MX), Stall())) as server:
        begun = Opening(endpoint(server), lambda: now_s[0])
        await until(lambda: bool(select.select((begun.socket,), (), (), 0)[0]))
        now_s[0] = 0.1
        with begun.socket as real:
            begun.socket = _Told(real, told)  # type: ignore[assignment]
            assert await begun.stand() == pytest.approx(times)
        await server.idle()


async def test_the_record_has_the_times_of_the_network() -> None:
    async with ScriptedServer((greeting(MX), Stall())) as server:
        now_s = clock()
        begun = Opening(endpoint(server), now_s)
        await until(lambda: bool(select.select((begun.socket,), (), (), 0)[0]))
        wire = Wire(endpoint(server, TlsMode.NONE), clock=lambda: 50.0 + now_s(), deadline_s=120.0, opening=begun)
        assert await wire.connect(LONG_S + 60.0) is None
        await wire.greeting(LONG_S)
        (exchange,) = wire.exchanges
        assert wire.started_s == begun.started_s
        assert wire.connected_s is not None
        assert exchange.first_byte_s is not None
        assert begun.started_s <= wire.connected_s == exchange.started_s <= exchange.first_byte_s < 50.0
        assert exchange.ended_s == exchange.first_byte_s
        wire.hang_up()
        await wire.wait_closed()
        await server.idle()
