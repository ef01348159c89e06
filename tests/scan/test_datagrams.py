"""Many questions in datagrams: what is taken is what the usual stub would have said, and all else is left to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import msgspec
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from smtpprobe.errors import OptionError
from smtpprobe.evidence import Lookup, LookupStatus, Options
from smtpprobe.lab.dns import BOGUS, MALFORMED, NOT_IMPLEMENTED, REFUSED, SERVFAIL, SILENT, TRUNCATED, DnsServer, Fault
from smtpprobe.scan.datagrams import (
    SOCKETS,
    Asker,
    Datagrams,
    Deferred,
    encode_question,
    make_asker,
    read_answer,
)
from smtpprobe.stub import make_stub
from tests.loopback import until

RECORDS = """
example.org MX 10 mx1.example.org
example.org MX 5 mx2.example.org
example.org MX 5 MX2.Example.ORG
mx1.example.org A 192.0.2.1
mx1.example.org AAAA 2001:db8::1
mx1.example.org AAAA ::ffff:192.0.2.1
mx2.example.org A 192.0.2.2
mx2.example.org A 192.0.2.3
null.example.org MX 0 .
far.example.org MX 10 mail.elsewhere.test
under_score.example.org A 192.0.2.4
alias.example.org CNAME example.org
www.example.org CNAME mx1.example.org
"""
NAMES = (
    *("example.org", "mx1.example.org", "mx2.example.org", "null.example.org", "far.example.org", "alias.example.org"),
    *("under_score.example.org", "www.example.org", "gone.test", "a" * 63 + ".test", "a b.test", "müll.test", "x..y"),
)


@pytest_asyncio.fixture
async def dns_server() -> AsyncIterator[DnsServer]:
    async with DnsServer(RECORDS) as server:
        yield server


def options(*resolvers: str, timeout_s: float = 1.0) -> Options:
    return Options(resolvers=resolvers, timeout_s=timeout_s)


@pytest_asyncio.fixture
async def asker(dns_server: DnsServer) -> AsyncIterator[Asker]:
    made = make_asker(options(dns_server.resolver))
    assert isinstance(made, Datagrams)
    yield made
    await made.close()


def said(lookup: Lookup) -> Lookup:
    """All but how long a denial holds, and how long it took to hear."""
    ttl_s = lookup.ttl_s if lookup.records else None
    return msgspec.structs.replace(lookup, ttl_s=ttl_s, started_s=0.0, elapsed_s=0.0)


async def test_it_finds_what_the_usual_stub_finds(dns_server: DnsServer, asker: Asker) -> None:
    stub = make_stub(options(dns_server.resolver))
    statuses = set()
    for name in NAMES:
        for rrtype in ("MX", "A", "AAAA", "TXT"):
            found = await asker.lookup(name, rrtype)
            assert said(found) == said(await stub.lookup(name, rrtype)), (name, rrtype)
            statuses.add(found.status)
    assert statuses > {LookupStatus.ANSWERED, LookupStatus.NO_DATA, LookupStatus.NXDOMAIN}


async def test_what_is_plain_takes_one_question(dns_server: DnsServer, asker: Asker) -> None:
    await asyncio.gather(*(asker.ask(*each) for each in (("example.org", "MX"), ("gone.test", "MX"), ("x.test", "A"))))
    assert len(dns_server.questions) == 3


@pytest.mark.parametrize("fault", [SERVFAIL, BOGUS, REFUSED, NOT_IMPLEMENTED, SILENT, MALFORMED, TRUNCATED])
async def test_what_is_not_plain_is_told_as_the_usual_stub_tells_it(
    dns_server: DnsServer, asker: Asker, fault: Fault
) -> None:
    dns_server.faults["mx1.example.org", "A"] = fault
    bad, *good = await asyncio.gather(
        *(asker.ask(*each) for each in (("mx1.example.org", "A"), ("mx2.example.org", "A"), ("example.org", "MX")))
    )
    expected = await make_stub(options(dns_server.resolver)).lookup("mx1.example.org", "A")
    assert said(bad) == said(expected)
    assert [each.status for each in good] == [LookupStatus.ANSWERED] * 2


async def test_very_many_at_once(dns_server: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtpprobe.scan.datagrams.WAIT_S", 0.2)  # for those for which a socket has no room
    asker = make_asker(options(dns_server.resolver, timeout_s=60))
    try:
        found = await asyncio.gather(*(asker.ask(f"n{number}.test", "MX") for number in range(2000)))
    finally:
        await asker.close()
    assert {each.status for each in found} == {LookupStatus.NXDOMAIN}
    assert [each.name for each in found] == [f"n{number}.test" for number in range(2000)]


async def test_a_resolver_that_cannot_be_reached_is_not_asked_again(dns_server: DnsServer) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as bound:
        bound.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{bound.getsockname()[1]}"
    asker = make_asker(options(nobody, dns_server.resolver, timeout_s=5))
    found = await asyncio.wait_for(asker.lookup("example.org", "MX"), 20)
    again = await asker.lookup("mx1.example.org", "A")
    await asker.close()
    assert [each.status for each in (found, again)] == [LookupStatus.ANSWERED] * 2
    assert again.resolver == dns_server.resolver
    assert [each.name for each in dns_server.questions] == ["example.org", "mx1.example.org"]


async def test_a_resolver_that_is_silent_is_left_for_the_next(dns_server: DnsServer) -> None:
    async with DnsServer(RECORDS) as silent:
        silent.faults["example.org", "MX"] = SILENT
        asker = make_asker(options(silent.resolver, dns_server.resolver))
        found = await asker.lookup("example.org", "MX")
        again = await asker.lookup("mx1.example.org", "A")
        await asker.close()
        assert (found.status, found.resolver) == (LookupStatus.ANSWERED, dns_server.resolver)
        assert again.resolver == dns_server.resolver
        assert "mx1.example.org" not in {each.name for each in silent.questions}


class Forger(asyncio.DatagramProtocol):
    """Answers each question with what it is given, made from the question."""

    def __init__(self, *answers: Any) -> None:
        self._answers = answers
        self.ports: set[int] = set()
        self.numbers: set[bytes] = set()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.ports.add(addr[1])
        self.numbers.add(data[:2])
        for answer in self._answers:
            self._transport.sendto(answer(data), addr)


def answer(data: bytes, *, name: str | None = None, address: str = "192.0.2.9", number: int = 0) -> bytes:
    query = dns.message.from_wire(data)
    if name is not None:
        query.question = [dns.rrset.RRset(dns.name.from_text(name), dns.rdataclass.IN, dns.rdatatype.A)]
    made = dns.message.make_response(query, recursion_available=True)
    made.id = query.id + number & 0xFFFF
    made.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", address))
    return made.to_wire()


async def test_only_an_answer_to_the_question_counts() -> None:
    loop = asyncio.get_running_loop()
    forger = Forger(partial(answer, number=1, address="192.0.2.66"), lambda data: b"", lambda data: data[:1], answer)
    transport, _ = await loop.create_datagram_endpoint(lambda: forger, local_addr=("127.0.0.1", 0))
    asker = make_asker(options(f"127.0.0.1:{transport.get_extra_info('sockname')[1]}", timeout_s=5))
    found = await asyncio.gather(*(asker.ask(f"n{number}.test", "A") for number in range(2 * SOCKETS)))
    await asker.close()
    transport.close()
    assert {each.records for each in found} == {("192.0.2.9",)}
    assert len(forger.ports) == SOCKETS
    assert len(forger.numbers) > SOCKETS


async def test_closing_ends_what_waits(dns_server: DnsServer) -> None:
    dns_server.faults["example.org", "MX"] = SILENT
    asker = make_asker(options(dns_server.resolver, timeout_s=60))
    waiting, cut = asker.ask("example.org", "MX"), asker.ask("example.org", "TXT")
    await until(lambda: len(dns_server.questions) > 0)
    await asker.close()
    assert waiting.cancelled()
    assert cut.done()
    await asker.close()


async def test_resolvers_that_are_asked_in_another_way_are_left_to_the_stub() -> None:
    for resolver in ("tls://127.0.0.1", "https://127.0.0.1/dns-query"):
        asker = make_asker(options("127.0.0.1:53", resolver))
        assert isinstance(asker, Deferred)
        await asker.close()
    with pytest.raises(OptionError):
        make_asker(options("resolver.test"))


# --- messages -------------------------------------------------------------------------------------------------------

ADDRESSES = {
    "A": st.ip_addresses(v=4).map(str),
    "AAAA": st.ip_addresses(v=6).map(str),
    "MX": st.builds("{} {}".format, st.integers(0, 65535), st.sampled_from(["mx.name.test.", "Mx.Far.test.", "."])),
}


class Made(NamedTuple):
    """What an answer is made of, of the kinds that resolvers give."""

    records: tuple[str, list[str]]
    """Type and data."""
    ttl_s: int
    is_recursive: bool
    is_authenticated: bool
    rcode: dns.rcode.Rcode
    more: tuple[str, str, str] | None
    """Another record among the answers: name, type, data."""
    has_soa: bool

    def wire(self) -> bytes:
        rrtype, records = self.records
        made = dns.message.make_response(
            dns.message.make_query("name.test", rrtype), recursion_available=self.is_recursive
        )
        made.flags |= dns.flags.AD if self.is_authenticated else 0
        made.set_rcode(self.rcode)
        if records:
            made.answer.append(dns.rrset.from_text("name.test.", self.ttl_s, "IN", rrtype, *records))
        if self.more is not None:
            made.answer.append(dns.rrset.from_text(self.more[0], 60, "IN", *self.more[1:]))
        if self.has_soa:
            made.authority.append(dns.rrset.from_text("test.", 60, "IN", "SOA", "a. b. 1 2 3 4 5"))
        return made.to_wire()


ANSWERS = st.builds(
    Made,
    st.one_of([st.tuples(st.just(each), st.lists(of, max_size=3, unique=True)) for each, of in ADDRESSES.items()]),
    st.integers(0, 2**31 - 1),
    st.booleans(),
    st.booleans(),
    st.sampled_from([dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL]),
    st.sampled_from([None, None, ("name.test.", "CNAME", "mx.name.test."), ("other.test.", "A", "192.0.2.7")]),
    st.booleans(),
)


def read(rrtype: str, data: bytes) -> Lookup | None:
    question = encode_question("name.test", rrtype)
    assert question is not None
    return read_answer(data, "name.test", rrtype, question, "127.0.0.1:53")


def as_the_stub_reads_it(rrtype: str, data: bytes) -> Lookup | None:
    """None where it cannot read it."""
    from smtpprobe import stub
    from smtpprobe.targets import NameServer

    question = stub._Question(dns.name.from_text("name.test"), dns.rdatatype.from_text(rrtype))
    try:
        message = stub._parse(data, question, int.from_bytes(data[:2], "big"))
        found = stub._read(message, question, NameServer("127.0.0.1", 53))
    except stub._MalformedError:
        return None
    return msgspec.structs.replace(found, name="name.test", rrtype=rrtype)


@given(ANSWERS)
def test_what_is_read_is_what_the_usual_stub_reads(made: Made) -> None:
    rrtype, wire = made.records[0], made.wire()
    found = read(rrtype, wire)
    if found is not None:
        expected = as_the_stub_reads_it(rrtype, wire)
        assert expected is not None
        assert said(found) == said(expected)
    elif made.rcode is dns.rcode.NOERROR and made.more is None and made.is_recursive:
        assert rrtype == "AAAA", "only of these there are some that are spelt in two ways"


@given(ANSWERS, st.data())
def test_whatever_comes_is_read_alike_or_not_at_all(made: Made, data: st.DataObject) -> None:
    rrtype, wire = made.records[0], made.wire()
    broken = bytearray(wire)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(2, len(broken) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(broken[: data.draw(st.integers(2, len(broken)))])
    found = read(rrtype, cut)
    if found is not None:
        expected = as_the_stub_reads_it(rrtype, cut)
        # What stands behind the answers is of no account here, and may be damaged.
        assert expected is None or (found.status, found.records) == (expected.status, expected.records)


@given(st.sampled_from(sorted(ADDRESSES)), st.binary(max_size=200))
def test_no_bytes_are_a_mistake(rrtype: str, data: bytes) -> None:
    question = encode_question("name.test", rrtype) or b""
    read(rrtype, data)
    read(rrtype, b"\0\0\x81\x80\0\1\0\2\0\0\0\0" + question + b"\xc0\x0c" + data)


def test_a_dot_inside_a_label_does_not_make_two_of_it() -> None:
    made = dns.message.make_response(dns.message.make_query("name.test", "MX"), recursion_available=True)
    made.answer.append(dns.rrset.from_text("name.test.", 60, "IN", "MX", r"10 mx\.mail.example.org."))
    assert read("MX", made.to_wire()) is None


def test_names_that_are_none_cannot_be_asked() -> None:
    for name in ("", "a..b", ".", "a.", "ä.test", "a b", "a" * 64, ".".join(["a" * 60] * 5)):
        assert encode_question(name, "MX") is None, name
    assert encode_question("a.test", "TXT") is None
    assert encode_question("a.test", "A") == b"\1a\4test\0\0\1\0\1"
