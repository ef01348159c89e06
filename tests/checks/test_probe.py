"""What is not known because the probe itself ended first."""

from __future__ import annotations

from smtpprobe.checks import judge
from smtpprobe.endpoints import MAX_ENDPOINTS
from smtpprobe.evidence import DEFAULT_PORTS, FailureKind, Options, Phase
from smtpprobe.report import Severity
from tests.checks.evidence_builder import (
    A2,
    GREETING,
    MX2,
    dead,
    endpoint,
    evidence,
    failed,
    findings,
    found,
    healthy,
    host,
    ids,
    resolved,
    talk,
)


def test_a_probe_that_was_stopped_says_how_far_it_came() -> None:
    stopped = talk(endpoint(MX2, A2), GREETING, failed(Phase.EHLO, FailureKind.INTERRUPTED))
    waiting = endpoint("mx3.example.org", "203.0.113.1")
    probed = evidence(healthy(), stopped, is_interrupted=True)
    probed = evidence(
        healthy(), stopped, is_interrupted=True, endpoints=(*probed.endpoints, waiting), resolution=probed.resolution
    )
    report = judge(probed)
    assert found("interrupted", report).params == {"done": 1, "total": 3}
    assert report.status is Severity.INCONCLUSIVE


def test_who_was_left_alone_is_neither_good_nor_bad() -> None:
    report = judge(evidence(healthy(), dead(endpoint(MX2, A2), FailureKind.LEFT_ALONE)))
    assert found("left-alone", report).where.address == A2
    assert found("left-alone", report).severity is report.status is Severity.INCONCLUSIVE
    assert {"interrupted", "nothing-probed", "mx-all-unreachable"}.isdisjoint(ids(report))
    courtesy = findings(healthy(), dead(endpoint(port=587), FailureKind.LEFT_ALONE))
    assert found("left-alone", courtesy).severity is Severity.INFO


def test_servers_that_were_too_slow_are_counted() -> None:
    report = findings(healthy(), dead(endpoint(MX2, A2), FailureKind.DEADLINE))
    finding = found("deadline-reached", report)
    assert finding.params == {"seconds": 60.0, "count": 1, "total": 2}
    assert finding.severity is Severity.INCONCLUSIVE


def test_too_little_time_for_what_nothing_depends_on_is_a_note() -> None:
    report = findings(healthy(), dead(endpoint(port=587), FailureKind.DEADLINE))
    assert found("deadline-reached", report).severity is Severity.INFO


def test_a_domain_with_too_many_addresses_is_told_so() -> None:
    addresses = [f"192.0.2.{number}" for number in range(1, 101)]
    every = [endpoint(address=address, port=each.port) for address in addresses for each in DEFAULT_PORTS]
    resolution = resolved(host("mx1.example.org", *addresses))
    report = judge(evidence(healthy(), resolution=resolution, endpoints=tuple(every[:MAX_ENDPOINTS])))
    assert found("endpoints-left-out", report).params == {"count": len(every) - MAX_ENDPOINTS, "total": len(every)}
    few = resolved(host("mx1.example.org", *addresses[:42]))
    report = judge(evidence(healthy(), resolution=few, endpoints=tuple(every[: 42 * 3])))
    assert "endpoints-left-out" not in ids(report)


def test_a_defect_of_ours_is_told_where_it_happened() -> None:
    report = findings(talk(endpoint(), GREETING, failed(Phase.EHLO, FailureKind.INTERNAL, detail="KeyError: 'x'")))
    finding = found("internal-error", report)
    assert (finding.where.phase, finding.params) == (Phase.EHLO, {"detail": "KeyError: 'x'"})
    assert finding.severity is Severity.INCONCLUSIVE


def test_a_deadline_does_not_make_a_server_bad() -> None:
    report = findings(dead(endpoint(), FailureKind.DEADLINE), options=Options(deadline_s=5.0))
    assert {each.severity for each in report} == {Severity.OK, Severity.INCONCLUSIVE}
    assert found("deadline-reached", report).params["seconds"] == 5.0
