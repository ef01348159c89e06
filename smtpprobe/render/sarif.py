"""SARIF 2.1.0 (OASIS), for code-scanning dashboards: a rule for each kind of finding, a result for each finding.

A result that is not known has the kind ``open`` (3.27.9), which is no problem. What passed is left out: GitHub reads no
kinds and would raise an alert for each. The place is a logical location (host and endpoint) and, since GitHub refuses
a file without, a relative URI and a line; since all results of a place are on that line, they need a fingerprint under
the one name that GitHub looks at. A rule speaks of its kind alone, and so stays the same from run to run; what it comes
to for one server, and what to do there, stands with the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from smtpprobe import __version__, texts
from smtpprobe.render import Style
from smtpprobe.render.advice import steps
from smtpprobe.render.places import fingerprint, place, relative_uri
from smtpprobe.render.words import finding_words
from smtpprobe.report import Finding, Report, Severity

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def render(reports: Iterable[Report], style: Style) -> Iterator[str]:
    """Give one log with one run over all reports."""
    rules: dict[str, dict[str, Any]] = {}
    results: list[dict[str, Any]] = []
    for report in reports:
        for finding in report.findings:
            if finding.severity is Severity.OK:
                continue
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
    """What is true of all findings of a kind; GitHub wants all three texts of every rule."""
    short = finding.id.replace("-", " ")
    words = texts.entry(style.language, "findings", finding.id) or {}
    phrases = {field: texts.with_blanks(words[field]).strip() for field in ("meaning", "fix") if words.get(field)}
    return {
        "id": finding.id,
        "shortDescription": {"text": short},
        "fullDescription": {"text": phrases.get("meaning", short)},
        "help": {"text": phrases.get("fix", short)},
    }


def _result(report: Report, finding: Finding, rule_index: int, style: Style) -> dict[str, Any]:
    words = finding_words(finding, style.language)
    fix = "\n".join(steps(words.fix, [(report.evidence, finding)]))
    where, known = place(report, finding.where), fingerprint(report, finding)
    result: dict[str, Any] = {
        "ruleId": finding.id,
        "ruleIndex": rule_index,
        "message": {"text": "\n\n".join(filter(None, (f"{where}: {words.title}", fix)))},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": relative_uri(report, finding.where)},
                    "region": {"startLine": 1},
                },
                "logicalLocations": [{"fullyQualifiedName": where, "kind": "resource"}],
            }
        ],
        "partialFingerprints": {"smtpprobe/v1": known, "primaryLocationLineHash": f"{known}:1"},
        "properties": {"target": place(report), "confidence": finding.confidence.value},
    }
    if finding.severity in _LEVELS:
        return {**result, "kind": "fail", "level": _LEVELS[finding.severity]}
    return {**result, "kind": "open", "level": "none"}
