"""SARIF 2.1.0 (OASIS), for code-scanning dashboards: a rule for each kind of finding, a result for each finding.

A result that passed has the kind ``pass``, one that is not known ``open`` (3.27.9): neither is a problem. The place is
a logical location (host, endpoint, phase) and, since some readers show nothing without, a URI.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from smtpprobe import __version__
from smtpprobe.render import Style
from smtpprobe.render.places import address_uri, fingerprint, place
from smtpprobe.render.words import finding_words
from smtpprobe.report import Finding, Report, Severity

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_KINDS = {Severity.OK: "pass", Severity.INCONCLUSIVE: "open"}


def render(reports: Iterable[Report], style: Style) -> Iterator[str]:
    """Give one log with one run over all reports."""
    rules: dict[str, dict[str, Any]] = {}
    results: list[dict[str, Any]] = []
    for report in reports:
        for finding in report.findings:
            rule = rules.setdefault(finding.id, _rule(finding, style))
            results.append(_result(report, finding, list(rules).index(rule["id"]), style))
    run = {
        "tool": {
            "driver": {
                "name": "smtpprobe",
                "version": __version__,
                "semanticVersion": __version__,
                "rules": list(rules.values()),
            }
        },
        "columnKind": "unicodeCodePoints",
        "language": style.language,
        "results": results,
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    yield msgspec.json.format(msgspec.json.encode(log), indent=2).decode() + "\n"


def _rule(finding: Finding, style: Style) -> dict[str, Any]:
    words = finding_words(finding, style.language)
    rule: dict[str, Any] = {"id": finding.id, "shortDescription": {"text": finding.id.replace("-", " ")}}
    if words.meaning:
        rule["fullDescription"] = {"text": words.meaning}
    if words.fix:
        rule["help"] = {"text": words.fix}
    return rule


def _result(report: Report, finding: Finding, rule_index: int, style: Style) -> dict[str, Any]:
    words = finding_words(finding, style.language)
    where = place(report, finding.where)
    result: dict[str, Any] = {
        "ruleId": finding.id,
        "ruleIndex": rule_index,
        "message": {"text": f"{where}: {words.title}"},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": address_uri(report, finding.where)}},
                "logicalLocations": [{"fullyQualifiedName": where, "kind": "resource"}],
            }
        ],
        "partialFingerprints": {"smtpprobe/v1": fingerprint(report, finding)},
        "properties": {"target": place(report), "confidence": finding.confidence.value},
    }
    if finding.severity in _LEVELS:
        return {**result, "kind": "fail", "level": _LEVELS[finding.severity]}
    return {**result, "kind": _KINDS[finding.severity], "level": "none"}
