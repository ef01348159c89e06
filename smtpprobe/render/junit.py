"""JUnit XML, which CI servers read as test results: a suite for each target, a case for each finding.

What reaches the threshold is a failure; what is not known is an error, since a test that could not be made is neither
passed nor failed; the rest passed. The case's class is the place, its name the id of the finding, which has no number
that changes, so that a result can be followed from run to run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from smtpprobe.errors import MissingExtraError
from smtpprobe.evidence import Evidence
from smtpprobe.render import Style
from smtpprobe.render.advice import steps
from smtpprobe.render.escaping import escape, quoted, show_lines
from smtpprobe.render.places import place
from smtpprobe.render.words import explanation_words, finding_words
from smtpprobe.report import Finding, Report, Severity, is_at_least

_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 (2.2) cannot hold, not even encoded."""


def render(reports: Iterable[Report], style: Style) -> Iterator[str]:
    """Give one document over all reports.

    Raises:
        MissingExtraError: junitparser is not installed.
    """
    try:
        import junitparser
    except ImportError as error:
        raise MissingExtraError("the JUnit format", "ci") from error
    document = junitparser.JUnitXml("smtpprobe")
    seconds: dict[tuple[str, str], float] = {}
    for report in reports:
        suite = _suite(report, style)
        document.add_testsuite(suite)  # where a target comes twice, its cases stand in one suite
        key = (suite.name, suite.hostname)
        seconds[key] = seconds.get(key, 0.0) + report.evidence.elapsed_s
    document.update_statistics()  # type: ignore[no-untyped-call]  # junitparser leaves it without types
    # It has added up the times of the cases, which have none.
    for each in document:
        each.time = round(seconds[each.name, each.hostname], 3)
    document.time = round(sum(seconds.values()), 3)
    document._elem.attrib.pop("skipped", None)  # the schema of Jenkins has it for suites only
    yield document.tostring().decode() + "\n"  # type: ignore[no-untyped-call]  # as above


def _suite(report: Report, style: Style):  # type: ignore[no-untyped-def]  # junitparser is imported when called only
    import junitparser

    suite = junitparser.TestSuite(_clean(place(report)))
    suite.timestamp = report.evidence.started_at.replace(tzinfo=None).isoformat(timespec="seconds")
    suite.hostname = _clean(report.evidence.ehlo_name)
    known: Counter[tuple[str, str]] = Counter()
    for finding in report.findings:
        class_, name = _clean(place(report, finding.where)), _clean(_name(finding))
        known[class_, name] += 1
        number = known[class_, name]
        case = junitparser.TestCase(name if number == 1 else f"{name} ({number})", class_, 0.0)
        suite.add_testcase(_judged(case, report.evidence, finding, style))
    return suite


def _judged(case, evidence: Evidence, finding: Finding, style: Style):  # type: ignore[no-untyped-def]  # as above
    import junitparser

    words = finding_words(finding, style.language)
    fix = "\n".join(steps(words.fix, [(evidence, finding)]))
    text = _clean("\n\n".join(filter(None, (words.meaning, fix, _reply(finding, style)))))
    if finding.severity is Severity.INCONCLUSIVE:
        case.result = [_result(junitparser.Error(_clean(words.title), finding.id), text)]
    elif is_at_least(finding.severity, style.fail_on):
        case.result = [_result(junitparser.Failure(_clean(words.title), finding.id), text)]
    else:
        case.system_out = "\n\n".join(filter(None, (_clean(words.title), text)))
    return case


def _name(finding: Finding) -> str:
    """Name a case so that it is called alike from run to run: by its id, or by what is expected, met or not."""
    expectation = finding.params.get("expectation")
    return finding.id if expectation is None else f"expect {expectation}"


def _result(result, text: str):  # type: ignore[no-untyped-def]  # as above
    result.text = text
    return result


def _reply(finding: Finding, style: Style) -> str:
    if finding.reply is None:
        return ""
    name = "" if finding.explanation is None else explanation_words(finding.explanation, style.language).name
    return "\n".join(filter(None, (*quoted(show_lines(finding.reply.raw)), name)))


def _clean(text: str) -> str:
    return "\n".join(_NOT_XML.sub("?", escape(line)) for line in text.split("\n"))
