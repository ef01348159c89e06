"""Fetching an MTA-STS policy from a real HTTPS server: what counts as an answer, and what does not (RFC 8461 3.3)."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from smtpprobe.evidence import MAX_POLICY_BYTES, FailureKind, Lookup, LookupStatus, Phase, PolicyFetch
from smtpprobe.lab.certificates import CertificateKind, can_serve, make_identity, server_context
from smtpprobe.policies.mta_sts import read_policy
from smtpprobe.policy_host import MAX_ADDRESSES, fetch_policy

DOMAIN = "example.org"
HOST = f"mta-sts.{DOMAIN}"
BODY = b"version: STSv1\r\nmode: enforce\r\nmx: mx1.example.org\r\nmax_age: 604800\r\n"
TEXT = b"Content-Type: text/plain\r\n"
PATIENCE_S = 20.0


def answer(status: bytes = b"200 OK", headers: bytes = TEXT, body: bytes = BODY) -> bytes:
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, headers, len(body), body)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return server_context(make_identity(CertificateKind.TRUSTED, HOST), tmp_path_factory.mktemp("keys"))


@asynccontextmanager
async def serving(
    reply: bytes, context: ssl.SSLContext, address: str = "127.0.0.1"
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A policy host that says one thing; gives its port and what it was asked."""
    asked: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(reply)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, address, 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], asked


def found(*records: str, rrtype: str = "A") -> Lookup:
    status = LookupStatus.ANSWERED if records else LookupStatus.NO_DATA
    return Lookup(name=HOST, rrtype=rrtype, status=status, records=records)


async def fetch(reply: bytes, context: ssl.SSLContext) -> PolicyFetch:
    async with serving(reply, context) as (port, _):
        lookups = (found("127.0.0.1"), found(rrtype="AAAA"))
        fetched, _ = await fetch_policy(DOMAIN, lookups, port=port, timeout_s=PATIENCE_S, clock=lambda: 0.0)
        return fetched


@pytest.mark.parametrize(
    "reply",
    [
        answer(),
        answer(headers=b"content-type: text/plain; charset=utf-8\r\n"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
        b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    ],
)
async def test_a_policy_comes_in_any_form_that_http_has(reply: bytes, context: ssl.SSLContext) -> None:
    fetched = await fetch(reply, context)
    assert (fetched.status, fetched.body, fetched.failure) == (200, BODY, None)


@pytest.mark.parametrize(
    ("reply", "status"),
    [(answer(b"204 No Content", b"", b""), 204), (answer(b"206 Partial Content"), 206), (answer(b"410 Gone"), 410)],
)
async def test_the_status_is_told_as_it_is(reply: bytes, status: int, context: ssl.SSLContext) -> None:
    fetched = await fetch(reply, context)
    assert (fetched.status, fetched.failure) == (status, None)


async def test_a_redirect_is_not_followed(context: ssl.SSLContext) -> None:
    async with serving(answer(b"301 Moved", b"Location: /elsewhere\r\n", b""), context) as (port, asked):
        lookups = (found("127.0.0.1"), found(rrtype="AAAA"))
        fetched, _ = await fetch_policy(DOMAIN, lookups, port=port, timeout_s=PATIENCE_S, clock=lambda: 0.0)
    assert (fetched.status, fetched.location, len(asked)) == (301, "/elsewhere", 1)


async def test_what_is_packed_is_not_unpacked(context: ssl.SSLContext) -> None:
    """It was not asked for, and a small answer could become a large one."""
    packed = gzip.compress(BODY)
    fetched = await fetch(answer(headers=TEXT + b"Content-Encoding: gzip\r\n", body=packed), context)
    assert fetched.body == packed
    assert not read_policy(fetched.body).is_valid


async def test_a_body_without_end_is_cut(context: ssl.SSLContext) -> None:
    fetched = await fetch(answer(body=b"x" * (4 * MAX_POLICY_BYTES)), context)
    assert (len(fetched.body), fetched.is_cut) == (MAX_POLICY_BYTES, True)


@pytest.mark.parametrize("reply", [b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"a" * 1_000_000, b""])
async def test_what_is_no_http_is_a_failure_of_the_policy_host(reply: bytes, context: ssl.SSLContext) -> None:
    fetched = await fetch(reply, context)
    assert fetched.failure is not None
    assert fetched.failure.kind is FailureKind.GARBAGE
    assert "bytearray" not in (fetched.failure.detail or "")


async def test_an_old_version_of_tls_brings_no_policy(tmp_path: Path) -> None:
    """RFC 8996 5, RFC 9325 3.1.1: what senders use refuses it, so that the policy would protect nobody."""
    if not can_serve(ssl.TLSVersion.TLSv1_1, tmp_path):
        pytest.skip("the OpenSSL here does not speak TLS 1.1")
    identity = make_identity(CertificateKind.TRUSTED, HOST)
    old = server_context(identity, tmp_path, minimum=ssl.TLSVersion.TLSv1_1, maximum=ssl.TLSVersion.TLSv1_1)
    fetched = await fetch(answer(), old)
    assert fetched.failure is not None
    assert fetched.failure.phase is Phase.TLS
    assert fetched.failure.kind in (FailureKind.TLS_ALERT, FailureKind.TLS_CLOSED)  # some servers just close


async def test_a_host_that_never_answers_the_handshake_is_silent_and_not_without_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # the kernel takes the connection, and nobody speaks
        port = deaf.getsockname()[1]
        lookups = (found("127.0.0.1"), found(rrtype="AAAA"))
        fetched, _ = await fetch_policy(DOMAIN, lookups, port=port, timeout_s=0.5, clock=lambda: 0.0)
    assert fetched.failure is not None
    assert (fetched.failure.phase, fetched.failure.kind) == (Phase.TLS, FailureKind.TIMEOUT)
    assert "_ssl" not in (fetched.failure.detail or "")


async def test_the_next_address_is_tried_where_one_is_dead(context: ssl.SSLContext) -> None:
    async with serving(answer(), context) as (port, asked):
        lookups = (found("127.0.0.99", "127.0.0.1"), found(rrtype="AAAA"))
        fetched, chain = await fetch_policy(DOMAIN, lookups, port=port, timeout_s=PATIENCE_S, clock=lambda: 0.0)
    assert (fetched.status, fetched.address, len(chain)) == (200, "127.0.0.1", 2)
    [request] = asked
    assert request.startswith(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\n")
    assert f"host: {HOST}:{port}\r\n".encode() in request.lower()


async def test_a_domain_cannot_have_hundreds_of_addresses_knocked_at(context: ssl.SSLContext) -> None:
    async with serving(answer(), context) as (port, asked):
        dead = [f"127.0.0.{number}" for number in range(100, 100 + MAX_ADDRESSES)]
        lookups = (found(*dead, "127.0.0.1"),)
        fetched, _ = await fetch_policy(DOMAIN, lookups, port=port, timeout_s=PATIENCE_S, clock=lambda: 0.0)
    assert fetched.address == dead[-1]
    assert asked == []
