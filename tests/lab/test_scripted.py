"""The scripted server does to the byte what its script says, and sees how its clients behave."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from smtpprobe.lab.certificates import CertificateKind, make_identity, server_context
from smtpprobe.lab.scripted import (
    Answer,
    Close,
    Dribble,
    Expect,
    Flood,
    HalfClose,
    Hold,
    Reset,
    Script,
    ScriptedServer,
    Serve,
    Stall,
    StartTls,
    Swallow,
    ehlo_reply,
    greeting,
    serve,
)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    return server_context(make_identity(CertificateKind.TRUSTED, "mx.example.org"), tmp_path)


@pytest.fixture
def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@asynccontextmanager
async def client(server: ScriptedServer) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def heard(server: ScriptedServer) -> None:
    """Wait until the server has something from its only client."""
    for _ in range(10_000):
        if server.visits and server.visits[0].received:
            return
        await asyncio.sleep(0)
    pytest.fail("nothing came in")


async def ask(streams: Streams, command: bytes, lines: int = 1) -> bytes:
    reader, writer = streams
    writer.write(command)
    return b"".join([await reader.readline() for _ in range(lines)])


async def test_bytes_are_sent_as_they_stand() -> None:
    odd = b"\x00\xff220 no line end\n\r"
    async with ScriptedServer((odd,)) as server, client(server) as (reader, _):
        assert await reader.read() == odd


async def test_a_whole_session_is_recorded() -> None:
    script: Script = (greeting("mx.example.org"), serve("mx.example.org", "SIZE 1000"))
    async with ScriptedServer(script) as server, client(server) as streams:
        assert await streams[0].readline() == b"220 mx.example.org ESMTP\r\n"
        assert await ask(streams, b"EHLO me.example\r\n", 2) == b"250-mx.example.org\r\n250 SIZE 1000\r\n"
        assert await ask(streams, b"XYZZY\r\n") == b"502 5.5.1 Command not implemented\r\n"
        assert await ask(streams, b"quit\r\n") == b"221 2.0.0 Bye\r\n"
        assert await streams[0].read() == b""
        await server.idle()
        [visit] = server.visits
    assert visit.lines == [b"EHLO me.example", b"XYZZY", b"quit"]
    assert visit.verbs == ["EHLO", "XYZZY", "QUIT"]
    assert bytes(visit.received) == b"EHLO me.example\r\nXYZZY\r\nquit\r\n"
    assert (visit.peer, visit.rudeness, visit.is_over) == ("127.0.0.1", [], True)


async def test_an_answer_can_differ_and_can_be_a_script_of_its_own() -> None:
    changes: dict[str, Answer] = {
        "EHLO": b"421 not now\r\n",
        "NOOP": (b"250-wait\r\n", Dribble(b"250 done\r\n"), Close()),
    }
    async with ScriptedServer((serve("h", changes=changes),)) as server, client(server) as streams:
        assert await ask(streams, b"EHLO x\r\n") == b"421 not now\r\n"
        assert await ask(streams, b"NOOP\r\n", 2) == b"250-wait\r\n250 done\r\n"
        assert await streams[0].read() == b""


async def test_expecting_another_verb_is_noted_and_the_script_goes_on() -> None:
    script: Script = (Expect("EHLO"), b"250 h\r\n", Expect(), b"221 bye\r\n")
    async with ScriptedServer(script) as server, client(server) as streams:
        assert await ask(streams, b"HELO x\r\n") == b"250 h\r\n"
        assert await ask(streams, b"anything\r\n") == b"221 bye\r\n"
        await server.idle()
    assert server.rudeness == ["said b'HELO x' where EHLO was due"]


async def test_a_client_that_speaks_before_the_greeting_is_found_out() -> None:
    has_spoken = asyncio.Event()
    script: Script = (Hold(has_spoken), greeting("h"), serve("h"))
    async with ScriptedServer(script) as server, client(server) as streams:
        streams[1].write(b"EHLO x\r\n")
        await heard(server)
        has_spoken.set()
        await streams[0].readline()
    assert server.rudeness == ["spoke before its turn: b'EHLO x\\r\\n'"]


async def test_a_client_that_sends_a_second_command_before_the_reply_is_found_out() -> None:
    async with ScriptedServer((greeting("h"), serve("h"))) as server, client(server) as streams:
        await streams[0].readline()
        assert await ask(streams, b"NOOP\r\nQUIT\r\n", 2) == b"250 2.0.0 OK\r\n221 2.0.0 Bye\r\n"
    assert server.rudeness == ["spoke before its turn: b'QUIT\\r\\n'"]


async def test_speaking_between_the_lines_of_a_reply_is_rude_and_after_its_last_line_is_not() -> None:
    go_on = asyncio.Event()
    script: Script = (b"220-h\r\n", Hold(go_on), b"220 h\r\n250 unasked\r\n", Expect("EHLO"), b"250 h\r\n")
    async with ScriptedServer(script, script) as server:
        async with client(server) as streams:
            await ask(streams, b"EHLO early\r\n")
            await heard(server)
            go_on.set()
            await streams[0].readline()
        async with client(server) as streams:
            await ask(streams, b"", 3)
            assert await ask(streams, b"EHLO due\r\n") == b"250 h\r\n"
    assert [len(visit.rudeness) for visit in server.visits] == [1, 0]


async def test_tls_begins_on_starttls_and_ehlo_is_answered_anew(tls: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    script: Script = (greeting("h"), serve("h", "SIZE 1", tls=tls))
    async with ScriptedServer(script) as server, client(server) as streams:
        await streams[0].readline()
        assert await ask(streams, b"EHLO x\r\n", 3) == b"250-h\r\n250-SIZE 1\r\n250 STARTTLS\r\n"
        assert await ask(streams, b"STARTTLS\r\n") == b"220 2.0.0 Ready to start TLS\r\n"
        await streams[1].start_tls(trusting, server_hostname="mx.example.org")
        assert await ask(streams, b"EHLO x\r\n", 2) == b"250-h\r\n250 SIZE 1\r\n"
        assert await ask(streams, b"STARTTLS\r\n") == b"502 5.5.1 Command not implemented\r\n"
        assert await ask(streams, b"QUIT\r\n") == b"221 2.0.0 Bye\r\n"
        assert await streams[0].read() == b""
        await server.idle()
    [visit] = server.visits
    assert (visit.tls_version, visit.tls_failure, visit.rudeness) == ("TLSv1.3", None, [])
    assert visit.verbs == ["EHLO", "STARTTLS", "EHLO", "STARTTLS", "QUIT"]


async def test_what_a_client_says_behind_starttls_in_plain_text_is_rude_and_forgotten(
    tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with ScriptedServer((serve("h", tls=tls),)) as server, client(server) as streams:
        await ask(streams, b"STARTTLS\r\nRSET\r\n")
        await streams[1].start_tls(trusting)
        assert await ask(streams, b"NOOP\r\n") == b"250 2.0.0 OK\r\n"
    assert server.visits[0].verbs == ["STARTTLS", "NOOP"]
    assert server.rudeness == ["spoke before its turn: b'RSET\\r\\n'"]


async def test_implicit_tls_is_a_script_that_begins_with_tls(tls: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async with ScriptedServer((StartTls(tls, b""), b"220 h\r\n")) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port, ssl=trusting)
        assert await reader.read() == b"220 h\r\n"
        writer.close()
        await writer.wait_closed()


async def test_a_failed_handshake_is_noted(tls: ssl.SSLContext) -> None:
    async with ScriptedServer((StartTls(tls, b""), b"220 h\r\n")) as server, client(server) as streams:
        await ask(streams, b"EHLO in.plain.text\r\n", 0)
        await streams[0].read()
        await server.idle()
    assert server.visits[0].tls_version is None
    assert "SSL" in (server.visits[0].tls_failure or "")


async def test_the_server_ends_while_clients_are_everywhere_in_a_script(tls: ssl.SSLContext) -> None:
    scripts: tuple[Script, ...] = (
        (greeting("h"), Stall()),
        (greeting("h"), Expect("EHLO")),
        (greeting("h"), StartTls(tls)),
        (greeting("h"), HalfClose(), Stall()),
        (greeting("h"), Flood(b"x" * 100_000)),
    )
    async with ScriptedServer(*scripts) as server:
        everyone = []
        for _ in scripts:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            everyone.append(writer)
            await reader.readline()
        assert server.most_at_once == len(scripts)
    assert all(visit.is_over for visit in server.visits)
    for writer in everyone:
        writer.transport.abort()


async def test_a_reset_is_no_orderly_end() -> None:
    async with ScriptedServer((b"220 h\r\n", Expect(), Reset())) as server, client(server) as streams:
        await streams[0].readline()
        with pytest.raises(ConnectionResetError):
            await ask(streams, b"EHLO x\r\n")


async def test_a_half_closed_server_still_listens() -> None:
    async with ScriptedServer((b"220 h\r\n", HalfClose(), Expect("QUIT"))) as server, client(server) as streams:
        assert await streams[0].read() == b"220 h\r\n"
        streams[1].write(b"QUIT\r\n")
        await server.idle()
    assert server.visits[0].verbs == ["QUIT"]


async def test_a_flood_ends_when_the_client_goes() -> None:
    async with ScriptedServer((Flood(b"220-more\r\n"),)) as server:
        async with client(server) as (reader, _):
            assert await reader.readexactly(100_000) == b"220-more\r\n" * 10_000
        await server.idle()


async def test_stalling_ends_when_the_client_goes() -> None:
    async with ScriptedServer((Stall(), b"never\r\n")) as server:
        async with client(server) as (_, writer):
            writer.write(b"hello?\r\n")
        await server.idle()
    assert bytes(server.visits[0].received) == b"hello?\r\n"


async def test_a_held_script_goes_on_when_the_event_is_set_or_the_time_is_up() -> None:
    event = asyncio.Event()
    script: Script = (b"1", Hold(event), b"2", Hold(at_most_s=0.001), b"3")
    async with ScriptedServer(script) as server, client(server) as (reader, _):
        assert await reader.readexactly(1) == b"1"
        event.set()
        assert await reader.read() == b"23"


async def test_dribbled_bytes_come_in_pieces() -> None:
    script: Script = (Dribble(b"abcdef", pause_s=0.005, piece_bytes=2),)
    async with ScriptedServer(script) as server, client(server) as (reader, _):
        assert await reader.read(100) == b"ab"
        assert await reader.read() == b"cdef"


async def test_what_is_swallowed_is_no_command() -> None:
    script: Script = (Swallow(), b"\x15\x03\x01\x00\x02\x02\x28")
    async with ScriptedServer(script) as server, client(server) as streams:
        assert await ask(streams, b"\x16\x03\x01", 0) == b""
        assert await streams[0].read() == b"\x15\x03\x01\x00\x02\x02\x28"
    assert (server.visits[0].lines, server.rudeness) == ([], [])


async def test_each_visitor_has_its_script_and_the_last_one_is_for_all_others() -> None:
    async with ScriptedServer((b"one",), (b"two",)) as server:
        said = []
        for _ in range(3):
            async with client(server) as (reader, _):
                said.append(await reader.read())
    assert said == [b"one", b"two", b"two"]


async def test_it_listens_on_ipv6_too() -> None:
    try:
        async with ScriptedServer((b"220 six\r\n",), host="::1") as server, client(server) as (reader, _):
            assert await reader.read() == b"220 six\r\n"
            assert server.host == "::1"
    except OSError as error:  # pragma: no cover
        pytest.skip(f"no IPv6 here: {error}")


async def test_a_closed_server_refuses_connections() -> None:
    async with ScriptedServer(()) as server:
        pass
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(server.host, server.port)


def test_a_server_without_script_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="script"):
        ScriptedServer()


def test_an_ehlo_reply_announces_each_further_line() -> None:
    assert ehlo_reply("h") == b"250 h\r\n"
    assert ehlo_reply("h", "A", "B C") == b"250-h\r\n250-A\r\n250 B C\r\n"


def test_unknown_commands_can_be_answered_otherwise() -> None:
    assert Serve({}, b"500 what?\r\n").otherwise == b"500 what?\r\n"
