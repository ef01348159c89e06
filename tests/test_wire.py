"""One connection: what is recorded, and how each way in which the network and the peer can fail is told."""

from __future__ import annotations

import asyncio
import errno
import inspect
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiosmtplib.errors import SMTPServerDisconnected
from aiosmtplib.protocol import COMMAND_INJECTION_REGEX, SMTPProtocol

from smtpprobe import tls
from smtpprobe.evidence import (
    MAX_REPLY_BYTES,
    Failure,
    FailureKind,
    Irregularity,
    Phase,
    Reply,
    TlsMode,
    TlsSession,
)
from smtpprobe.lab.certificates import CertificateKind, Identity, can_serve, make_identity, server_context
from smtpprobe.lab.scripted import (
    START_TLS_REPLY,
    Close,
    Dribble,
    Expect,
    Flood,
    HalfClose,
    Hold,
    Reset,
    Script,
    ScriptedServer,
    Stall,
    StartTls,
    Step,
    Swallow,
)
from smtpprobe.oserrors import explain_os_error, has_route
from smtpprobe.wire import REDACTED, Secret, Wire
from tests.loopback import MX, clock, closed_port, endpoint, silent_port, until

LONG_S = 30.0
"""For steps that are to end by themselves."""
SHORT_S = 0.05
"""For steps that are to end by their time."""

ALERT = b"\x15\x03\x03\x00\x02\x02"
"""A TLS record with a fatal alert, but for the description (RFC 8446 6)."""
SSL3_HELLO = bytes.fromhex("160300002a0200002603") + bytes(33) + bytes.fromhex("00002f00")
"""A ServerHello that chooses SSL 3.0, which no OpenSSL of today takes part in (RFC 7568)."""


@pytest.fixture(scope="session")
def identity() -> Identity:
    return make_identity(CertificateKind.TRUSTED, MX)


@pytest.fixture(scope="session")
def context(identity: Identity, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return server_context(identity, tmp_path_factory.mktemp("keys"))


@asynccontextmanager
async def wired(
    *script: Step,
    mode: TlsMode = TlsMode.STARTTLS,
    deadline_s: float = 60.0,
    policy: ssl.SSLContext | None = None,
    name: str | None = MX,
) -> AsyncIterator[tuple[Wire, ScriptedServer]]:
    """A wire to a server that plays a script, connected."""
    async with ScriptedServer(script) as server:
        wire = Wire(endpoint(server, mode, name=name), clock=clock(), deadline_s=deadline_s, context=policy)
        try:
            assert await wire.connect(LONG_S) is None
            yield wire, server
        finally:
            await closed(wire)
            await server.idle()


async def closed(wire: Wire) -> None:
    wire.hang_up()
    await wire.wait_closed()


async def ehlo(wire: Wire, timeout_s: float = LONG_S) -> Reply | Failure:
    return await wire.command(Phase.EHLO, b"EHLO", b"client.example.org", timeout_s=timeout_s)


async def starttls(wire: Wire) -> TlsSession | Failure:
    """Go through a STARTTLS that the server grants."""
    await wire.greeting(LONG_S)
    reply = await wire.command(Phase.STARTTLS, b"STARTTLS", timeout_s=LONG_S)
    assert isinstance(reply, Reply)
    return await wire.handshake(LONG_S)


def failed(outcome: object, phase: Phase, kind: FailureKind) -> Failure:
    """Hold an outcome against a failure, and hand it on."""
    assert isinstance(outcome, Failure), outcome
    assert (outcome.phase, outcome.kind) == (phase, kind)
    return outcome


# --- connecting -----------------------------------------------------------------------------------------------------


async def test_a_closed_port_refuses() -> None:
    with closed_port() as where:
        wire = Wire(endpoint(where), clock=clock(), deadline_s=60.0)
        failure = failed(await wire.connect(LONG_S), Phase.CONNECT, FailureKind.REFUSED)
    assert failure.detail.startswith("ECONNREFUSED: ")
    assert wire.connected_s is None
    assert wire.failure is failure
    assert not wire.is_open


async def test_a_connection_that_is_cut_before_anybody_looks_has_stood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is told as the end of the attempt or of the connection is a matter of microseconds."""

    async def cut(*_: object) -> None:
        raise ConnectionResetError(errno.ECONNRESET, "cut")

    told: list[str] = []
    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", cut)
    async with ScriptedServer((b"220 ready\r\n",)) as server:
        wire = Wire(endpoint(server), clock=clock(), deadline_s=60.0, on_connected=lambda: told.append("connected"))
        assert await wire.connect(LONG_S) is None
        assert told == ["connected"]
        failed(await wire.greeting(LONG_S), Phase.GREETING, FailureKind.RESET)
    assert wire.connected_s is not None
    assert wire.is_closed_by_peer
    wire.hang_up()
    await wire.wait_closed()


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue of connections is silent on Linux")
@pytest.mark.parametrize(
    ("timeout_s", "deadline_s", "kind"),
    [(SHORT_S, 60.0, FailureKind.TIMEOUT), (LONG_S, SHORT_S, FailureKind.DEADLINE)],
)
async def test_a_connect_ends_with_its_time_or_that_of_the_probe(
    timeout_s: float, deadline_s: float, kind: FailureKind
) -> None:
    with silent_port() as where:
        wire = Wire(endpoint(where), clock=clock(), deadline_s=deadline_s)
        failed(await wire.connect(timeout_s), Phase.CONNECT, kind)


async def test_nothing_is_connected_once_the_time_for_the_probe_is_up() -> None:
    async with ScriptedServer((b"220 ready\r\n",)) as server:
        wire = Wire(endpoint(server), clock=clock(), deadline_s=0.0)
        failed(await wire.connect(LONG_S), Phase.CONNECT, FailureKind.DEADLINE)
        assert not server.visits


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue of connections is silent on Linux")
async def test_a_cancelled_connect_is_recorded() -> None:
    with silent_port() as where:
        wire = Wire(endpoint(where), clock=clock(), deadline_s=60.0)
        connecting = asyncio.create_task(wire.connect(LONG_S))
        await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
    failed(wire.failure, Phase.CONNECT, FailureKind.INTERRUPTED)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ECONNREFUSED, FailureKind.REFUSED),
        (errno.ETIMEDOUT, FailureKind.TIMEOUT),
        (errno.EHOSTUNREACH, FailureKind.UNREACHABLE),
        (errno.ENETUNREACH, FailureKind.UNREACHABLE),
        (errno.EADDRNOTAVAIL, FailureKind.NO_ROUTE),
        (errno.EAFNOSUPPORT, FailureKind.NO_ROUTE),
        (errno.EACCES, FailureKind.DENIED),
        (errno.EPERM, FailureKind.DENIED),
        (errno.ECONNRESET, FailureKind.RESET),
        (errno.EPIPE, FailureKind.RESET),
        (errno.EMFILE, FailureKind.OTHER),
    ],
)
def test_errors_of_the_system_are_told_apart(number: int, kind: FailureKind) -> None:
    found, detail = explain_os_error(OSError(number, "whatever"), "127.0.0.1")
    assert found is kind
    assert detail.startswith(errno.errorcode[number] + ": ")


def test_an_error_without_a_number_keeps_its_words() -> None:
    assert explain_os_error(OSError("odd"), "127.0.0.1") == (FailureKind.OTHER, "odd")


def test_there_is_a_route_to_ourselves() -> None:
    assert has_route("127.0.0.1")


def test_without_any_way_out_the_network_is_not_called_unreachable() -> None:
    program = (
        "import errno\nfrom smtpprobe.oserrors import explain_os_error\n"
        "print(explain_os_error(OSError(errno.ENETUNREACH, ''), '192.0.2.1')[0])"
    )
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare(1) to make a network without routes")
    alone = subprocess.run(
        ["unshare", "--net", "--map-root-user", sys.executable, "-c", program], capture_output=True, text=True
    )
    if alone.returncode and "unshare" in alone.stderr:
        pytest.skip(f"no network of one's own: {alone.stderr}")
    assert alone.stdout.strip() == "no-route", alone.stderr


# --- replies --------------------------------------------------------------------------------------------------------


async def test_every_byte_of_an_exchange_is_recorded_with_its_time() -> None:
    async with wired(b"220-mx.example.org\r\n220 ESMTP \n", Expect("EHLO"), b"250 hello\r\n", Stall()) as (
        wire,
        server,
    ):
        greeting = await wire.greeting(LONG_S)
        reply = await ehlo(wire)
        assert server.visits[0].lines == [b"EHLO client.example.org"]
    assert isinstance(greeting, Reply)
    assert isinstance(reply, Reply)
    assert (greeting.raw, reply.raw) == (b"220-mx.example.org\r\n220 ESMTP \n", b"250 hello\r\n")
    first, second = wire.exchanges
    assert (first.phase, first.sent, first.outcome) == (Phase.GREETING, None, greeting)
    assert (second.phase, second.sent, second.outcome) == (Phase.EHLO, b"EHLO client.example.org\r\n", reply)
    times = [wire.started_s, wire.connected_s, first.started_s, first.first_byte_s, first.ended_s]
    times += [second.started_s, second.first_byte_s, second.ended_s]
    known = [each for each in times if each is not None]
    assert len(known) == len(times)
    assert known == sorted(known)
    assert wire.local_address == "127.0.0.1"
    assert wire.failure is None


async def test_nothing_is_said_before_the_greeting_is_complete() -> None:
    go = asyncio.Event()
    script: Script = (b"220-wait\r\n", Hold(until=go), Dribble(b"220 now\r\n"), Expect("EHLO"), b"250 x\r\n", Stall())
    async with wired(*script) as (wire, server):
        greeting = asyncio.create_task(wire.greeting(LONG_S))
        await until(lambda: wire._buffer == b"220-wait\r\n")
        go.set()
        assert isinstance(await greeting, Reply)
        assert isinstance(await ehlo(wire), Reply)
        assert server.rudeness == []


async def test_a_secret_goes_over_the_wire_and_nowhere_else() -> None:
    async with wired(b"220 hi\r\n", Expect("AUTH"), b"235 ok\r\n", Stall()) as (wire, server):
        await wire.greeting(LONG_S)
        await wire.command(Phase.AUTH, b"AUTH", b"PLAIN", Secret(b"AGxhYgBsYWI="), timeout_s=LONG_S)
        assert server.visits[0].lines == [b"AUTH PLAIN AGxhYgBsYWI="]
    assert wire.exchanges[-1].sent == b"AUTH PLAIN " + REDACTED + b"\r\n"


async def test_a_word_cannot_smuggle_in_another_command() -> None:
    async with wired(b"220 hi\r\n", Stall()) as (wire, server):
        await wire.greeting(LONG_S)
        with pytest.raises(ValueError, match="control character"):
            await wire.command(Phase.EHLO, b"EHLO", b"x\r\nMAIL FROM:<>", timeout_s=LONG_S)
        assert len(wire.exchanges) == 1
        assert not server.visits[0].received


@pytest.mark.parametrize("timeout_s", [LONG_S, 4 * SHORT_S])
async def test_the_time_of_a_step_is_that_of_a_whole_reply(timeout_s: float) -> None:
    """The same bytes, one by one: in time they are a reply; over time no single one prolongs the step."""
    dribble = Dribble(b"250-" + b"x" * 40 + b"\r\n250 ok\r\n", pause_s=0.0 if timeout_s == LONG_S else SHORT_S / 2)
    async with wired(b"220 hi\r\n", Expect("EHLO"), dribble, Stall()) as (wire, _):
        await wire.greeting(LONG_S)
        outcome = await ehlo(wire, timeout_s)
    if timeout_s == LONG_S:
        assert isinstance(outcome, Reply)
        return
    failure = failed(outcome, Phase.EHLO, FailureKind.TIMEOUT)
    assert 0 < len(failure.partial) < len(dribble.data)
    assert dribble.data.startswith(failure.partial)
    assert wire.exchanges[-1].first_byte_s is not None


async def test_a_silent_server_ends_the_step_with_its_time() -> None:
    async with wired(Stall()) as (wire, _):
        failure = failed(await wire.greeting(SHORT_S), Phase.GREETING, FailureKind.TIMEOUT)
        assert failure.detail == "not complete within 0.05 s"
        assert wire.exchanges[-1].first_byte_s is None


async def test_the_deadline_ends_a_step_before_its_own_time() -> None:
    async with wired(b"220 hi\r\n", Stall(), deadline_s=0.5) as (wire, _):
        assert isinstance(await wire.greeting(LONG_S), Reply)
        failed(await ehlo(wire), Phase.EHLO, FailureKind.DEADLINE)


async def test_a_later_step_may_have_less_time_than_the_one_before() -> None:
    async with wired(b"220 hi\r\n", Stall()) as (wire, _):
        await wire.greeting(LONG_S)
        failed(await ehlo(wire, SHORT_S), Phase.EHLO, FailureKind.TIMEOUT)


async def test_a_later_step_may_have_more_time_than_the_one_before() -> None:
    script: Script = (b"220 hi\r\n", Expect("EHLO"), Hold(at_most_s=4 * SHORT_S), b"250 late\r\n", Stall())
    async with wired(*script) as (wire, _):
        await wire.greeting(SHORT_S)
        assert isinstance(await ehlo(wire), Reply)


@pytest.mark.parametrize(
    ("script", "kind", "partial"),
    [
        ((Close(),), FailureKind.CLOSED, b""),
        ((b"220-half", Close()), FailureKind.CLOSED, b"220-half"),
        ((b"220 no line end", HalfClose(), Stall()), FailureKind.CLOSED, b"220 no line end"),
        ((Reset(),), FailureKind.RESET, b""),
        ((b"SSH-2.0-OpenSSH_9.2\r\n", Stall()), FailureKind.GARBAGE, b"SSH-2.0-OpenSSH_9.2\r\n"),
        (
            (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", Close()),
            FailureKind.GARBAGE,
            b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n",
        ),
        ((b"\x00\xff\x15\x03\n", Stall()), FailureKind.GARBAGE, b"\x00\xff\x15\x03\n"),
    ],
)
async def test_a_step_without_a_reply_tells_why_and_what_had_come(
    script: Script, kind: FailureKind, partial: bytes
) -> None:
    async with wired(Hold(at_most_s=0), *script) as (wire, _):
        failure = failed(await wire.greeting(LONG_S), Phase.GREETING, kind)
    assert failure.partial == partial
    assert wire.failure is failure


async def test_a_line_that_is_dead_is_not_written_to() -> None:
    async with wired(b"220 hi\r\n", Close()) as (wire, server):
        await wire.greeting(LONG_S)
        await until(lambda: not wire.is_open)
        failed(await ehlo(wire), Phase.EHLO, FailureKind.CLOSED)
        assert wire.exchanges[-1].sent is None
        assert wire.is_closed_by_peer
        assert not server.visits[0].received


async def test_no_221_is_made_up_for_a_quit_without_reply() -> None:
    async with wired(b"220 hi\r\n", Expect("QUIT"), Close()) as (wire, _):
        await wire.greeting(LONG_S)
        outcome = await wire.command(Phase.QUIT, b"QUIT", timeout_s=LONG_S)
        failed(outcome, Phase.QUIT, FailureKind.CLOSED)
        assert wire.exchanges[-1].sent == b"QUIT\r\n"


async def test_a_cancelled_step_is_recorded_with_what_had_come() -> None:
    async with wired(b"220-part", Stall()) as (wire, _):
        waiting = asyncio.create_task(wire.greeting(LONG_S))
        await until(lambda: wire._buffer == b"220-part")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    failure = failed(wire.exchanges[-1].outcome, Phase.GREETING, FailureKind.INTERRUPTED)
    assert failure.partial == b"220-part"


# --- what nobody asked for ------------------------------------------------------------------------------------------


async def test_a_second_reply_is_not_taken_for_the_next() -> None:
    script: Script = (b"220 hi\r\n250 early\r\n", Expect("EHLO"), b"250 mine\r\n421 bye\r\n", Stall())
    async with wired(*script) as (wire, _):
        await wire.greeting(LONG_S)
        reply = await ehlo(wire)
    assert isinstance(reply, Reply)
    assert reply.raw == b"250 mine\r\n"
    assert [(each.after, each.raw, each.over_tls) for each in wire.unsolicited] == [
        (Phase.GREETING, b"250 early\r\n", False),
        (Phase.EHLO, b"421 bye\r\n", False),
    ]
    assert not any(each.before_handshake for each in wire.unsolicited)


async def test_a_421_between_commands_is_kept_and_the_next_command_fails() -> None:
    go = asyncio.Event()
    async with wired(b"220 hi\r\n", Hold(until=go), b"421 ", b"timeout\r\n", Close()) as (wire, _):
        await wire.greeting(LONG_S)
        go.set()
        await until(lambda: not wire.is_open)
        failed(await ehlo(wire), Phase.EHLO, FailureKind.CLOSED)
    (unasked,) = wire.unsolicited
    assert (unasked.after, unasked.raw) == (Phase.GREETING, b"421 timeout\r\n")


@pytest.mark.parametrize("flood", [b"250-endless\r\n", b"250 line without end", b"250-" + b"x" * 5000 + b"\r\n"])
async def test_a_reply_without_end_is_cut_and_the_peer_cut_off(flood: bytes) -> None:
    head = b"250-" if not flood.startswith(b"250-") else b""
    async with wired(b"220 hi\r\n", Expect("EHLO"), head, Flood(flood)) as (wire, _):
        await wire.greeting(LONG_S)
        reply = await ehlo(wire)
        assert isinstance(reply, Reply)
        assert len(reply.raw) == MAX_REPLY_BYTES
        assert Irregularity.TOO_LONG in reply.irregularities
        assert not wire.is_open
        assert not wire.is_closed_by_peer
        failed(await ehlo(wire), Phase.EHLO, FailureKind.GARBAGE)
        assert not wire._buffer


async def test_garbage_without_end_is_cut_and_the_peer_cut_off() -> None:
    async with wired(Flood(b"\xff" * 999)) as (wire, _):
        failure = failed(await wire.greeting(LONG_S), Phase.GREETING, FailureKind.GARBAGE)
    assert failure.partial == b"\xff" * MAX_REPLY_BYTES


async def test_a_flood_that_nobody_asked_for_is_cut_and_the_peer_cut_off() -> None:
    async with wired(b"220 hi\r\n", Flood(b"250 ok\r\n")) as (wire, _):
        await wire.greeting(LONG_S)
        await until(lambda: not wire.is_open)
        failed(await ehlo(wire), Phase.EHLO, FailureKind.GARBAGE)
    assert sum(len(each.raw) for each in wire.unsolicited) <= MAX_REPLY_BYTES
    assert len(wire.unsolicited) == 1


# --- TLS ------------------------------------------------------------------------------------------------------------


async def test_starttls_is_recorded_with_its_session_and_what_passes_inside(
    context: ssl.SSLContext, identity: Identity
) -> None:
    script: Script = (
        b"220 hi\r\n", Expect("STARTTLS"), StartTls(context), Expect("EHLO"), Dribble(b"250 inside\r\n"), Stall(),
    )  # fmt: skip
    async with wired(*script) as (wire, server):
        session = await starttls(wire)
        reply = await ehlo(wire)
        assert server.visits[0].lines == [b"STARTTLS", b"EHLO client.example.org"]
    assert isinstance(session, TlsSession)
    assert isinstance(reply, Reply)
    assert reply.raw == b"250 inside\r\n"
    assert (session.version, session.secret_bits) == ("TLSv1.3", 256)
    assert session.cipher.startswith("TLS_")
    from cryptography.hazmat.primitives.serialization import Encoding

    assert wire.certificates == tuple(each.public_bytes(Encoding.DER) for each in identity.chain)
    assert len(session.chain) == 2
    assert wire.handshaken is not None
    assert wire.handshaken.outcome is session
    assert wire.handshaken.server_name == MX
    assert wire.exchanges[1].ended_s <= wire.handshaken.started_s <= wire.handshaken.ended_s
    assert [each.over_tls for each in wire.exchanges] == [False, False, True]


async def test_implicit_tls_comes_before_the_greeting(context: ssl.SSLContext) -> None:
    script: Script = (StartTls(context, saying=b""), b"220 inside\r\n", Stall())
    async with wired(*script, mode=TlsMode.IMPLICIT) as (wire, _):
        assert isinstance(await wire.handshake(LONG_S), TlsSession)
        reply = await wire.greeting(LONG_S)
    assert isinstance(reply, Reply)
    assert reply.raw == b"220 inside\r\n"
    assert [each.over_tls for each in wire.exchanges] == [True]
    assert wire.unsolicited == ()


async def test_plain_text_behind_the_220_is_reported_and_never_reaches_tls(context: ssl.SSLContext) -> None:
    injected = b"250-evil\r\n250 SIZE 1\r\n"
    script: Script = (
        b"220 hi\r\n", Expect("STARTTLS"), StartTls(context, saying=START_TLS_REPLY + injected),
        Expect("EHLO"), b"250 honest\r\n", Stall(),
    )  # fmt: skip
    async with wired(*script) as (wire, _):
        assert isinstance(await starttls(wire), TlsSession)
        reply = await ehlo(wire)
    assert isinstance(reply, Reply)
    assert reply.raw == b"250 honest\r\n"
    (unasked,) = wire.unsolicited
    assert (unasked.after, unasked.raw, unasked.before_handshake) == (Phase.STARTTLS, injected, True)


async def test_bytes_behind_a_refused_starttls_are_no_injection() -> None:
    async with wired(b"220 hi\r\n", Expect("STARTTLS"), b"454 no\r\n250 x\r\n", Stall()) as (wire, _):
        await wire.greeting(LONG_S)
        await wire.command(Phase.STARTTLS, b"STARTTLS", timeout_s=LONG_S)
    (unasked,) = wire.unsolicited
    assert not unasked.before_handshake


@pytest.mark.parametrize(
    ("answer", "kind", "detail", "partial"),
    [
        ((ALERT + b"\x50", Close()), FailureKind.TLS_ALERT, "internal_error", b""),
        ((ALERT + b"\x28", Close()), FailureKind.TLS_ALERT, "handshake_failure", b""),
        ((ALERT + b"\x46", Close()), FailureKind.TLS_ALERT, "protocol_version", b""),
        ((ALERT + b"\x70", Close()), FailureKind.TLS_ALERT, "unrecognized_name", b""),
        ((b"500 what?\r\n", Stall()), FailureKind.TLS_PROTOCOL, None, b"500 what?\r\n"),
        ((b"\x16\x03\x03\x00\x04what", Stall()), FailureKind.TLS_PROTOCOL, None, b""),
        ((SSL3_HELLO, Stall()), FailureKind.TLS_LOCAL, "unsupported protocol", b""),
        ((Close(),), FailureKind.TLS_CLOSED, "", b""),
        ((b"\x16\x03\x03", Close()), FailureKind.TLS_CLOSED, "", b""),
        ((Reset(),), FailureKind.RESET, None, b""),
    ],
)
async def test_a_handshake_that_fails_tells_whose_doing_it_was(
    answer: Script, kind: FailureKind, detail: str | None, partial: bytes
) -> None:
    async with wired(b"220 hi\r\n", Expect("STARTTLS"), START_TLS_REPLY, Swallow(), *answer) as (wire, _):
        failure = failed(await starttls(wire), Phase.TLS, kind)
    assert failure.partial == partial
    assert detail in (None, failure.detail)
    assert wire.failure is failure
    assert wire.handshaken is not None
    assert wire.handshaken.outcome is failure


async def test_a_plain_greeting_where_tls_is_implicit_is_shown() -> None:
    async with wired(b"220 plain\r\n", Stall(), mode=TlsMode.IMPLICIT) as (wire, _):
        failure = failed(await wire.handshake(LONG_S), Phase.TLS, FailureKind.TLS_PROTOCOL)
    assert failure.partial == b"220 plain\r\n"
    assert wire.exchanges == []
    assert wire.unsolicited == ()


@pytest.mark.parametrize(
    ("timeout_s", "deadline_s", "kind"),
    [(SHORT_S, 60.0, FailureKind.TIMEOUT), (LONG_S, 0.5, FailureKind.DEADLINE)],
)
async def test_a_handshake_ends_with_its_time_or_that_of_the_probe(
    timeout_s: float, deadline_s: float, kind: FailureKind
) -> None:
    async with wired(Stall(), mode=TlsMode.IMPLICIT, deadline_s=deadline_s) as (wire, _):
        failed(await wire.handshake(timeout_s), Phase.TLS, kind)


async def test_a_cancelled_handshake_is_recorded() -> None:
    async with wired(Stall(), mode=TlsMode.IMPLICIT) as (wire, _):
        shaking = asyncio.create_task(wire.handshake(LONG_S))
        await asyncio.sleep(0)
        shaking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await shaking
    assert wire.handshaken is not None
    failed(wire.handshaken.outcome, Phase.TLS, FailureKind.INTERRUPTED)


async def test_a_peer_that_went_before_the_handshake_is_told() -> None:
    async with wired(b"220 hi\r\n", Expect("STARTTLS"), START_TLS_REPLY, Close()) as (wire, _):
        await wire.greeting(LONG_S)
        await wire.command(Phase.STARTTLS, b"STARTTLS", timeout_s=LONG_S)
        await until(lambda: not wire.is_open)
        failed(await wire.handshake(LONG_S), Phase.TLS, FailureKind.TLS_CLOSED)


@pytest.mark.parametrize(("ending", "kind"), [(Close(), FailureKind.CLOSED), (Reset(), FailureKind.RESET)])
async def test_a_peer_that_goes_inside_tls_is_told(context: ssl.SSLContext, ending: Step, kind: FailureKind) -> None:
    script: Script = (b"220 hi\r\n", Expect("STARTTLS"), StartTls(context), Expect("EHLO"), b"250-par", ending)
    async with wired(*script) as (wire, _):
        await starttls(wire)
        outcome = await ehlo(wire)
    failure = failed(outcome, Phase.EHLO, kind)
    assert failure.partial == b"250-par"
    assert wire.is_closed_by_peer


async def test_an_alert_after_the_handshake_is_told_where_it_comes(identity: Identity, tmp_path: Path) -> None:
    """In TLS 1.3 a server finds out that the client has no certificate when the client thinks that all is done."""
    demanding = server_context(identity, tmp_path)
    demanding.verify_mode = ssl.CERT_REQUIRED
    gone = asyncio.Event()

    async def demand(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = demanding.wrap_bio(incoming, outgoing, server_side=True)
        while data := await reader.read(4096):
            incoming.write(data)
            with suppress(ssl.SSLError):
                session.do_handshake()
            writer.write(outgoing.read())
        writer.close()
        await writer.wait_closed()
        gone.set()

    async with await asyncio.start_server(demand, "127.0.0.1") as server:
        wire = Wire(endpoint(server.sockets[0].getsockname(), TlsMode.IMPLICIT), clock=clock(), deadline_s=60.0)
        await wire.connect(LONG_S)
        assert isinstance(await wire.handshake(LONG_S), TlsSession)
        failure = failed(await wire.greeting(LONG_S), Phase.GREETING, FailureKind.TLS_ALERT)
        await closed(wire)
        await gone.wait()
    assert failure.detail == "certificate_required"
    assert wire.is_closed_by_peer


async def test_a_flood_inside_tls_is_cut_too(context: ssl.SSLContext) -> None:
    script: Script = (b"220 hi\r\n", Expect("STARTTLS"), StartTls(context), Expect("EHLO"), Flood(b"250-x\r\n" * 500))
    async with wired(*script) as (wire, _):
        await starttls(wire)
        reply = await ehlo(wire)
        assert isinstance(reply, Reply)
        assert len(reply.raw) == MAX_REPLY_BYTES


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
async def test_old_versions_are_spoken_where_openssl_can(
    identity: Identity, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    if not can_serve(version, tmp_path):
        pytest.skip(f"the local OpenSSL does not speak {version.name}")
    old = server_context(identity, tmp_path, minimum=version, maximum=version)
    async with wired(b"220 hi\r\n", Expect("STARTTLS"), StartTls(old), Stall()) as (wire, _):
        session = await starttls(wire)
    assert isinstance(session, TlsSession)
    assert session.version == version.name.replace("_", ".")


async def test_another_policy_may_be_asked_for(context: ssl.SSLContext) -> None:
    policy = tls.client_context(maximum=ssl.TLSVersion.TLSv1_2)
    async with wired(b"220 hi\r\n", Expect("STARTTLS"), StartTls(context), Stall(), policy=policy) as (wire, _):
        session = await starttls(wire)
    assert isinstance(session, TlsSession)
    assert session.version == "TLSv1.2"


@pytest.mark.parametrize("name", [None, "." + MX, "a" * 300])
async def test_a_name_that_is_none_is_not_sent(context: ssl.SSLContext, name: str | None) -> None:
    async with wired(b"220 hi\r\n", Expect("STARTTLS"), StartTls(context), Stall(), name=name) as (wire, _):
        assert isinstance(await starttls(wire), TlsSession)
    assert wire.handshaken is not None
    assert wire.handshaken.server_name is None


# --- closing --------------------------------------------------------------------------------------------------------


async def test_closing_waits_for_nobody_and_may_be_repeated(context: ssl.SSLContext) -> None:
    script: Script = (b"220 hi\r\n", Expect("STARTTLS"), StartTls(context), Stall())
    async with wired(*script) as (wire, server):
        await starttls(wire)
        await closed(wire)
        await closed(wire)
        assert not wire.is_open
        await server.idle()
    assert not wire.is_closed_by_peer


async def test_a_wire_that_never_stood_can_be_closed() -> None:
    wire = Wire(endpoint(("127.0.0.1", 1)), clock=clock(), deadline_s=60.0)
    await closed(wire)
    assert not wire.is_open


async def test_no_timer_is_left_behind() -> None:
    async with wired(b"220 hi\r\n", Stall()) as (wire, _):
        await wire.greeting(LONG_S)
        await closed(wire)
        assert wire._timer is None


# --- the ground that this stands on ---------------------------------------------------------------------------------


def test_what_is_used_of_aiosmtplib_is_there() -> None:
    """Its protocol class is undocumented: whoever raises the upper bound looks here first."""
    source = inspect.getsource(SMTPProtocol)
    for name in ("_buffer", "_loop", "_over_ssl", "transport"):
        assert f"self.{name}" in source
    assert list(inspect.signature(SMTPProtocol.__init__).parameters)[:2] == ["self", "loop"]
    overridden: list[Callable[..., object]] = [
        SMTPProtocol.connection_made,
        SMTPProtocol.connection_lost,
        SMTPProtocol.data_received,
        SMTPProtocol.eof_received,
        SMTPProtocol.write,
    ]
    assert [len(inspect.signature(each).parameters) for each in overridden] == [2, 2, 2, 1, 2]
    assert isinstance(SMTPProtocol.is_connected, property)


def test_aiosmtplib_knows_what_no_command_may_have() -> None:
    for byte in (*range(0x20), 0x7F):
        assert COMMAND_INJECTION_REGEX.search(bytes([byte]))
    assert not COMMAND_INJECTION_REGEX.search("EHLO [IPv6:2001:db8::1] ü".encode())


async def test_aiosmtplib_refuses_to_write_to_a_connection_that_is_lost() -> None:
    protocol = SMTPProtocol(asyncio.get_running_loop())
    assert not protocol.is_connected
    with pytest.raises(SMTPServerDisconnected):
        protocol.write(b"QUIT\r\n")
    protocol.connection_lost(None)  # of one that never stood: does nothing but note it
    assert protocol.transport is None
