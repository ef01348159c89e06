"""What has changed since an earlier probe, as findings of the later one."""

from __future__ import annotations

import pytest

from smtpprobe.checks import judge
from smtpprobe.evidence import Evidence, Phase
from smtpprobe.expectations.baseline import with_changes
from smtpprobe.report import Finding, Severity
from tests.checks.evidence_builder import A1, GREETING, MX1, PLAIN_EHLO, endpoint, evidence, said, talk

PORTS = (25, 465, 587)


def offering(*keywords: str) -> Evidence:
    ehlo = said(Phase.EHLO, "250-mx1", *(f"250-{each}" for each in keywords), "250 HELP")
    return evidence(*(talk(endpoint(port=each), GREETING, ehlo) for each in PORTS))


def changed(before: Evidence | None, after: Evidence, severity: Severity | None = None) -> list[Finding]:
    report = with_changes(judge(after), None if before is None else judge(before), severity)
    return [each for each in report.findings if each.id == "baseline-changed"]


def test_a_change_says_what_when_and_where_and_names_a_few_places_only() -> None:
    (found,) = changed(offering("SIZE 1"), offering("SIZE 2"))
    assert found.params == {
        "what": f"capabilities ({MX1} {A1}:25, {MX1} {A1}:465, +1)",
        "since": "2026-03-14 09:26 UTC",
        "old": "SIZE 1",
        "new": "SIZE 2",
    }


@pytest.mark.parametrize("severity", [None, Severity.WARNING, Severity.ERROR])
def test_a_change_is_worth_what_is_asked_for_unless_it_may_be_none(severity: Severity | None) -> None:
    well, busy = evidence(talk(endpoint(), GREETING, PLAIN_EHLO)), said(Phase.GREETING, "421 4.3.2 Too busy")
    assert {each.severity for each in changed(offering("DSN"), offering(), severity)} == {severity or Severity.INFO}
    put_off = changed(well, evidence(talk(endpoint(), busy)), severity)
    assert put_off
    assert {each.severity for each in put_off} == {Severity.INFO}
    assert {each.severity for each in changed(None, well, severity)} == {severity or Severity.INFO}
