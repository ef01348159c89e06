"""Ports that cannot be reached: what a closed one is worth, and whose silence it is."""

from __future__ import annotations

import pytest

from smtpprobe.evidence import Conversation, FailureKind, HostOrigin, Target, TargetKind
from smtpprobe.reference.model import Confidence
from smtpprobe.report import Severity
from tests.checks.evidence_builder import (
    A1,
    A2,
    AAAA1,
    MX2,
    dead,
    endpoint,
    evidence,
    findings,
    found,
    given,
    healthy,
    ids,
)

TIMEOUT = FailureKind.TIMEOUT
MAIL = Target(text="mail.example.org", kind=TargetKind.NAME, name="mail.example.org")


# --- closed ports ---------------------------------------------------------------------------------------------------


def test_the_only_mx_closed_is_an_error() -> None:
    finding = found("connection-refused", findings(dead(endpoint())))
    assert finding.severity is Severity.ERROR
    assert finding.params == {"port": 25, "family": "-"}
    assert finding.where.endpoint == f"{A1}:25"


def test_one_mx_closed_beside_one_that_serves_is_a_warning() -> None:
    report = findings(dead(endpoint()), healthy(endpoint(MX2, A2)))
    assert found("connection-refused", report).severity is Severity.WARNING
    assert "mx-all-unreachable" not in ids(report)


def test_a_closed_mx_beside_one_that_is_not_known_is_no_error_yet() -> None:
    report = findings(dead(endpoint()), dead(endpoint(MX2, A2), TIMEOUT))
    assert found("connection-refused", report).severity is Severity.WARNING


@pytest.mark.parametrize("kind", [FailureKind.REFUSED, FailureKind.TIMEOUT, FailureKind.UNREACHABLE, FailureKind.RESET])
@pytest.mark.parametrize("port", [465, 587])
def test_submission_closed_on_an_mx_host_is_a_note(kind: FailureKind, port: int) -> None:
    report = findings(healthy(), dead(endpoint(port=port), kind))
    assert found("submission-not-offered", report).severity is Severity.INFO
    assert {each.severity for each in report} == {Severity.OK, Severity.INFO}


@pytest.mark.parametrize("port", [25, 465, 587])
def test_a_port_that_was_asked_for_must_answer(port: int) -> None:
    report = findings(healthy(), dead(endpoint(port=port, is_required=True)))
    assert found("connection-refused", report).severity is Severity.ERROR


def test_a_host_asked_for_by_name_owes_one_service_only() -> None:
    report = findings(dead(given(25)), dead(given(465)), healthy(given(587)), target=MAIL)
    closed = [each for each in report if each.id == "connection-refused"]
    assert [each.severity for each in closed] == [Severity.INFO, Severity.INFO]


@pytest.mark.parametrize(
    ("closed", "others", "family"),
    [
        (AAAA1, (healthy(),), "IPv6"),
        (A1, (healthy(endpoint(address=AAAA1)),), "IPv4"),
        (AAAA1, (dead(endpoint()),), "-"),
        (AAAA1, (healthy(), healthy(endpoint(address="2001:db8:2::1"))), "-"),
        (AAAA1, (dead(endpoint()), healthy(endpoint(MX2, A2))), "-"),
    ],
    ids=["IPv6 alone", "IPv4 alone", "both", "one of two", "another host"],
)
def test_a_service_that_listens_on_one_kind_of_address(
    closed: str, others: tuple[Conversation, ...], family: str
) -> None:
    report = findings(dead(endpoint(address=closed)), *others)
    told = [each.params["family"] for each in report if each.id == "connection-refused"]
    assert told[0] == family


def test_a_host_asked_for_by_name_without_any_service_is_an_error() -> None:
    report = findings(dead(given(25)), dead(given(465)), dead(given(587)), target=MAIL)
    assert found("no-service", report).params == {"ports": ("25", "465", "587")}
    assert {each.severity for each in report if each.id == "connection-refused"} == {Severity.ERROR}


def test_mail_to_a_person_proves_a_mail_domain_even_without_mx() -> None:
    me = Target(text="me@mail.example.org", kind=TargetKind.NAME, name="mail.example.org")
    talks = (
        dead(given(25, origin=HostOrigin.IMPLICIT_MX)),
        healthy(given(587, origin=HostOrigin.IMPLICIT_MX)),
    )
    assert found("connection-refused", findings(*talks, target=me)).severity is Severity.ERROR
    assert found("connection-refused", findings(*talks, target=MAIL)).severity is Severity.INFO


# --- silence --------------------------------------------------------------------------------------------------------


def test_one_silent_server_proves_nothing() -> None:
    report = findings(dead(endpoint(), TIMEOUT))
    assert found("connection-timeout", report).severity is Severity.INCONCLUSIVE
    assert "outbound-port-25-blocked" not in ids(report)


def test_silence_is_the_servers_where_port_25_of_others_answers() -> None:
    report = findings(dead(endpoint(), TIMEOUT), healthy(endpoint(MX2, A2)))
    finding = found("connection-timeout", report)
    assert finding.severity is Severity.WARNING
    assert finding.confidence is Confidence.LIKELY


def test_what_answers_in_the_same_network_does_not_clear_ours() -> None:
    report = findings(dead(endpoint(), TIMEOUT), healthy(endpoint(MX2, "192.0.2.77")))
    assert found("connection-timeout", report).severity is Severity.INCONCLUSIVE


def test_ipv4_that_answers_does_not_clear_our_ipv6() -> None:
    report = findings(dead(endpoint(address=AAAA1), TIMEOUT), healthy(endpoint(MX2, A2)))
    assert found("connection-timeout", report).severity is Severity.INCONCLUSIVE


def test_a_silent_submission_port_of_a_host_that_answers_is_the_hosts() -> None:
    report = findings(healthy(given(25)), dead(given(587, is_required=True), TIMEOUT), target=MAIL)
    assert found("connection-timeout", report).severity is Severity.ERROR


def test_a_silent_port_beside_a_service_that_answers_is_a_note() -> None:
    report = findings(dead(given(25), TIMEOUT), healthy(given(587)), target=MAIL)
    assert "outbound-port-25-blocked" in ids(report)  # the host answers, and on 25 nothing does
    report = findings(healthy(given(25)), dead(given(587), TIMEOUT), target=MAIL)
    assert found("connection-timeout", report).severity is Severity.INFO


def test_unrelated_silent_servers_look_like_a_block_here() -> None:
    report = findings(dead(endpoint(), TIMEOUT), dead(endpoint(MX2, A2), TIMEOUT))
    finding = found("outbound-port-25-blocked", report)
    assert finding.params == {"hosts": ("mx1.example.org", MX2), "addresses": 2}
    assert finding.confidence is Confidence.POSSIBLE
    assert "connection-timeout" not in ids(report)
    assert "mx-all-unreachable" not in ids(report)


def test_other_ports_that_answer_make_the_block_likely() -> None:
    report = findings(
        dead(endpoint(), TIMEOUT), dead(endpoint(port=587)), dead(endpoint(MX2, A2), TIMEOUT), target=MAIL
    )
    assert found("outbound-port-25-blocked", report).confidence is Confidence.LIKELY


def test_two_addresses_of_one_host_are_not_unrelated() -> None:
    report = findings(dead(endpoint(), TIMEOUT), dead(endpoint(address=A2), TIMEOUT))
    assert "outbound-port-25-blocked" not in ids(report)


def test_other_ports_of_other_servers_prove_nothing_about_port_25() -> None:
    report = findings(dead(endpoint(), TIMEOUT), healthy(endpoint(MX2, A2, 587)))
    assert "outbound-port-25-blocked" not in ids(report)


def test_one_answer_on_port_25_refutes_the_block() -> None:
    report = findings(
        dead(endpoint(), TIMEOUT), dead(endpoint(MX2, A2), TIMEOUT), dead(endpoint("mx3.example.org", "203.0.113.1"))
    )
    assert "outbound-port-25-blocked" not in ids(report)


def test_who_was_left_alone_is_no_sign_against_a_block() -> None:
    blocked = [dead(endpoint(), TIMEOUT), dead(endpoint(MX2, A2), TIMEOUT)]
    spared = dead(endpoint("mx3.example.org", "203.0.113.1"), FailureKind.LEFT_ALONE)
    assert "outbound-port-25-blocked" in ids(findings(*blocked, spared))


def test_silence_in_a_private_network_is_no_sign_of_a_block() -> None:
    report = findings(dead(endpoint(address="10.0.0.1"), TIMEOUT), dead(endpoint(MX2, "172.16.0.1"), TIMEOUT))
    assert "outbound-port-25-blocked" not in ids(report)


def test_ports_other_than_25_are_not_what_providers_block() -> None:
    from smtpprobe.evidence import Role, TlsMode

    talks = [
        dead(endpoint(name, address, 587, role=Role.SMTP, tls=TlsMode.STARTTLS, is_required=True), TIMEOUT)
        for name, address in (("mx1.example.org", A1), (MX2, A2))
    ]
    assert "outbound-port-25-blocked" not in ids(findings(*talks))


# --- no way there ---------------------------------------------------------------------------------------------------


def test_a_machine_without_ipv6_is_said_once() -> None:
    report = findings(
        healthy(),
        dead(endpoint(address=AAAA1), FailureKind.NO_ROUTE),
        healthy(endpoint(MX2, A2)),
        dead(endpoint(MX2, "2001:db8:2::1"), FailureKind.NO_ROUTE),
    )
    finding = found("no-route", report)
    assert finding.severity is Severity.INFO
    assert finding.params == {"family": "IPv6", "addresses": (AAAA1, "2001:db8:2::1")}


def test_a_host_with_no_other_address_is_not_known() -> None:
    report = findings(healthy(), dead(endpoint(MX2, AAAA1), FailureKind.NO_ROUTE))
    assert found("no-route", report).severity is Severity.INCONCLUSIVE


def test_nothing_but_addresses_without_route_is_not_an_outage() -> None:
    report = findings(dead(endpoint(address=AAAA1), FailureKind.NO_ROUTE))
    assert "mx-all-unreachable" not in ids(report)
    assert found("no-route", report).severity is Severity.INCONCLUSIVE


def test_a_router_that_answers_is_believed_for_ipv4() -> None:
    report = findings(dead(endpoint(), FailureKind.UNREACHABLE, "EHOSTUNREACH: No route to host"))
    finding = found("host-unreachable", report)
    assert finding.severity is Severity.ERROR
    assert finding.params["detail"] == "EHOSTUNREACH: No route to host"


def test_ipv6_that_fails_may_be_our_own() -> None:
    alone = findings(dead(endpoint(address=AAAA1), FailureKind.UNREACHABLE))
    assert found("host-unreachable", alone).severity is Severity.INCONCLUSIVE
    proven = findings(dead(endpoint(address=AAAA1), FailureKind.UNREACHABLE), healthy(endpoint(MX2, "2001:db8:2::1")))
    assert found("host-unreachable", proven).severity is Severity.WARNING


@pytest.mark.parametrize("kind", [FailureKind.DENIED, FailureKind.OTHER])
def test_errors_of_this_machine_are_never_the_servers(kind: FailureKind) -> None:
    report = findings(dead(endpoint(), kind, "EPERM: Operation not permitted"))
    assert {each.severity for each in report} == {Severity.OK, Severity.INCONCLUSIVE}


@pytest.mark.parametrize(
    "kind", [FailureKind.DEADLINE, FailureKind.INTERRUPTED, FailureKind.LEFT_ALONE, FailureKind.INTERNAL]
)
def test_our_own_end_is_told_by_another_check(kind: FailureKind) -> None:
    from smtpprobe.checks.reachability import reachability

    assert not list(reachability(evidence(dead(endpoint(), kind))))
