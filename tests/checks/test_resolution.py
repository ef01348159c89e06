"""What the name system says of a domain, of its hosts, and of their addresses."""

from __future__ import annotations

from typing import Any

import pytest

from smtpprobe.checks import judge
from smtpprobe.checks.mx_hosts import unrouted_network
from smtpprobe.evidence import (
    EXCLUDED,
    NOT_PUBLIC,
    Evidence,
    FailureKind,
    Family,
    HostOrigin,
    Lookup,
    LookupStatus,
    MxHost,
    Options,
    Resolution,
    Reverse,
    Target,
    TargetKind,
)
from smtpprobe.reference.model import Confidence
from smtpprobe.report import Outcome, Severity, outcome
from tests.checks.evidence_builder import (
    A1,
    A2,
    DOMAIN,
    MX1,
    MX2,
    dead,
    endpoint,
    evidence,
    found,
    healthy,
    host,
    ids,
    lookup,
    resolved,
)

FAILED = {
    LookupStatus.SERVFAIL: "mx-lookup-servfail",
    LookupStatus.TIMEOUT: "mx-lookup-timeout",
    LookupStatus.REFUSED: "resolver-refused",
    LookupStatus.UNREACHABLE: "resolver-unreachable",
    LookupStatus.MALFORMED: "mx-lookup-malformed",
    LookupStatus.OTHER_RCODE: "mx-lookup-failed",
}
IMPLICIT = HostOrigin.IMPLICIT_MX


def asked(*hosts: MxHost, mx: Lookup, **more: object) -> Evidence:
    return evidence(resolution=Resolution(name=DOMAIN, mx=mx, hosts=hosts), **more)


V6 = "2001:db8:1::1"
HALF_KNOWN = MxHost(
    name=MX2,
    origin=HostOrigin.MX,
    addresses=(V6,),
    lookups=(lookup(MX2, "A", status=LookupStatus.TIMEOUT), lookup(MX2, "AAAA", V6)),
)


@pytest.mark.parametrize(
    ("hosts", "more", "is_found"),
    [
        ((host(MX1, V6),), {}, True),
        ((host(DOMAIN, V6, origin=IMPLICIT),), {}, True),
        ((host(MX1, V6), host(MX2)), {}, True),
        ((host(MX1, V6), host(MX2, A2)), {}, False),
        ((host(MX1),), {}, False),
        ((host(MX1, V6), HALF_KNOWN), {}, False),
        ((host(MX1, V6, status=LookupStatus.OVERRIDDEN),), {}, False),
        ((host(MX1, V6),), {"options": Options(family=Family.IPV6)}, False),
    ],
    ids=["one", "implicit", "other has none", "other has it", "no address", "not known", "by hand", "only IPv6 asked"],
)
def test_a_domain_that_only_ipv6_reaches(hosts: tuple[MxHost, ...], more: dict[str, Any], is_found: bool) -> None:
    report = judge(evidence(resolution=resolved(*hosts), **more))
    assert ("ipv4-missing" in ids(report)) is is_found


# --- the domain -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "id"), FAILED.items())
def test_a_failed_look_up_is_its_own_fact_and_never_no_mx(status: LookupStatus, id: str) -> None:
    report = judge(asked(mx=lookup(DOMAIN, "MX", status=status, detail="what was said", resolver="192.0.2.53:53")))
    assert found(id, report).severity is Severity.INCONCLUSIVE
    assert found(id, report).params == {"name": DOMAIN, "detail": "what was said; @192.0.2.53:53"}
    assert not ids(report) & {"no-mail-host", "implicit-mx", "domain-not-found"}
    assert outcome(report, Severity.ERROR) is Outcome.INCONCLUSIVE


def test_a_failed_look_up_does_not_fall_back_to_the_address() -> None:
    report = judge(asked(host(DOMAIN, A1, origin=IMPLICIT), mx=lookup(DOMAIN, "MX", status=LookupStatus.SERVFAIL)))
    assert "mx-lookup-servfail" in ids(report)
    assert "implicit-mx" not in ids(report)


@pytest.mark.parametrize(
    ("extended", "is_bogus"),
    [
        ("6 DNSSEC Bogus", True),
        ("22 No Reachable Authority; 7 Signature Expired", True),
        ("22 No Reachable Authority", False),
        ("23 Network Error", False),
        (None, False),
        ("odd text", False),
    ],
)
def test_broken_signatures_are_told_from_bad_luck(extended: str | None, is_bogus: bool) -> None:
    report = judge(asked(mx=lookup(DOMAIN, "MX", status=LookupStatus.SERVFAIL, extended_error=extended)))
    assert ("mx-lookup-bogus" in ids(report)) is is_bogus
    if is_bogus:
        finding = found("mx-lookup-bogus", report)
        assert (finding.severity, finding.confidence) == (Severity.ERROR, Confidence.LIKELY)


def test_the_order_of_preference_is_shown() -> None:
    mx = lookup(DOMAIN, "MX", f"20 {MX2}", f"10 {MX1}")
    report = judge(asked(host(MX1, A1), host(MX2, A2), mx=mx))
    assert found("mx-found", report).params == {"count": 2, "hosts": (f"10 {MX1}", f"20 {MX2}")}


def test_a_domain_without_mx_and_with_an_address_is_its_own_host() -> None:
    report = judge(asked(host(DOMAIN, A1, origin=IMPLICIT), mx=lookup(DOMAIN, "MX")))
    assert found("implicit-mx", report).severity is Severity.INFO


@pytest.mark.parametrize("status", [LookupStatus.NO_DATA, LookupStatus.NXDOMAIN])
def test_a_domain_without_anything_has_one_error(status: LookupStatus) -> None:
    nothing = host(DOMAIN, origin=IMPLICIT, status=status)
    report = judge(asked(nothing, mx=lookup(DOMAIN, "MX", status=status)))
    expected = "no-mail-host" if status is LookupStatus.NO_DATA else "domain-not-found"
    assert [(each.id, each.severity) for each in report.findings] == [(expected, Severity.ERROR)]


def test_addresses_that_are_not_known_leave_the_domain_open() -> None:
    open_ = host(DOMAIN, origin=IMPLICIT, status=LookupStatus.TIMEOUT)
    report = judge(asked(open_, mx=lookup(DOMAIN, "MX")))
    assert "no-mail-host" not in ids(report)
    assert found("host-lookup-failed", report).severity is Severity.INCONCLUSIVE


@pytest.mark.parametrize("records", [("0 .",), ("10 .",)])
def test_a_null_mx_alone_is_a_note(records: tuple[str, ...]) -> None:
    assert found("null-mx", judge(asked(mx=lookup(DOMAIN, "MX", *records)))).severity is Severity.INFO


def test_a_null_mx_beside_others_is_an_error() -> None:
    report = judge(asked(host(MX1, A1), mx=lookup(DOMAIN, "MX", f"10 {MX1}", "0 .")))
    assert found("null-mx-beside-others", report).params == {"name": DOMAIN, "hosts": ("0 .", f"10 {MX1}")}


# --- the hosts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "id"), [(LookupStatus.NXDOMAIN, "mx-host-not-found"), (LookupStatus.NO_DATA, "mx-host-without-address")]
)
def test_an_mx_host_without_address_is_an_error_unless_others_have_one(status: LookupStatus, id: str) -> None:
    lost = host(MX1, status=status)
    assert found(id, judge(evidence(resolution=resolved(lost)))).severity is Severity.ERROR
    assert found(id, judge(evidence(resolution=resolved(lost, host(MX2, A2))))).severity is Severity.WARNING


def test_addresses_that_could_not_be_looked_up_in_full_are_a_warning_where_some_are_known() -> None:
    half = MxHost(
        name=MX1,
        origin=HostOrigin.MX,
        preference=10,
        addresses=(A1,),
        lookups=(lookup(MX1, "A", A1), lookup(MX1, "AAAA", status=LookupStatus.SERVFAIL, detail="SERVFAIL")),
    )
    finding = found("host-lookup-failed", judge(evidence(resolution=resolved(half))))
    assert (finding.severity, finding.params) == (
        Severity.WARNING,
        {"rrtypes": ("AAAA",), "status": "servfail", "detail": "SERVFAIL"},
    )


def test_only_one_family_asked_for_is_no_fault_of_the_host() -> None:
    report = judge(evidence(resolution=resolved(host()), options=Options(family=Family.IPV4)))
    finding = found("no-address-in-family", report)
    assert (finding.severity, finding.params) == (Severity.INCONCLUSIVE, {"rrtype": "A"})
    assert not ids(report) & {"mx-host-without-address", "nothing-probed"}
    report = judge(evidence(resolution=resolved(host(), host(MX2, A2)), options=Options(family=Family.IPV4)))
    assert found("no-address-in-family", report).severity is Severity.INFO


def test_an_alias_is_a_warning_on_an_mx_host_only() -> None:
    facts: dict[str, Any] = {"aliases": (MX1,), "canonical_name": "real.example.net"}
    report = judge(evidence(resolution=resolved(host(MX1, A1, **facts))))
    assert found("mx-is-alias", report).params == {"canonical": "real.example.net"}
    given = Resolution(hosts=(host(MX1, A1, origin=HostOrigin.GIVEN, **facts),))
    assert "mx-is-alias" not in ids(judge(evidence(resolution=given)))


@pytest.mark.parametrize("name", ["192.0.2.1", "[192.0.2.1]", "2001:db8::1"])
def test_an_address_in_an_mx_record(name: str) -> None:
    report = judge(evidence(resolution=resolved(host(name, status=LookupStatus.NXDOMAIN))))
    assert "mx-is-address-literal" in ids(report)
    assert "mx-host-not-found" not in ids(report)


@pytest.mark.parametrize("name", ["localhost", "mail.localhost"])
def test_localhost_in_an_mx_record(name: str) -> None:
    report = judge(evidence(resolution=resolved(host(name, "127.0.0.1"))))
    assert "mx-is-localhost" in ids(report)
    assert "mx-address-private" not in ids(report)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.0.0.0/8"),
        ("100.64.0.1", "100.64.0.0/10"),
        ("127.0.0.2", "127.0.0.0/8"),
        ("169.254.1.1", "169.254.0.0/16"),
        ("172.31.255.255", "172.16.0.0/12"),
        ("192.168.1.1", "192.168.0.0/16"),
        ("0.0.0.0", "0.0.0.0/8"),
        ("224.0.0.1", "224.0.0.0/4"),
        ("255.255.255.255", "240.0.0.0/4"),
        ("::1", "::1/128"),
        ("fd00::1", "fc00::/7"),
        ("fe80::1", "fe80::/10"),
        ("8.8.8.8", None),
        ("172.32.0.1", None),
        ("192.0.2.1", None),
        ("2001:db8::1", None),
        ("2a00:1450::1", None),
    ],
)
def test_networks_that_are_not_routed(address: str, network: str | None) -> None:
    assert unrouted_network(address) == network


def test_a_private_address_is_worth_what_depends_on_it() -> None:
    alone = resolved(host(MX1, "10.0.0.1"))
    assert found("mx-address-private", judge(evidence(resolution=alone))).severity is Severity.ERROR
    beside = resolved(host(MX1, "10.0.0.1", A1))
    finding = found("mx-address-private", judge(evidence(resolution=beside)))
    assert (finding.severity, finding.where.address) == (Severity.WARNING, "10.0.0.1")
    chosen = Options(resolvers=("127.0.0.1:5353",))
    assert found("mx-address-private", judge(evidence(resolution=alone, options=chosen))).severity is Severity.INFO


@pytest.mark.parametrize(
    ("origin", "address", "typed", "worth"),
    [
        (HostOrigin.MX, "10.0.0.1", DOMAIN, Severity.WARNING),
        (IMPLICIT, "10.0.0.1", DOMAIN, Severity.INFO),
        (IMPLICIT, "10.0.0.1", f"me@{DOMAIN}", Severity.WARNING),
        (IMPLICIT, "127.0.0.1", DOMAIN, Severity.ERROR),
    ],
    ids=["MX", "host", "mail domain", "ourselves"],
)
def test_who_reaches_a_private_address_may_be_told_what_the_internet_is_not(
    origin: HostOrigin, address: str, typed: str, worth: Severity
) -> None:
    resolution = resolved(host(DOMAIN, address, origin=origin))
    target = Target(text=typed, kind=TargetKind.NAME, name=DOMAIN)
    within = healthy(endpoint(DOMAIN, address, origin=origin))
    report = judge(evidence(within, resolution=resolution, target=target))
    assert found("mx-address-private", report).severity is worth
    outside = dead(within.endpoint, FailureKind.TIMEOUT)
    report = judge(evidence(outside, resolution=resolution, target=target))
    assert found("mx-address-private", report).severity is Severity.ERROR


def test_a_private_address_that_a_scan_keeps_out_of_is_not_meant() -> None:
    resolution, chosen = resolved(host(MX1, "10.0.0.1")), Options(resolvers=("192.0.2.53",))
    for why, worth in ((NOT_PUBLIC, Severity.ERROR), (EXCLUDED, Severity.INFO)):
        spared = dead(endpoint(MX1, "10.0.0.1"), FailureKind.LEFT_ALONE, why)
        report = judge(evidence(spared, resolution=resolution, options=chosen))
        assert found("mx-address-private", report).severity is worth


def test_a_private_address_that_was_typed_is_meant() -> None:
    given = Resolution(hosts=(host("10.0.0.1", "10.0.0.1", origin=HostOrigin.GIVEN),))
    assert "mx-address-private" not in ids(judge(evidence(resolution=given)))


# --- reverse names --------------------------------------------------------------------------------------------------

PUBLIC = "203.0.112.9"


def reversed_(ptr: Lookup, *forward: Lookup, address: str = PUBLIC) -> set[str]:
    found_ = Reverse(address=address, ptr=ptr, forward=forward)
    report = judge(evidence(healthy(), resolution=resolved(host(MX1, address), reverse=(found_,))))
    assert {each.severity for each in report.findings if each.id.startswith("ptr-")} <= {Severity.INFO}
    return {each for each in ids(report) if each.startswith("ptr-")}


def ptr(*names: str, status: LookupStatus | None = None) -> Lookup:
    return lookup("9.112.0.203.in-addr.arpa", "PTR", *names, status=status)


def test_a_reverse_name_that_points_back_is_not_worth_a_word() -> None:
    assert reversed_(ptr(MX1), lookup(MX1, "A", PUBLIC)) == set()


def test_one_of_several_names_is_enough() -> None:
    assert reversed_(ptr("a.example.org", MX1), lookup("a.example.org", "A", A2), lookup(MX1, "A", PUBLIC)) == set()


def test_a_name_that_points_elsewhere_is_not_confirmed() -> None:
    assert reversed_(ptr(MX1), lookup(MX1, "A", A2)) == {"ptr-not-confirmed"}
    assert reversed_(ptr(MX1), lookup(MX1, "A")) == {"ptr-not-confirmed"}


@pytest.mark.parametrize("status", [LookupStatus.NXDOMAIN, LookupStatus.NO_DATA])
def test_no_name_at_all(status: LookupStatus) -> None:
    assert reversed_(ptr(status=status)) == {"ptr-missing"}


@pytest.mark.parametrize("status", [LookupStatus.SERVFAIL, LookupStatus.TIMEOUT, LookupStatus.REFUSED])
def test_a_question_without_an_answer_is_not_a_missing_name(status: LookupStatus) -> None:
    assert reversed_(ptr(status=status)) == {"ptr-lookup-failed"}
    assert reversed_(ptr(MX1), lookup(MX1, "A", status=status)) == {"ptr-lookup-failed"}


def test_nobody_outside_asks_for_private_addresses() -> None:
    assert reversed_(ptr(status=LookupStatus.NXDOMAIN), address="10.0.0.1") == set()
