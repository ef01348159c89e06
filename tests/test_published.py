"""What a domain publishes, as far as it is asked for by name."""

from __future__ import annotations

import pytest

from smtpprobe.evidence import HostOrigin, Lookup, LookupStatus, MxHost, Options, Policies, Resolution
from smtpprobe.published import MAX_SERVICE_HOSTS, Published
from tests.checks.evidence_builder import A1, endpoint

DOMAIN = "example.org"


class Source:
    """A name system that knows some records and remembers the questions.

    Args:
        records: by name and type.
        secure: the names for whose answers it vouches, and ``*`` for all.
        failing: the names for which it has no answer.
    """

    def __init__(
        self,
        records: dict[tuple[str, str], tuple[str, ...]],
        secure: tuple[str, ...] = (),
        failing: tuple[str, ...] = (),
    ) -> None:
        self._records = records
        self._secure = secure
        self._failing = failing
        self.asked: list[tuple[str, str]] = []

    async def lookup(self, name: str, rrtype: str) -> Lookup:
        self.asked.append((name, rrtype))
        if name in self._failing:
            return Lookup(name=name, rrtype=rrtype, status=LookupStatus.SERVFAIL)
        records = self._records.get((name, rrtype), ())
        status = LookupStatus.ANSWERED if records else LookupStatus.NO_DATA
        is_secure = not {"*", name}.isdisjoint(self._secure)
        return Lookup(name=name, rrtype=rrtype, status=status, records=records, authenticated=is_secure)


async def published(source: Source, *, discovery: bool = True) -> Published:
    found = Published(DOMAIN, Options(submission_discovery=discovery), source, lambda: 0.0)
    await found.ask_domain()
    return found


@pytest.mark.parametrize("target", [".", "mail.example.org"])
async def test_the_hosts_that_srv_records_name_are_looked_up(target: str) -> None:
    source = Source({(f"_submission._tcp.{DOMAIN}", "SRV"): (f"0 1 587 {target}", f"5 1 2587 {target}")})
    policies = (await published(source)).so_far()
    assert [(each.name, each.records) for each in policies.services] == [
        (f"_submissions._tcp.{DOMAIN}", ()),
        (f"_submission._tcp.{DOMAIN}", (f"0 1 587 {target}", f"5 1 2587 {target}")),
    ]
    wanted = [] if target == "." else [(target, "A"), (target, "AAAA")]
    assert [(each.name, each.rrtype) for each in policies.service_hosts] == wanted


async def test_however_many_hosts_are_named_a_few_are_looked_up() -> None:
    records = tuple(f"0 1 587 mail{number}.example.org" for number in range(100))
    source = Source({(f"_submission._tcp.{DOMAIN}", "SRV"): records})
    assert len((await published(source)).so_far().service_hosts) == 2 * MAX_SERVICE_HOSTS


async def test_services_are_looked_up_only_when_asked_for() -> None:
    source = Source({})
    policies = (await published(source, discovery=False)).so_far()
    assert (policies.services, policies.service_hosts) == ((), ())
    assert {rrtype for _, rrtype in source.asked} == {"TXT"}


# --- TLSA -----------------------------------------------------------------------------------------------------------

MX, END = "mx1.example.org", "end.example.net"
RECORD = "3 1 1 00"


async def tlsa_of(source: Source, *, alias: bool = False, secure: bool = True) -> Policies:
    """Ask for the TLSA records of one MX host.

    Args:
        alias: its name leads to `END`.
        secure: the resolver vouches for the addresses.
    """
    more = {"aliases": (MX,), "canonical_name": END} if alias else {}
    found = Lookup(
        name=MX,
        rrtype="A",
        status=LookupStatus.ANSWERED,
        records=(A1,),
        authenticated=secure,
        **more,  # type: ignore[arg-type]
    )
    host = MxHost(name=MX, origin=HostOrigin.MX, preference=10, addresses=(A1,), lookups=(found,))
    asking = Published(DOMAIN, Options(), source, lambda: 0.0)
    await asking.ask_hosts(Resolution(name=DOMAIN, hosts=(host,)), (endpoint(),))
    return asking.so_far()


def owners(source: Source) -> list[str]:
    return [name for name, rrtype in source.asked if rrtype == "TLSA"]


@pytest.mark.parametrize(
    ("at_end", "at_host", "secure", "base", "asked"),
    [
        ((RECORD,), (RECORD,), ("*",), END, 1),
        ((), (RECORD,), ("*",), MX, 2),
        ((RECORD,), (RECORD,), (f"_25._tcp.{MX}",), MX, 2),  # RFC 7672 2.2.3: only secure records end the search
        ((RECORD,), (), (), END, 2),
        ((), (), ("*",), MX, 2),
    ],
)
async def test_the_end_of_an_alias_comes_before_the_alias(
    at_end: tuple[str, ...], at_host: tuple[str, ...], secure: tuple[str, ...], base: str, asked: int
) -> None:
    records = {(f"_25._tcp.{END}", "TLSA"): at_end, (f"_25._tcp.{MX}", "TLSA"): at_host}
    source = Source(records, secure)
    [found] = (await tlsa_of(source, alias=True)).tlsa
    assert (found.base, len(owners(source))) == (base, asked)


async def test_a_question_that_fails_at_the_end_of_an_alias_ends_the_search() -> None:
    source = Source({(f"_25._tcp.{MX}", "TLSA"): (RECORD,)}, ("*",), failing=(f"_25._tcp.{END}",))
    [found] = (await tlsa_of(source, alias=True)).tlsa
    assert (found.base, found.lookup.status) == (END, LookupStatus.SERVFAIL)


@pytest.mark.parametrize(
    ("records", "secure", "failing", "is_asked"),
    [
        ((RECORD,), ("*",), (), True),
        ((), ("*",), (f"_25._tcp.{MX}",), True),
        ((), ("*",), (), False),
        ((RECORD,), (), (), False),
    ],
)
async def test_the_alias_itself_is_asked_for_only_where_all_depends_on_it(
    records: tuple[str, ...], secure: tuple[str, ...], failing: tuple[str, ...], is_asked: bool
) -> None:
    source = Source({(f"_25._tcp.{MX}", "TLSA"): records, (MX, "CNAME"): (END,)}, secure, failing)
    [found] = (await tlsa_of(source, alias=True, secure=False)).tlsa
    assert owners(source) == [f"_25._tcp.{MX}"]
    assert (found.alias is not None) == is_asked == ((MX, "CNAME") in source.asked)


async def test_no_alias_is_asked_for_where_the_addresses_tell_all() -> None:
    source = Source({(f"_25._tcp.{MX}", "TLSA"): (RECORD,)}, ("*",))
    [found] = (await tlsa_of(source, secure=False)).tlsa
    assert (found.alias, len(source.asked)) == (None, 1)


@pytest.mark.parametrize(
    ("records", "addresses", "secure", "is_asked"),
    [
        ((RECORD,), False, (), True),
        ((RECORD,), True, (), False),
        ((RECORD,), False, (f"_25._tcp.{MX}",), False),
        ((), False, (), False),
    ],
)
async def test_the_root_tells_whether_the_resolver_validates_where_nothing_else_does(
    records: tuple[str, ...], addresses: bool, secure: tuple[str, ...], is_asked: bool
) -> None:
    source = Source({(f"_25._tcp.{MX}", "TLSA"): records}, secure)
    found = await tlsa_of(source, secure=addresses)
    assert (found.root is not None) == is_asked == ((".", "SOA") in source.asked)
