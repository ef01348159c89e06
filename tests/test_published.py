"""What a domain publishes, as far as it is asked for by name."""

from __future__ import annotations

import pytest

from smtpprobe.evidence import Lookup, LookupStatus, Options
from smtpprobe.published import MAX_SERVICE_HOSTS, Published

DOMAIN = "example.org"


class Source:
    """A name system that knows some records and remembers the questions."""

    def __init__(self, records: dict[tuple[str, str], tuple[str, ...]]) -> None:
        self._records = records
        self.asked: list[tuple[str, str]] = []

    async def lookup(self, name: str, rrtype: str) -> Lookup:
        self.asked.append((name, rrtype))
        records = self._records.get((name, rrtype), ())
        status = LookupStatus.ANSWERED if records else LookupStatus.NO_DATA
        return Lookup(name=name, rrtype=rrtype, status=status, records=records)


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
