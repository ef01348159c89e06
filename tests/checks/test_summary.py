"""The answer in one line: how many of how many, and never good for want of trying."""

from __future__ import annotations

import pytest

from smtpprobe.checks import judge
from smtpprobe.endpoints import MAX_MX_HOSTS
from smtpprobe.evidence import (
    DEFAULT_PORTS,
    FailureKind,
    HostOrigin,
    MxHost,
    Options,
    Phase,
    Resolution,
    Role,
    Target,
    TargetKind,
)
from smtpprobe.report import Fate, Outcome, Severity, outcome
from tests.checks.evidence_builder import (
    A2,
    AAAA1,
    DOMAIN,
    EHLO,
    GREETING,
    MX2,
    dead,
    endpoint,
    evidence,
    failed,
    findings,
    found,
    given,
    healthy,
    host,
    ids,
    resolved,
    said,
    talk,
)

MAIL = Target(text="mail.example.org", kind=TargetKind.NAME, name="mail.example.org")
LATER = said(Phase.GREETING, "421 4.3.2 later")


def test_servers_and_addresses_are_counted_of_all() -> None:
    report = findings(healthy(), dead(endpoint(address=AAAA1)), healthy(endpoint(MX2, A2)), dead(endpoint(port=587)))
    assert found("mail-reachable", report).params == {
        "serving": 2,
        "hosts": 2,
        "serving_addresses": 2,
        "addresses": 3,
    }


def test_submission_on_mx_hosts_is_no_part_of_the_answer() -> None:
    report = findings(dead(endpoint()), healthy(endpoint(port=587)))
    assert not ids(report) & {"mail-reachable", "submission-reachable"}
    assert "mx-all-unreachable" in ids(report)


def test_of_more_servers_than_are_tried_nobody_says_that_none_works() -> None:
    names = [f"mx{number}.example.org" for number in range(MAX_MX_HOSTS + 5)]
    tried = [host(name, f"192.0.2.{number}") for number, name in enumerate(names[:MAX_MX_HOSTS])]
    unknown = [MxHost(name=name, origin=HostOrigin.MX, preference=10) for name in names[MAX_MX_HOSTS:]]
    talks = [dead(endpoint(each.name, each.addresses[0])) for each in tried]
    one_port = Options(ports=DEFAULT_PORTS[:1])
    whole = judge(evidence(*talks, resolution=resolved(*tried, *unknown), options=one_port))
    assert "mx-all-unreachable" not in ids(whole)
    assert found("endpoints-left-out", whole).params == {"count": 5, "total": MAX_MX_HOSTS + 5}
    assert {each.fate for each in whole.deliveries} == {Fate.UNKNOWN}
    whole = judge(evidence(*talks, resolution=resolved(*tried), options=one_port))
    assert found("mx-all-unreachable", whole).params["count"] == MAX_MX_HOSTS
    assert {each.fate for each in whole.deliveries} == {Fate.DEFERS}


def test_all_mx_hosts_fail_each_in_its_way() -> None:
    no_address = host("mx3.example.org")
    talks = (dead(endpoint()), talk(endpoint(MX2, A2), said(Phase.GREETING, "554 no mail here")))
    hosts = (host("mx1.example.org", "192.0.2.1"), host(MX2, A2), no_address)
    report = findings(*talks, resolution=resolved(*hosts))
    assert found("mx-all-unreachable", report).params == {
        "hosts": ("mx1.example.org", MX2, "mx3.example.org"),
        "count": 3,
    }


@pytest.mark.parametrize(
    "other",
    [
        talk(endpoint(MX2, A2), LATER),
        dead(endpoint(MX2, A2), FailureKind.TIMEOUT),
        dead(endpoint(MX2, A2), FailureKind.DEADLINE),
        talk(endpoint(MX2, A2), failed(Phase.GREETING, FailureKind.TIMEOUT)),
        talk(endpoint(MX2, A2), GREETING, failed(Phase.EHLO, FailureKind.INTERRUPTED)),
    ],
    ids=["put off", "silent", "deadline", "no greeting", "interrupted"],
)
def test_one_mx_that_is_not_known_leaves_the_answer_open(other: object) -> None:
    report = judge(evidence(dead(endpoint()), other))  # type: ignore[arg-type]
    assert "mx-all-unreachable" not in ids(report)
    assert outcome(report, Severity.ERROR) is Outcome.INCONCLUSIVE


def test_a_host_with_submission_alone_is_told_so() -> None:
    talks = (
        dead(given(25, origin=HostOrigin.IMPLICIT_MX)),
        healthy(given(587, origin=HostOrigin.IMPLICIT_MX)),
    )
    report = judge(evidence(*talks, target=MAIL))
    assert {"submission-reachable", "relay-not-served"} <= ids(report)
    assert report.ok


def test_submission_without_tls_does_not_serve() -> None:
    report = findings(talk(given(587), GREETING, said(Phase.EHLO, "250 mail.example.org")), target=MAIL)
    assert "submission-reachable" not in ids(report)
    assert found("starttls-missing", report).severity is Severity.ERROR


@pytest.mark.parametrize("kind", [FailureKind.TIMEOUT, FailureKind.DEADLINE])
def test_a_host_that_may_serve_has_no_verdict_of_none(kind: FailureKind) -> None:
    report = findings(dead(given(25)), dead(given(587), kind), target=MAIL)
    assert "no-service" not in ids(report)


def test_a_single_endpoint_is_judged_by_its_own_finding() -> None:
    target = Target(text="mail.example.org:25", kind=TargetKind.ENDPOINT, name="mail.example.org", port=25)
    report = findings(dead(given(25, is_required=True)), target=target, resolution=Resolution())
    assert "no-service" not in ids(report)
    assert found("connection-refused", report).severity is Severity.ERROR


def test_an_endpoint_in_order_is_an_answer() -> None:
    target = Target(text="192.0.2.1:2525", kind=TargetKind.ENDPOINT, address="192.0.2.1", port=2525)
    at = endpoint("192.0.2.1", "192.0.2.1", 25, origin=HostOrigin.GIVEN, is_required=True)
    report = judge(evidence(talk(at, GREETING, EHLO), target=target, resolution=Resolution()))
    assert found("mail-reachable", report).where.address == "192.0.2.1"
    assert "nothing-probed" not in ids(report)


def test_a_domain_with_mx_that_nobody_talked_to_is_not_fine() -> None:
    resolution = resolved(host("mx1.example.org", "192.0.2.1"))
    report = judge(evidence(resolution=resolution))
    assert report.findings[-1].id == "nothing-probed"
    assert report.status is Severity.INCONCLUSIVE


def test_a_null_mx_is_told_and_never_counts_as_passed() -> None:
    resolution = Resolution(name=DOMAIN, mx=resolved().mx, is_null_mx=True)
    report = judge(evidence(resolution=resolution))
    assert {"null-mx", "nothing-probed"} <= ids(report)
    assert outcome(report, Severity.ERROR) is Outcome.INCONCLUSIVE


def test_an_explicit_submission_port_of_an_mx_host_counts() -> None:
    report = findings(healthy(endpoint(port=587, is_required=True)))
    assert found("submission-reachable", report).params["serving"] == 1
    assert Role.SMTP not in {each.where.role for each in report}


def test_a_host_without_any_service_is_named_so_that_commands_can_name_it() -> None:
    report = findings(dead(given(25)), dead(given(587)), target=MAIL)
    assert found("no-service", report).where.host == "mail.example.org"
