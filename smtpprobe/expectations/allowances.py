"""Findings that a file allows for a time, or takes more seriously than usual. Pure: the day is that of the probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from smtpprobe.checks.reading import at_domain
from smtpprobe.expectations.kinds import ALLOWANCE_EXPIRED, ALLOWANCE_UNUSED, FINDING_ALLOWED
from smtpprobe.expectations.model import Allowance
from smtpprobe.expectations.verdict import NOTHING
from smtpprobe.report import SCALE, Finding, Report, Severity

_WORTH_ALLOWING = (Severity.ERROR, Severity.WARNING, Severity.INCONCLUSIVE)


def apply(report: Report, allow: Sequence[Allowance], raised: Mapping[str, str]) -> Report:
    """Change what findings are worth: first raised, then allowed.

    An allowance that is over allows nothing and is a finding itself; so is one that nothing needs any more.
    """
    findings = [_raised(each, raised) for each in report.findings]
    added: list[Finding] = []
    today, where = report.evidence.started_at.date(), at_domain(report.evidence)
    for each in allow:
        concerned = [number for number, finding in enumerate(findings) if _concerns(each, finding)]
        until = NOTHING if each.until is None else each.until.isoformat()
        if each.until is not None and each.until < today:
            added.append(ALLOWANCE_EXPIRED.found(where, finding=each.finding, reason=each.reason, until=until))
            continue
        if not concerned:
            added.append(ALLOWANCE_UNUSED.found(where, finding=each.finding, reason=each.reason))
        for number in concerned:
            finding = findings[number]
            findings[number] = msgspec.structs.replace(finding, severity=Severity.INFO)
            added.append(FINDING_ALLOWED.found(finding.where, finding=each.finding, reason=each.reason, until=until))
    return msgspec.structs.replace(report, findings=(*findings, *added))


def _raised(finding: Finding, raised: Mapping[str, str]) -> Finding:
    if finding.id not in raised or finding.severity is Severity.OK:
        return finding
    wanted = Severity(raised[finding.id])
    if finding.severity in SCALE and SCALE.index(finding.severity) >= SCALE.index(wanted):
        return finding
    return msgspec.structs.replace(finding, severity=wanted)


def _concerns(allowance: Allowance, finding: Finding) -> bool:
    return (
        finding.id == allowance.finding
        and finding.severity in _WORTH_ALLOWING
        and allowance.host in (None, finding.where.host, finding.where.address)
        and allowance.port in (None, finding.where.port)
    )
