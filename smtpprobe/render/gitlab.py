"""GitLab's code quality report: a JSON array that merge requests show as a widget.

https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format. A finding is no line of a file, so the
path is the place of the finding and the line is 1; the fingerprint stays the same from run to run, so that GitLab tells
what is new.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from smtpprobe.render import Style
from smtpprobe.render.advice import steps
from smtpprobe.render.places import fingerprint, place
from smtpprobe.render.words import finding_words
from smtpprobe.report import Finding, Report, Severity

_SEVERITIES = {
    Severity.ERROR: "critical",
    Severity.WARNING: "major",
    Severity.INCONCLUSIVE: "minor",
    Severity.INFO: "info",
}


def render(reports: Iterable[Report], style: Style) -> Iterator[str]:
    """Give one array over all reports; passed findings are left out, as the format knows problems only."""
    issues = [
        _issue(report, finding, style)
        for report in reports
        for finding in report.findings
        if finding.severity in _SEVERITIES
    ]
    yield msgspec.json.format(msgspec.json.encode(issues), indent=2).decode() + "\n"


def _issue(report: Report, finding: Finding, style: Style) -> dict[str, Any]:
    words = finding_words(finding, style.language)
    fix = "\n".join(steps(words.fix, [(report.evidence, finding)]))
    where = place(report, finding.where)
    return {
        "description": f"{where}: {words.title}",
        "check_name": finding.id,
        "fingerprint": fingerprint(report, finding),
        "severity": _SEVERITIES[finding.severity],
        "location": {"path": where, "lines": {"begin": 1}},
        "content": {"body": "\n\n".join(filter(None, (words.meaning, fix)))},
    }
