"""Questions over TLS and over HTTPS, put to resolvers of the loopback address, honest ones and others."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from smtpprobe.checks.securing import Security, security
from smtpprobe.evidence import Lookup, LookupStatus, Options
from smtpprobe.lab.certificates import CertificateKind, make_identity, server_context, trusted_root
from smtpprobe.lab.dns import SERVFAIL, SILENT, DnsServer, Fault
from smtpprobe.stub import Stub, make_stub
from tests.checks.evidence_builder import evidence

NAME = "dns.example"
RECORDS = """
    example.org     MX 10 mx1.example.org
    mx1.example.org A  192.0.2.1
    big.example.org TXT """ + " ".join(["x" * 200] * 10)

Contexts = Callable[..., ssl.SSLContext]


@pytest.fixture
def context(tmp_path: Path) -> Contexts:
    """Make the TLS of a resolver with a certificate of a kind, for a name."""

    def make(name: str = NAME, kind: CertificateKind = CertificateKind.TRUSTED) -> ssl.SSLContext:
        return server_context(make_identity(kind, name), tmp_path)

    return make


@pytest.fixture
def roots(tmp_path: Path) -> str:
    path = tmp_path / "roots.pem"
    path.write_bytes(trusted_root())
    return str(path)


class Visits:
    """What an HTTPS server was asked."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.connections = 0


@asynccontextmanager
async def over_https(
    dns: DnsServer, context: ssl.SSLContext, *, head: bytes = b"", body: bytes | None = None
) -> AsyncIterator[tuple[int, Visits]]:
    """A server for RFC 8484 in front of a name server; `head` and `body` are said in place of an answer."""
    visits = Visits()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.connections += 1
        try:
            while True:
                said = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
                visits.heads.append(said)
                size = int(next(line.split(":")[1] for line in said.lower().splitlines() if "content-length" in line))
                question = await reader.readexactly(size)
                answers: list[bytes] = []
                dns.take(question, answers.append, over_tcp=True)
                answer = body if body is not None else answers[0]
                usual = b"HTTP/1.1 200 OK\r\nContent-Type: application/dns-message\r\n"
                writer.write((head or usual) + b"Content-Length: %d\r\n\r\n" % len(answer) + answer)
        except (EOFError, OSError):
            writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1], visits


def stub(*resolvers: str, ca_file: str | None, timeout_s: float = 20.0) -> Stub:
    return make_stub(Options(resolvers=resolvers, ca_file=ca_file, timeout_s=timeout_s))


@asynccontextmanager
async def resolver(
    scheme: str, context: ssl.SSLContext, *, name: str = NAME, **more: object
) -> AsyncIterator[tuple[DnsServer, str]]:
    """A resolver that is asked in one of the two ways, and how to write it."""
    sign = f"#{name}" if name else ""
    async with DnsServer(RECORDS, tls=context, **more) as dns:  # type: ignore[arg-type]
        if scheme == "tls":
            yield dns, f"tls://127.0.0.1:{dns.tls_port}{sign}"
            return
        async with over_https(dns, context) as (port, _):
            yield dns, f"https://127.0.0.1:{port}/dns-query{sign}"


BOTH = pytest.mark.parametrize("scheme", ["tls", "https"])


@BOTH
async def test_a_question_is_answered_and_the_answer_names_the_resolver(
    scheme: str, context: Contexts, roots: str
) -> None:
    async with resolver(scheme, context()) as (dns, written):
        found = await stub(written, ca_file=roots).lookup("example.org", "MX")
        assert (found.status, found.records) == (LookupStatus.ANSWERED, ("10 mx1.example.org",))
        assert found.resolver == written
        assert [each.over_tcp for each in dns.questions] == [True]


@BOTH
async def test_what_such_a_resolver_says_of_dnssec_is_believed(scheme: str, context: Contexts, roots: str) -> None:
    async with resolver(scheme, context(), authenticated=("example.org",)) as (_, written):
        found = await stub(written, ca_file=roots).lookup("example.org", "MX")
    assert security(evidence(), found) is Security.SECURE


@BOTH
async def test_many_questions_at_once_get_each_its_own_answer(scheme: str, context: Contexts, roots: str) -> None:
    async with resolver(scheme, context()) as (dns, written):
        dns.add("\n".join(f"host{number}.example.org A 192.0.2.{number}" for number in range(1, 41)))
        asked = stub(written, ca_file=roots)
        questions = [asked.lookup(f"host{number}.example.org", "A") for number in range(1, 41)]
        found = await asyncio.gather(*questions)
    assert [each.records for each in found] == [(f"192.0.2.{number}",) for number in range(1, 41)]


async def test_one_that_is_not_waited_for_any_longer_disturbs_no_other(context: Contexts, roots: str) -> None:
    held = asyncio.Event()
    async with resolver("tls", context(), faults={("example.org", "MX"): Fault(held=held)}) as (dns, written):
        asked = stub(written, ca_file=roots)
        given_up = asyncio.create_task(asked.lookup("example.org", "MX"))
        other = asyncio.create_task(asked.lookup("example.org", "MX"))
        await dns.hear(2)
        given_up.cancel()
        held.set()
        assert (await other).records == ("10 mx1.example.org",)
        assert (await asked.lookup("mx1.example.org", "A")).records == ("192.0.2.1",), "over a new connection"
        await asyncio.gather(given_up, return_exceptions=True)


@BOTH
@pytest.mark.parametrize(
    ("name", "kind", "sent"),
    [
        (NAME, CertificateKind.UNKNOWN_ISSUER, NAME),
        (NAME, CertificateKind.EXPIRED, NAME),
        ("other.example", CertificateKind.TRUSTED, NAME),
        (NAME, CertificateKind.TRUSTED, ""),
    ],
    ids=["unknown", "expired", "another name", "no address"],
)
async def test_a_resolver_that_does_not_prove_who_it_is_is_asked_nothing(
    scheme: str, name: str, kind: CertificateKind, sent: str, context: Contexts, roots: str
) -> None:
    async with resolver(scheme, context(name, kind), name=sent) as (dns, written):
        found = await stub(written, ca_file=roots).lookup("example.org", "MX")
        assert found.status is LookupStatus.UNREACHABLE
        assert (found.detail or "").startswith("the certificate of the resolver does not hold: ")
        assert dns.questions == []


@BOTH
async def test_without_a_name_the_certificate_must_bear_the_address(scheme: str, context: Contexts, roots: str) -> None:
    async with resolver(scheme, context("127.0.0.1"), name="") as (_, written):
        assert (await stub(written, ca_file=roots).lookup("example.org", "MX")).status is LookupStatus.ANSWERED


@BOTH
async def test_failures_of_the_resolver_are_told_as_over_udp(scheme: str, context: Contexts, roots: str) -> None:
    faults = {("example.org", "MX"): SERVFAIL}
    async with resolver(scheme, context(), faults=faults) as (_, written):
        asked = stub(written, ca_file=roots)
        assert (await asked.lookup("example.org", "MX")).status is LookupStatus.SERVFAIL
        assert (await asked.lookup("nothing.example.org", "A")).status is LookupStatus.NXDOMAIN
        [long] = (await asked.lookup("big.example.org", "TXT")).records
        assert long.count("x") == 2000


async def test_a_silent_resolver_times_out_and_the_next_one_is_asked(context: Contexts, roots: str) -> None:
    async with resolver("tls", context(), faults={("example.org", "MX"): SILENT}) as (_, silent):
        assert (await stub(silent, ca_file=roots, timeout_s=0.2).lookup("example.org", "MX")).status is (
            LookupStatus.TIMEOUT
        )
        async with resolver("tls", context()) as (_, other):
            found = await stub(silent, other, ca_file=roots, timeout_s=2.0).lookup("example.org", "MX")
    assert (found.status, found.resolver) == (LookupStatus.ANSWERED, other)


async def test_nobody_there_is_unreachable(roots: str) -> None:
    async with DnsServer() as gone:
        port = gone.port
    for written in (f"tls://127.0.0.1:{port}", f"https://127.0.0.1:{port}"):
        found = await stub(written, ca_file=roots).lookup("example.org", "MX")
        assert found.status is LookupStatus.UNREACHABLE
        assert found.detail


async def test_what_speaks_no_tls_is_unreachable(roots: str) -> None:
    async def shout(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx.example.org ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(shout, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for written in (f"tls://127.0.0.1:{port}", f"https://127.0.0.1:{port}"):
            assert (await stub(written, ca_file=roots).lookup("example.org", "MX")).status is LookupStatus.UNREACHABLE


@pytest.mark.parametrize(
    ("head", "body", "said"),
    [
        (b"HTTP/1.1 404 Not Found\r\n", b"", "HTTP status 404"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n", b"<html>", "text/html instead of"),
        (b"", b"", "no answer to the question"),
        (b"", b"\0\0junk", "unreadable"),
        (b"", bytes(70_000), "more than a DNS message"),
    ],
)
async def test_what_is_no_dns_message_is_malformed_and_told(
    head: bytes, body: bytes, said: str, context: Contexts, roots: str
) -> None:
    async with DnsServer(RECORDS) as dns, over_https(dns, context(), head=head, body=body) as (port, _):
        found = await stub(f"https://127.0.0.1:{port}#{NAME}", ca_file=roots).lookup("example.org", "MX")
    assert found.status is LookupStatus.MALFORMED
    assert said in (found.detail or "")


async def test_the_request_is_that_of_the_rfc(context: Contexts, roots: str) -> None:
    async with DnsServer(RECORDS) as dns, over_https(dns, context()) as (port, visits):
        await stub(f"https://127.0.0.1:{port}/me?x=1#{NAME}", ca_file=roots).lookup("example.org", "MX")
    [head] = visits.heads
    lines = head.lower().splitlines()
    assert head.startswith("POST /me?x=1 HTTP/1.1\r\n")
    assert {"host: dns.example", "content-type: application/dns-message"} <= set(lines)


async def test_http_2_is_spoken_where_it_can_be(context: Contexts, roots: str) -> None:
    pytest.importorskip("h2")
    async with DnsServer(RECORDS) as dns, over_http_2(dns, context()) as (port, heads):
        asked = stub(f"https://127.0.0.1:{port}/dns-query#{NAME}", ca_file=roots)
        found = await asyncio.gather(
            *(asked.lookup(*each) for each in (("example.org", "MX"), ("mx1.example.org", "A")))
        )
    assert [each.records for each in found] == [("10 mx1.example.org",), ("192.0.2.1",)]
    assert {(head[":method"], head[":authority"], head[":path"]) for head in heads} == {("POST", NAME, "/dns-query")}


@asynccontextmanager
async def over_http_2(dns: DnsServer, context: ssl.SSLContext) -> AsyncIterator[tuple[int, list[dict[str, str]]]]:
    """A server for RFC 8484 that speaks HTTP/2 only."""
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import DataReceived, RequestReceived, StreamEnded

    heads: list[dict[str, str]] = []
    context.set_alpn_protocols(["h2"])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        inside.initiate_connection()
        questions: dict[int, bytes] = {}
        while data := await reader.read(65536):
            for event in inside.receive_data(data):
                if isinstance(event, RequestReceived):
                    heads.append({str(name): str(value) for name, value in event.headers})
                elif isinstance(event, DataReceived):
                    questions[event.stream_id] = questions.get(event.stream_id, b"") + event.data
                elif isinstance(event, StreamEnded):
                    answers: list[bytes] = []
                    dns.take(questions[event.stream_id], answers.append, over_tcp=True)
                    head = [(":status", "200"), ("content-type", "application/dns-message")]
                    inside.send_headers(event.stream_id, head)
                    inside.send_data(event.stream_id, answers[0], end_stream=True)
            writer.write(inside.data_to_send())
        writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1], heads


async def test_a_whole_resolution_goes_one_way(context: Contexts, roots: str) -> None:
    from smtpprobe.resolution import Resolver
    from smtpprobe.targets import parse_target

    async with resolver("tls", context()) as (dns, written):
        options = Options(resolvers=(written,), ca_file=roots)
        found = await Resolver(options, lambda: 0.0).resolve(parse_target("example.org"))
    assert [each.addresses for each in found.hosts] == [("192.0.2.1",)]
    lookups: list[Lookup] = [each for host in found.hosts for each in host.lookups]
    assert {each.resolver for each in lookups} == {written}
    assert len(dns.questions) == 3
