"""Targets resolved through a real DNS server on loopback, healthy and not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.edns
import dns.message
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpprobe.errors import OptionError
from smtpprobe.evidence import Family, HostOrigin, Lookup, LookupStatus, MxHost, Options, Override, Resolution
from smtpprobe.lab.dns import (
    BOGUS,
    MALFORMED,
    NOT_IMPLEMENTED,
    REFUSED,
    SERVFAIL,
    SILENT,
    TRUNCATED,
    DnsServer,
    Fault,
    Question,
)
from smtpprobe.resolution import MAX_MX_HOSTS, MAX_PTR_NAMES, Resolver, Server, Stub, system_servers
from smtpprobe.targets import parse_target

PATIENCE_S = 5.0
"""For questions that are answered."""
IMPATIENCE_S = 0.1
"""For questions that are not."""
PERSEVERANCE_S = 1.0
"""For questions that are answered after a first attempt in vain: that waits for half of it, or a quarter."""

RECORDS = f"""
    example.org              600 SOA ns.example.org. hostmaster.example.org. 1 3600 600 86400 30
    example.org              300 MX   20 MX2.Example.ORG.
    example.org                  MX   10 mx1.example.org
    mx1.example.org          120 A    192.0.2.1
    mx1.example.org          240 AAAA 2001:db8:0:0::1
    mx2.example.org              A    192.0.2.2
    host.example.org             A    192.0.2.3
    null.example.org             MX   0 .
    mixed.example.org            MX   0 .
    mixed.example.org            MX   10 mx1.example.org
    alias.example.org            MX   10 www.example.org
    www.example.org           90 CNAME web.example.org
    web.example.org          200 CNAME mx1.example.org
    dangling.example.org      90 CNAME nowhere.example.org
    round.example.org            CNAME about.example.org
    about.example.org            CNAME round.example.org
    odd.example.org              MX   10 192.0.2.9
    odd.example.org              MX   20 localhost
    odd.example.org              MX   30 nowhere.example.org
    odd.example.org              MX   40 nothing.example.org
    nothing.example.org          TXT  "no address"
    twice.example.org            MX   10 mx1.example.org
    twice.example.org            MX   20 mx2.example.org
    twice.example.org            MX   20 mx1.example.org
    twice.example.org            MX   10 mx2.example.org
    txt.example.org              TXT  "v=one" "two; three"
    _25._tcp.mx1.example.org     TLSA 3 1 1 {"AB" * 32}
    _submission._tcp.example.org SRV  0 1 587 Mail.example.org
    ns.example.org               NS   NS2.example.org
    big.example.org              TXT  {" ".join(["x" * 200] * 10)}
    1.2.0.192.in-addr.arpa       PTR  mx1.example.org
    1.2.0.192.in-addr.arpa       PTR  other.example.org
    {"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"}.ip6.arpa PTR mx1.example.org
    other.example.org            A    192.0.2.77
"""


def clock() -> float:
    return asyncio.get_running_loop().time()


def resolver(*servers: DnsServer, timeout_s: float = PATIENCE_S, **options: Any) -> Resolver:
    addresses = tuple(server.resolver for server in servers)
    return Resolver(Options(resolvers=addresses, timeout_s=timeout_s, **options), clock)


async def resolve(typed: str, server: DnsServer, **options: Any) -> Resolution:
    return await resolver(server, **options).resolve(parse_target(typed))


def names(resolution: Resolution) -> list[str]:
    return [host.name for host in resolution.hosts]


def asked(server: DnsServer) -> list[tuple[str, str]]:
    return [(question.name, question.rrtype) for question in server.questions]


# --- hosts ----------------------------------------------------------------------------------------------------------


async def test_mx_hosts_come_by_preference_with_ipv4_first() -> None:
    async with DnsServer(RECORDS) as server:
        found = await resolve("example.org", server)
    assert found.name == "example.org"
    assert found.mx is not None
    assert found.mx.records == ("20 mx2.example.org", "10 mx1.example.org")
    assert [(each.name, each.preference, each.origin, each.addresses) for each in found.hosts] == [
        ("mx1.example.org", 10, HostOrigin.MX, ("192.0.2.1", "2001:db8::1")),
        ("mx2.example.org", 20, HostOrigin.MX, ("192.0.2.2",)),
    ]
    assert [(each.rrtype, each.status) for each in found.hosts[1].lookups] == [
        ("A", LookupStatus.ANSWERED),
        ("AAAA", LookupStatus.NO_DATA),
    ]
    assert not found.is_null_mx
    assert found.reverse == ()


async def test_a_domain_with_mx_costs_no_question_about_its_own_addresses() -> None:
    async with DnsServer(RECORDS) as server:
        await resolve("example.org", server)
        assert ("example.org", "A") not in asked(server)
        assert len(server.questions) == len(set(server.questions)) == 5


async def test_all_address_questions_are_open_at_the_same_time() -> None:
    held = asyncio.Event()
    hosts = [(name, rrtype) for name in ("mx1.example.org", "mx2.example.org") for rrtype in ("A", "AAAA")]
    async with DnsServer(RECORDS, faults={key: Fault(held=held) for key in hosts}) as server:
        resolving = asyncio.create_task(resolve("example.org", server))
        async with asyncio.timeout(PATIENCE_S):
            await server.hear(5)
        held.set()
        assert len((await resolving).hosts) == 2


async def test_without_mx_the_name_itself_is_the_host() -> None:
    async with DnsServer(RECORDS) as server:
        found = await resolve("host.example.org", server)
        assert asked(server)[0] == ("host.example.org", "MX")
    assert found.mx is not None
    assert found.mx.status is LookupStatus.NO_DATA
    (host,) = found.hosts
    assert (host.name, host.origin, host.preference) == ("host.example.org", HostOrigin.IMPLICIT_MX, None)
    assert host.addresses == ("192.0.2.3",)


async def test_a_null_mx_names_no_host() -> None:
    async with DnsServer(RECORDS) as server:
        found = await resolve("null.example.org", server)
        assert asked(server) == [("null.example.org", "MX")]
    assert found.is_null_mx
    assert found.hosts == ()


async def test_a_null_mx_beside_others_does_not_count() -> None:
    async with DnsServer(RECORDS) as server:
        found = await resolve("mixed.example.org", server)
    assert not found.is_null_mx
    assert names(found) == ["mx1.example.org"]


async def test_a_host_named_twice_is_met_once_at_its_lowest_preference() -> None:
    async with DnsServer(RECORDS) as server:
        found = await resolve("twice.example.org", server)
    assert [(each.name, each.preference) for each in found.hosts] == [("mx1.example.org", 10), ("mx2.example.org", 10)]


async def test_an_mx_that_is_no_name_or_localhost_is_kept_but_not_looked_up() -> None:
    async with DnsServer(RECORDS) as server:
        found = await resolve("odd.example.org", server)
        assert not [question for question in asked(server) if question[0] in ("192.0.2.9", "localhost")]
    assert found.hosts[0] == MxHost(name="192.0.2.9", origin=HostOrigin.MX, preference=10)
    assert found.hosts[1] == MxHost(name="localhost", origin=HostOrigin.MX, preference=20)
    assert [{each.status for each in host.lookups} for host in found.hosts[2:]] == [
        {LookupStatus.NXDOMAIN},
        {LookupStatus.NO_DATA},
    ]


async def test_an_alias_at_the_mx_is_followed_and_noted() -> None:
    async with DnsServer(RECORDS) as server:
        found = await resolve("alias.example.org", server)
    (host,) = found.hosts
    assert (host.name, host.addresses) == ("www.example.org", ("192.0.2.1", "2001:db8::1"))
    for lookup in host.lookups:
        assert lookup.aliases == ("www.example.org", "web.example.org")
        assert lookup.canonical_name == "mx1.example.org"
        assert lookup.ttl_s == 90


async def test_a_name_that_does_not_exist_has_no_host() -> None:
    async with DnsServer(RECORDS) as server:
        found = await resolve("nowhere.example.org", server)
        assert asked(server) == [("nowhere.example.org", "MX")]
    assert found.mx is not None
    assert (found.mx.status, found.mx.ttl_s) == (LookupStatus.NXDOMAIN, 30)
    assert found.hosts == ()


@pytest.mark.parametrize("fault", [SERVFAIL, REFUSED, NOT_IMPLEMENTED, MALFORMED])
async def test_where_nobody_knows_the_mx_the_address_is_not_taken_instead(fault: Fault) -> None:
    async with DnsServer(RECORDS, faults={("host.example.org", "MX"): fault}) as server:
        found = await resolve("host.example.org", server)
        assert asked(server) == [("host.example.org", "MX")]
    assert found.mx is not None
    assert found.hosts == ()


async def test_a_host_with_a_port_is_looked_up_without_mx() -> None:
    async with DnsServer(RECORDS) as server:
        found = await resolve("smtp://mx1.example.org", server)
        assert set(asked(server)) == {("mx1.example.org", "A"), ("mx1.example.org", "AAAA")}
    assert (found.name, found.mx) == ("mx1.example.org", None)
    assert [(each.origin, each.addresses) for each in found.hosts] == [(HostOrigin.GIVEN, ("192.0.2.1", "2001:db8::1"))]


async def test_an_address_needs_no_dns() -> None:
    async with DnsServer(RECORDS) as server:
        found = await resolve("[2001:DB8::1]:25", server)
        assert server.questions == []
    assert found.name is None
    assert found.hosts == (MxHost(name="2001:db8::1", origin=HostOrigin.GIVEN, addresses=("2001:db8::1",)),)


@pytest.mark.parametrize("typed", ["localhost", "localhost:2525", "mail.localhost"])
async def test_localhost_is_this_machine_and_needs_no_dns(typed: str) -> None:
    async with DnsServer(RECORDS) as server:
        found = await resolve(typed, server)
        assert server.questions == []
    assert found.mx is None
    assert [(each.origin, each.addresses) for each in found.hosts] == [(HostOrigin.GIVEN, ("127.0.0.1", "::1"))]


@pytest.mark.parametrize(
    ("family", "rrtype", "address"), [(Family.IPV4, "A", "192.0.2.1"), (Family.IPV6, "AAAA", "2001:db8::1")]
)
async def test_only_the_family_in_use_is_asked_for(family: Family, rrtype: str, address: str) -> None:
    async with DnsServer(RECORDS) as server:
        found = await resolve("mx1.example.org:25", server, family=family)
        assert asked(server) == [("mx1.example.org", rrtype)]
    assert found.hosts[0].addresses == (address,)


async def test_a_domain_cannot_have_us_look_up_any_number_of_hosts() -> None:
    exchanges = [f"{number} mx{number}.example.org" for number in range(MAX_MX_HOSTS + 10)]
    async with DnsServer({"example.org": {"MX": exchanges}}) as server:
        found = await resolve("example.org", server, family=Family.IPV4)
        assert len(server.questions) == 2 + MAX_MX_HOSTS  # the MX question was truncated and asked again over TCP
    assert [bool(host.lookups) for host in found.hosts] == [True] * MAX_MX_HOSTS + [False] * 10


# --- given by hand --------------------------------------------------------------------------------------------------


async def test_an_override_answers_addresses_without_the_dns() -> None:
    overrides = (
        Override(name="MX1.example.org.", address="203.0.113.1"),
        Override(name="mx1.example.org", address="203.0.113.2"),
        Override(name="mx1.example.org", address="203.0.113.1"),
    )
    async with DnsServer(RECORDS) as server:
        found = await resolve("example.org", server, overrides=overrides)
        assert not [question for question in asked(server) if question[0] == "mx1.example.org"]
    host = found.hosts[0]
    assert host.addresses == ("203.0.113.1", "203.0.113.2")
    assert [(each.rrtype, each.status, each.records) for each in host.lookups] == [
        ("A", LookupStatus.OVERRIDDEN, ("203.0.113.1", "203.0.113.2")),
        ("AAAA", LookupStatus.OVERRIDDEN, ()),
    ]
    assert found.hosts[1].addresses == ("192.0.2.2",)


async def test_other_records_of_an_overridden_name_are_still_asked_for() -> None:
    overrides = (Override(name="txt.example.org", address="203.0.113.1"),)
    async with DnsServer(RECORDS) as server:
        assert (await resolver(server, overrides=overrides).lookup("txt.example.org", "TXT")).records


@pytest.mark.parametrize("name", ["nowhere.example.org", "broken.example.org"])
async def test_an_overridden_domain_is_a_host_even_where_the_dns_knows_no_mx(name: str) -> None:
    overrides = (Override(name=name, address="203.0.113.1"),)
    async with DnsServer(RECORDS, faults={("broken.example.org", "MX"): SERVFAIL}) as server:
        found = await resolve(name, server, overrides=overrides)
    assert [(each.origin, each.addresses) for each in found.hosts] == [(HostOrigin.GIVEN, ("203.0.113.1",))]


async def test_even_an_mx_that_is_localhost_can_be_given_an_address() -> None:
    overrides = (Override(name="localhost", address="127.0.0.2"),)
    async with DnsServer(RECORDS) as server:
        found = await resolve("odd.example.org", server, overrides=overrides)
    assert found.hosts[1].addresses == ("127.0.0.2",)


@pytest.mark.parametrize(
    "options",
    [
        {"resolvers": ("dns.example.org",)},
        {"resolvers": ("192.0.2.53:0",)},
        {"resolvers": ("192.0.2.53",), "overrides": (Override(name="example.org", address="x"),)},
    ],
)
def test_options_that_cannot_be_used_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        Resolver(Options(**options), lambda: 0.0)


# --- how a question ends --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "status", "detail", "extended_error"),
    [
        (SERVFAIL, LookupStatus.SERVFAIL, None, None),
        (BOGUS, LookupStatus.SERVFAIL, None, "6 DNSSEC Bogus"),
        (REFUSED, LookupStatus.REFUSED, None, None),
        (Fault(rcode="REFUSED", extended_error=18), LookupStatus.REFUSED, None, "18 Prohibited"),
        (NOT_IMPLEMENTED, LookupStatus.OTHER_RCODE, "NOTIMP", None),
        (Fault(rcode="YXDOMAIN"), LookupStatus.OTHER_RCODE, "YXDOMAIN", None),
        (MALFORMED, LookupStatus.MALFORMED, "unreadable: DNS message is malformed.", None),
        (Fault(raw=b"\x81\x80" + bytes(8)), LookupStatus.MALFORMED, "it answers another question", None),
        (Fault(raw=b"\x01\x00" + bytes(8)), LookupStatus.MALFORMED, "what came is no answer to the question", None),
        (Fault(rcode="SERVFAIL", extended_error=22, extra_text="a; b"), LookupStatus.SERVFAIL, None,
         "22 No Reachable Authority (a, b)"),
        (Fault(rcode="SERVFAIL", extended_error=4711), LookupStatus.SERVFAIL, None, "4711"),
    ],
)  # fmt: skip
async def test_each_failure_is_a_fact_of_its_own(
    fault: Fault, status: LookupStatus, detail: str | None, extended_error: str | None
) -> None:
    async with DnsServer(RECORDS, faults={("example.org", "MX"): fault}) as server:
        found = await resolver(server).lookup("example.org", "MX")
        assert server.questions == [Question("example.org", "MX")]
    assert (found.name, found.rrtype, found.records, found.ttl_s) == ("example.org", "MX", (), None)
    assert (found.status, found.detail, found.extended_error) == (status, detail, extended_error)
    assert found.resolver == server.resolver


async def test_silence_is_a_timeout_after_asking_again() -> None:
    async with DnsServer(RECORDS, faults={("example.org", "MX"): SILENT}) as server:
        found = await resolver(server, timeout_s=IMPATIENCE_S).lookup("example.org", "MX")
        assert len(server.questions) >= 2
    assert found.status is LookupStatus.TIMEOUT
    assert found.resolver == server.resolver
    assert IMPATIENCE_S <= found.elapsed_s < PATIENCE_S


async def test_a_lost_datagram_is_sent_again() -> None:
    async with DnsServer(RECORDS, faults={("example.org", "MX"): Fault(is_silent=True, times=1)}) as server:
        found = await resolver(server, timeout_s=PERSEVERANCE_S).lookup("example.org", "MX")
        assert len(server.questions) == 2
    assert found.status is LookupStatus.ANSWERED


async def test_a_resolver_that_is_not_there_is_unreachable() -> None:
    async with DnsServer() as server:
        pass
    found = await resolver(server).lookup("example.org", "MX")
    assert (found.status, found.detail) == (LookupStatus.UNREACHABLE, "Connection refused")
    assert found.resolver == server.resolver


async def test_no_resolver_at_all_is_unreachable_too() -> None:
    found = await Stub([], timeout_s=PATIENCE_S, complaint="nothing there").lookup("example.org", "MX")
    assert (found.status, found.detail, found.resolver) == (LookupStatus.UNREACHABLE, "nothing there", None)


@pytest.mark.parametrize(("name", "rrtype"), [("a" * 64 + ".example.org", "A"), ("a..b", "A"), ("example.org", "NO")])
async def test_what_cannot_be_asked_is_not_asked(name: str, rrtype: str) -> None:
    async with DnsServer(RECORDS) as server:
        found = await resolver(server).lookup(name, rrtype)
        assert server.questions == []
    assert found.status is LookupStatus.MALFORMED
    assert found.detail is not None
    assert found.detail.startswith("cannot be asked: ")


@pytest.mark.parametrize(
    ("name", "status", "ttl_s"),
    [
        ("mx1.example.org", LookupStatus.NO_DATA, 30),
        ("nowhere.example.org", LookupStatus.NXDOMAIN, 30),
        ("www.example.org", LookupStatus.NO_DATA, 30),
        ("dangling.example.org", LookupStatus.NXDOMAIN, 30),
        ("example.net", LookupStatus.NXDOMAIN, 60),
    ],
)
async def test_a_denial_lives_as_long_as_its_soa_says(name: str, status: LookupStatus, ttl_s: int) -> None:
    async with DnsServer(RECORDS) as server:
        found = await resolver(server).lookup(name, "MX")
    assert (found.status, found.ttl_s, found.records) == (status, ttl_s, ())


async def test_an_alias_that_leads_nowhere_is_noted() -> None:
    async with DnsServer(RECORDS) as server:
        found = await resolver(server).lookup("dangling.example.org", "A")
    assert (found.aliases, found.canonical_name) == (("dangling.example.org",), "nowhere.example.org")


async def test_aliases_that_form_a_loop_end() -> None:
    async with DnsServer(RECORDS) as server:
        found = await resolver(server).lookup("round.example.org", "A")
    assert found.status is LookupStatus.MALFORMED
    assert "loop" in (found.detail or "")


@pytest.mark.parametrize(
    ("name", "rrtype", "record"),
    [
        ("txt.example.org", "TXT", '"v=one" "two; three"'),
        ("_25._tcp.mx1.example.org", "TLSA", f"3 1 1 {'ab' * 32}"),
        ("_submission._tcp.example.org", "SRV", "0 1 587 mail.example.org"),
        ("www.example.org", "CNAME", "web.example.org"),
        ("ns.example.org", "NS", "ns2.example.org"),
        ("example.org", "SOA", "ns.example.org hostmaster.example.org 1 3600 600 86400 30"),
        ("null.example.org", "MX", "0 ."),
        ("mx1.example.org", "AAAA", "2001:db8::1"),
    ],
)
async def test_records_have_one_form(name: str, rrtype: str, record: str) -> None:
    async with DnsServer(RECORDS) as server:
        assert (await resolver(server).lookup(name, rrtype)).records == (record,)


async def test_what_the_resolver_authenticated_is_said() -> None:
    async with DnsServer(RECORDS, authenticated=["example.org"]) as server:
        asking = resolver(server)
        assert (await asking.lookup("example.org", "MX")).authenticated
        assert not (await asking.lookup("mx1.example.org", "A")).authenticated


async def test_a_remark_of_the_resolver_is_kept_with_the_answer() -> None:
    async with DnsServer(RECORDS, faults={("mx2.example.org", "A"): Fault(extended_error=3)}) as server:
        found = await resolver(server).lookup("mx2.example.org", "A")
    assert (found.records, found.extended_error) == (("192.0.2.2",), "3 Stale Answer")


@pytest.mark.parametrize("name", ["big.example.org", "txt.example.org"])
async def test_a_truncated_answer_is_fetched_over_tcp(name: str) -> None:
    async with DnsServer(RECORDS, faults={("txt.example.org", "TXT"): TRUNCATED}) as server:
        found = await resolver(server).lookup(name, "TXT")
        assert server.questions == [Question(name, "TXT"), Question(name, "TXT", over_tcp=True)]
    assert (found.status, len(found.records)) == (LookupStatus.ANSWERED, 1)


async def test_silence_over_tcp_is_a_timeout() -> None:
    async with DnsServer(RECORDS) as server:
        server.faults["big.example.org", "TXT"] = Fault(is_silent=True)
        server.faults["txt.example.org", "TXT"] = Fault(is_truncated=True)
        asking = resolver(server, timeout_s=IMPATIENCE_S)
        assert (await asking.lookup("big.example.org", "TXT")).status is LookupStatus.TIMEOUT


@pytest.fixture
async def datagrams() -> Any:
    """Answers every datagram with what a function makes of it; nobody listens over TCP."""
    loop = asyncio.get_running_loop()

    class Answering(asyncio.DatagramProtocol):
        answer: Callable[[bytes], bytes] = staticmethod(lambda data: data)
        queries: list[bytes]

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport
            self.queries = []

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.queries.append(data)
            self.transport.sendto(self.answer(data), addr)  # type: ignore[attr-defined]

    transport, protocol = await loop.create_datagram_endpoint(Answering, local_addr=("127.0.0.1", 0))
    protocol.server = Server(*transport.get_extra_info("sockname")[:2])  # type: ignore[attr-defined]
    yield protocol
    transport.close()


def answer(query: bytes, flags: int, *, counts: tuple[int, int, int] = (0, 0, 0), records: bytes = b"") -> bytes:
    """Answer a query without its OPT record, which is the last eleven bytes."""
    header = query[:2] + flags.to_bytes(2, "big") + b"\0\1" + b"".join(count.to_bytes(2, "big") for count in counts)
    question = query[12:-11] if query[10:12] == b"\0\1" else query[12:]
    return header + question + records


async def test_a_question_says_what_it_wants(datagrams: Any) -> None:
    datagrams.answer = lambda query: answer(query, 0x8183)
    found = await Stub([datagrams.server], timeout_s=PATIENCE_S).lookup("mx1.example.org", "AAAA")
    assert (found.status, found.ttl_s) == (LookupStatus.NXDOMAIN, None)
    (query,) = datagrams.queries
    assert query[2:12] == bytes.fromhex("0120 0001 0000 0000 0001")  # RD and AD; one question, one OPT
    assert query[12:] == b"\3mx1\7example\3org\0" + bytes.fromhex("001c 0001 00 0029 04d0 00000000 0000")


async def test_every_question_has_an_identifier_of_its_own(datagrams: Any) -> None:
    datagrams.answer = lambda query: answer(query, 0x8183)
    stub = Stub([datagrams.server], timeout_s=PATIENCE_S)
    for number in range(20):
        await stub.lookup(f"mx{number}.example.org", "A")
    assert len({query[:2] for query in datagrams.queries}) > 1


async def test_a_server_that_only_refers_to_others_does_not_deny_anything(datagrams: Any) -> None:
    ns = b"\xc0\x0c" + bytes.fromhex("0002 0001 0000003c 0002 c00c")
    datagrams.answer = lambda query: answer(query, 0x8100, counts=(0, 1, 0), records=ns)
    found = await Stub([datagrams.server], timeout_s=PATIENCE_S).lookup("example.org", "MX")
    assert found.status is LookupStatus.REFUSED
    assert "refers" in (found.detail or "")


async def test_an_authority_may_deny_without_a_soa(datagrams: Any) -> None:
    datagrams.answer = lambda query: answer(query, 0x8500)
    found = await Stub([datagrams.server], timeout_s=PATIENCE_S).lookup("example.org", "MX")
    assert (found.status, found.ttl_s) == (LookupStatus.NO_DATA, None)


async def test_an_answer_that_contradicts_itself_is_malformed(datagrams: Any) -> None:
    record = b"\xc0\x0c" + bytes.fromhex("0001 0001 0000003c 0004 c0000201")
    datagrams.answer = lambda query: answer(query, 0x8183, counts=(1, 0, 0), records=record)
    found = await Stub([datagrams.server], timeout_s=PATIENCE_S).lookup("example.org", "A")
    assert found.status is LookupStatus.MALFORMED


async def test_a_server_that_does_not_know_edns_is_asked_without(datagrams: Any) -> None:
    record = b"\xc0\x0c" + bytes.fromhex("0001 0001 0000003c 0004 c0000201")

    def old(query: bytes) -> bytes:
        has_opt = query[10:12] == b"\0\1"
        return (
            query[:2] + b"\x81\x81" + bytes(8) if has_opt else answer(query, 0x8180, counts=(1, 0, 0), records=record)
        )

    datagrams.answer = old
    found = await Stub([datagrams.server], timeout_s=PATIENCE_S).lookup("example.org", "A")
    assert (found.status, found.records) == (LookupStatus.ANSWERED, ("192.0.2.1",))
    assert len(datagrams.queries) == 2


async def test_where_edns_is_swallowed_the_second_attempt_goes_without(datagrams: Any) -> None:
    datagrams.answer = lambda query: b"" if query[10:12] == b"\0\1" else answer(query, 0x8183)
    found = await Stub([datagrams.server], timeout_s=PERSEVERANCE_S).lookup("example.org", "A")
    assert found.status is LookupStatus.NXDOMAIN


async def test_an_answer_with_another_identifier_is_not_listened_to(datagrams: Any) -> None:
    datagrams.answer = lambda query: bytes([query[0] ^ 1]) + answer(query, 0x8183)[1:]
    found = await Stub([datagrams.server], timeout_s=IMPATIENCE_S).lookup("example.org", "A")
    assert found.status is LookupStatus.TIMEOUT


async def test_truncated_and_no_tcp_is_unreachable(datagrams: Any) -> None:
    datagrams.answer = lambda query: answer(query, 0x8380)
    found = await Stub([datagrams.server], timeout_s=PATIENCE_S).lookup("example.org", "A")
    assert found.status is LookupStatus.UNREACHABLE


async def test_a_connection_closed_before_the_answer_is_malformed(datagrams: Any) -> None:
    datagrams.answer = lambda query: answer(query, 0x8380)

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\0\x20half")
        writer.close()

    async with await asyncio.start_server(hang_up, *datagrams.server):
        found = await Stub([datagrams.server], timeout_s=PATIENCE_S).lookup("example.org", "A")
    assert (found.status, "closed" in (found.detail or "")) == (LookupStatus.MALFORMED, True)


VALID = dns.message.make_response(dns.message.make_query("example.org", "MX", use_edns=0))
VALID.answer.append(dns.rrset.from_text("example.org.", 60, "IN", "CNAME", "www.example.org."))
VALID.answer.append(
    dns.rrset.from_text("www.example.org.", 60, "IN", "MX", "10 mx1.example.org.", "20 mx2.example.org.")
)
VALID.authority.append(dns.rrset.from_text("org.", 60, "IN", "SOA", "ns.org. me.org. 1 2 3 4 5"))
VALID.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode.OTHER, "text")])
BODY = VALID.to_wire()[2:]
CHANGES = st.lists(st.tuples(st.integers(0, len(BODY) - 1), st.integers(0, 255)), max_size=8)


def changed(changes: list[tuple[int, int]], length: int) -> bytes:
    body = bytearray(BODY)
    for index, value in changes:
        body[index] = value
    return bytes(body[:length])


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.builds(changed, CHANGES, st.integers(len(BODY) - 20, len(BODY)))))
def test_whatever_bytes_answer_the_question_ends_as_a_value(raw: bytes) -> None:
    async def ask() -> Lookup:
        async with DnsServer(faults={("example.org", "MX"): Fault(raw=raw)}) as server:
            return await resolver(server).lookup("example.org", "MX")

    found = asyncio.run(ask())
    assert found.status is not LookupStatus.TIMEOUT
    assert (found.status is LookupStatus.ANSWERED) is bool(found.records)


# --- several resolvers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [SERVFAIL, REFUSED, NOT_IMPLEMENTED, MALFORMED])
async def test_where_one_resolver_fails_the_next_is_asked(fault: Fault) -> None:
    async with DnsServer(RECORDS, faults={("example.org", "MX"): fault}) as bad, DnsServer(RECORDS) as good:
        found = await resolver(bad, good).lookup("example.org", "MX")
        assert (found.status, found.resolver) == (LookupStatus.ANSWERED, good.resolver)
        assert (len(bad.questions), len(good.questions)) == (1, 1)


async def test_a_denial_is_an_answer() -> None:
    async with DnsServer() as first, DnsServer(RECORDS) as second:
        assert (await resolver(first, second).lookup("example.org", "MX")).status is LookupStatus.NXDOMAIN
        assert second.questions == []


async def test_a_silent_resolver_costs_one_wait_and_then_comes_last() -> None:
    async with DnsServer(faults={("example.org", "MX"): SILENT}) as silent, DnsServer(RECORDS) as good:
        asking = resolver(silent, good, timeout_s=PERSEVERANCE_S)
        assert (await asking.lookup("example.org", "MX")).resolver == good.resolver
        assert (await asking.lookup("mx1.example.org", "A")).resolver == good.resolver
        assert asked(silent) == [("example.org", "MX")]


async def test_of_different_failures_the_most_telling_is_reported_and_the_others_named() -> None:
    async with DnsServer() as gone:
        pass
    async with DnsServer(faults={("example.org", "MX"): BOGUS}) as failing:
        found = await resolver(gone, failing).lookup("example.org", "MX")
    assert (found.status, found.resolver) == (LookupStatus.SERVFAIL, failing.resolver)
    assert found.extended_error == "6 DNSSEC Bogus"
    assert found.detail == f"{gone.resolver}: Connection refused"


# --- asked once -----------------------------------------------------------------------------------------------------


async def test_a_question_is_asked_once_however_many_ask() -> None:
    async with DnsServer(RECORDS) as server:
        asking = resolver(server)
        found = await asyncio.gather(*(asking.lookup(name, "MX") for name in ("example.org", "Example.org.") * 5))
        assert (await asking.lookup("example.org", "MX")) is found[0]
        assert len(server.questions) == 1
    assert all(each is found[0] for each in found)


async def test_one_asker_that_gives_up_does_not_take_the_answer_from_the_others() -> None:
    held = asyncio.Event()
    async with DnsServer(RECORDS, faults={("example.org", "MX"): Fault(held=held)}) as server:
        asking = resolver(server)
        first, second = (asyncio.create_task(asking.lookup("example.org", "MX")) for _ in range(2))
        await server.hear(1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        held.set()
        assert (await second).status is LookupStatus.ANSWERED
        assert len(server.questions) == 1


async def test_when_all_give_up_the_question_ends_and_can_be_asked_again() -> None:
    held = asyncio.Event()
    async with DnsServer(RECORDS, faults={("example.org", "MX"): Fault(held=held, times=1)}) as server:
        asking = resolver(server)
        before = asyncio.all_tasks()
        only = asyncio.create_task(asking.lookup("example.org", "MX"))
        await server.hear(1)
        only.cancel()
        with pytest.raises(asyncio.CancelledError):
            await only
        await asyncio.sleep(0)
        assert not [task for task in asyncio.all_tasks() - before if "Resolver._look_up" in repr(task)]
        assert (await asking.lookup("example.org", "MX")).status is LookupStatus.ANSWERED


async def test_times_are_counted_from_the_beginning_of_the_probe() -> None:
    times = iter([1.0, 1.5, 2.0, 2.25, 4.0])
    async with DnsServer(RECORDS) as server:
        options = Options(resolvers=(server.resolver,))
        found = await Resolver(options, lambda: next(times)).resolve(parse_target("null.example.org"))
    assert found.mx is not None
    assert (found.mx.started_s, found.mx.elapsed_s) == (1.5, 0.5)
    assert found.elapsed_s == 1.25


async def test_another_source_of_answers_can_be_put_in() -> None:
    class Book:
        async def lookup(self, name: str, rrtype: str) -> Lookup:
            return Lookup(name=name, rrtype=rrtype, status=LookupStatus.NO_DATA)

    found = await Resolver(Options(), lambda: 0.0, source=Book()).resolve(parse_target("example.org"))
    assert [(each.origin, each.addresses) for each in found.hosts] == [(HostOrigin.IMPLICIT_MX, ())]


# --- reverse names --------------------------------------------------------------------------------------------------


async def test_reverse_names_are_followed_back() -> None:
    async with DnsServer(RECORDS) as server:
        found = await resolver(server).reverse(["192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.1"])
        assert len(server.questions) == len(set(server.questions))
    assert [each.address for each in found] == ["192.0.2.1", "2001:db8::1", "192.0.2.2"]
    v4, v6, missing = found
    assert v4.ptr.records == ("mx1.example.org", "other.example.org")
    assert [(each.rrtype, each.records) for each in v4.forward] == [("A", ("192.0.2.1",)), ("A", ("192.0.2.77",))]
    assert [(each.rrtype, each.records) for each in v6.forward] == [("AAAA", ("2001:db8::1",))]
    assert (missing.ptr.status, missing.forward) == (LookupStatus.NXDOMAIN, ())


async def test_reverse_uses_the_address_questions_that_were_asked_before() -> None:
    async with DnsServer(RECORDS) as server:
        asking = resolver(server)
        await asking.resolve(parse_target("example.org"))
        await asking.reverse(["192.0.2.1"])
        assert asked(server).count(("mx1.example.org", "A")) == 1


async def test_an_address_cannot_have_us_follow_any_number_of_names() -> None:
    records = {"1.2.0.192.in-addr.arpa": {"PTR": [f"host{number}.example.org" for number in range(30)]}}
    async with DnsServer(records) as server:
        (found,) = await resolver(server).reverse(["192.0.2.1"])
    assert (len(found.ptr.records), len(found.forward)) == (30, MAX_PTR_NAMES)


# --- the resolvers of the system ------------------------------------------------------------------------------------


@pytest.fixture
def resolv_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    import dns.resolver

    path = tmp_path / "resolv.conf"
    original = dns.resolver.Resolver.__init__

    def read_ours(self: Any) -> None:
        original(self, filename=str(path))

    monkeypatch.setattr(dns.resolver.Resolver, "__init__", read_ours)
    return path  # type: ignore[return-value]


def test_the_resolvers_of_the_system_are_read(resolv_conf: Path) -> None:
    resolv_conf.write_text("search example.org\nnameserver 192.0.2.53\nnameserver 2001:db8::53\noptions edns0\n")
    assert system_servers() == ([Server("192.0.2.53"), Server("2001:db8::53")], "")


@pytest.mark.parametrize("text", [None, "", "search example.org\n", "nameserver dns.example.org\n", "\xff"])
def test_a_system_without_resolvers_is_a_fact_not_a_crash(resolv_conf: Path, text: str | None) -> None:
    if text is not None:
        resolv_conf.write_text(text, "latin-1")
    found = asyncio.run(Resolver(Options(), lambda: 0.0).resolve(parse_target("example.org")))
    assert found.mx is not None
    assert found.mx.status is LookupStatus.UNREACHABLE
    assert (found.mx.detail or "").startswith("no resolver is configured")
