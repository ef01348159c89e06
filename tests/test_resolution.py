"""Targets resolved through a real DNS server on loopback: which questions are asked, and what comes of the answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from smtpprobe.errors import OptionError
from smtpprobe.evidence import Family, HostOrigin, Lookup, LookupStatus, MxHost, Options, Override, Resolution
from smtpprobe.lab.dns import MALFORMED, NOT_IMPLEMENTED, REFUSED, SERVFAIL, DnsServer, Fault
from smtpprobe.resolution import MAX_MX_HOSTS, MAX_PTR_NAMES, Resolver
from smtpprobe.targets import parse_target

PATIENCE_S = 5.0

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
    1.2.0.192.in-addr.arpa       PTR  mx1.example.org
    1.2.0.192.in-addr.arpa       PTR  other.example.org
    {"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"}.ip6.arpa PTR mx1.example.org
    other.example.org            A    192.0.2.77
"""


def clock() -> float:
    return asyncio.get_running_loop().time()


def resolver(*servers: DnsServer, **options: Any) -> Resolver:
    addresses = tuple(server.resolver for server in servers)
    return Resolver(Options(resolvers=addresses, timeout_s=PATIENCE_S, **options), clock)


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
