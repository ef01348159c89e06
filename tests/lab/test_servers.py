"""The well-behaved servers of the lab are: real clients get on with them, and nothing is left behind."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiosmtplib
import pytest

from smtpprobe.lab.certificates import CertificateKind, make_identity, server_context, trusted_root
from smtpprobe.lab.servers import MailServer, relay, submission, submissions

NAME = "mx.example.org"
MESSAGE = b"Subject: hello\r\n\r\nHello.\r\n"


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    return server_context(make_identity(CertificateKind.TRUSTED, NAME), tmp_path)


@pytest.fixture
def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=trusted_root().decode())


@asynccontextmanager
async def dialogue(server: MailServer) -> AsyncIterator[Callable[[bytes], Awaitable[bytes]]]:
    """Talk in plain text: send a command, get the whole reply."""
    reader, writer = await asyncio.open_connection(server.host, server.port)

    async def ask(command: bytes) -> bytes:
        writer.write(command)
        reply = line = await reader.readline()
        while line[3:4] == b"-":
            line = await reader.readline()
            reply += line
        return reply

    try:
        yield ask
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def test_a_relay_takes_mail_for_its_domain_and_refuses_to_relay() -> None:
    async with relay(NAME, None, domain="example.org") as server, dialogue(server) as ask:
        assert await ask(b"") == b"220 mx.example.org ESMTP\r\n"
        assert await ask(b"EHLO me.example.net\r\n") == (
            b"250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
        )
        assert await ask(b"MAIL FROM:<me@example.net>\r\n") == b"250 2.1.0 Sender OK\r\n"
        assert await ask(b"RCPT TO:<you@example.com>\r\n") == b"550 5.7.1 Relaying denied\r\n"
        assert await ask(b"RCPT TO:<you@example.org>\r\n") == b"250 2.1.5 Recipient OK\r\n"
        assert (await ask(b"DATA\r\n"))[:4] == b"354 "
        assert (await ask(MESSAGE + b".\r\n")).startswith(b"250 2.0.0 Accepted")
        assert await ask(b"QUIT\r\n") == b"221 2.0.0 Bye\r\n"
        await server.idle()
    assert server.visits[0].verbs[:3] == ["EHLO", "MAIL", "RCPT"]
    assert (server.most_at_once, server.visits[0].is_over) == (1, True)


async def test_every_reply_after_ehlo_has_an_enhanced_code_as_announced() -> None:
    async with relay(NAME, None) as server, dialogue(server) as ask:
        await ask(b"")
        await ask(b"EHLO x\r\n")
        said = [
            await ask(each) for each in (b"NOOP\r\n", b"RSET\r\n", b"XYZZY\r\n", b"VRFY a\r\n", b"RCPT TO:<a@b>\r\n")
        ]
    assert [each.split()[1] for each in said] == [b"2.0.0", b"2.0.0", b"5.5.1", b"2.1.5", b"5.5.1"]


async def test_helo_is_answered_with_the_name() -> None:
    async with relay(NAME, None) as server, dialogue(server) as ask:
        await ask(b"")
        assert await ask(b"HELO x\r\n") == b"250 mx.example.org\r\n"


async def test_without_tls_there_is_neither_starttls_nor_auth() -> None:
    async with MailServer(NAME, passwords={"a": "b"}) as server, dialogue(server) as ask:
        await ask(b"")
        offered = await ask(b"EHLO x\r\n")
        assert b"STARTTLS" not in offered
        assert b"AUTH" not in offered
        assert (await ask(b"STARTTLS\r\n"))[:1] == b"4"


async def test_passwords_are_taken_inside_tls_only(tls: ssl.SSLContext) -> None:
    async with submission(NAME, tls) as server, dialogue(server) as ask:
        await ask(b"")
        offered = await ask(b"EHLO x\r\n")
        assert b"STARTTLS" in offered
        assert b"AUTH" not in offered
        assert (await ask(b"AUTH PLAIN AGFsaWNlAGNvcnJlY3QgaG9yc2U=\r\n"))[:10] == b"538 5.7.11"
        assert await ask(b"MAIL FROM:<alice@example.org>\r\n") == b"530 5.7.0 Authentication required\r\n"


@pytest.mark.parametrize("start", [submission, submissions])
async def test_a_mail_program_submits_after_login(
    start: Callable[..., MailServer], tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    trusting.check_hostname = False  # the name is the certificate's, and the address is loopback's
    async with start(NAME, tls) as server:
        is_implicit = start is submissions
        async with aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=is_implicit,
            start_tls=not is_implicit,
            tls_context=trusting,
            local_hostname="me.example.net",
        ) as smtp:
            with pytest.raises(aiosmtplib.SMTPResponseException, match="Authentication required"):
                await smtp.mail("alice@example.org")
            with pytest.raises(aiosmtplib.SMTPAuthenticationError):
                await smtp.auth_plain("alice", "wrong")
            await smtp.login("alice", "correct horse")
            await smtp.sendmail("alice@example.org", ["anybody@example.com"], MESSAGE)
            assert smtp.supports_extension("auth")
            assert not smtp.supports_extension("starttls")
        await server.idle()
    [visit] = server.visits
    assert (visit.tls_version, visit.tls_failure, visit.is_over) == ("TLSv1.3", None, True)


@pytest.mark.parametrize("start", [submission, submissions])
async def test_a_failed_handshake_is_noted_and_the_server_goes_on(
    start: Callable[..., MailServer], tls: ssl.SSLContext
) -> None:
    async with start(NAME, tls) as server:
        for _ in range(2):
            reader, writer = await asyncio.open_connection(server.host, server.port)
            if start is submission:
                await reader.readline()
                writer.write(b"EHLO x\r\n")
                while (await reader.readline())[3:4] == b"-":
                    pass
                writer.write(b"STARTTLS\r\n")
                await reader.readline()
            writer.write(b"this is no TLS\r\n")
            with suppress(OSError):
                await reader.read()
            writer.transport.abort()
            await server.idle()
    assert len(server.visits) == 2
    assert all(visit.tls_failure and visit.is_over for visit in server.visits)


@pytest.mark.parametrize("start", [submission, submissions])
async def test_the_server_ends_with_clients_connected(start: Callable[..., MailServer], tls: ssl.SSLContext) -> None:
    async with start(NAME, tls) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        if start is submission:
            await reader.readline()
        else:
            writer.write(b"\x16\x03\x01")  # a handshake that is never finished
            while not server.visits:  # noqa: ASYNC110 - the loop accepts in one of the next turns
                await asyncio.sleep(0)
    with suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.transport.abort()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(server.host, server.port)


def test_implicit_tls_without_a_context_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="context"):
        MailServer(NAME, is_implicit=True)
