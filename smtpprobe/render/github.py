"""Workflow commands of GitHub Actions: an annotation for each finding that matters, in the job's log and summary.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions. A command is one line; what would end
it or begin another is percent-encoded, so that nothing a server says becomes a command.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from smtpprobe.render import Style
from smtpprobe.render.advice import steps
from smtpprobe.render.places import place
from smtpprobe.render.words import finding_words, label
from smtpprobe.report import Finding, Report, Severity

_COMMANDS = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.INCONCLUSIVE: "warning",
    Severity.INFO: "notice",
}


def render(reports: Iterable[Report], style: Style) -> Iterator[str]:
    """Give a command for each finding but the passed ones, gravest first, and a closing line for each target."""
    for report in reports:
        found = [each for each in report.findings if each.severity in _COMMANDS]
        for finding in sorted(found, key=lambda each: list(_COMMANDS).index(each.severity)):
            yield _command(report, finding, style)
        status = label(style.language, "status", report.status)
        yield f"smtpprobe: {_data(place(report))}: {status}\n"


def _command(report: Report, finding: Finding, style: Style) -> str:
    words = finding_words(finding, style.language)
    fix = "\n".join(steps(words.fix, [(report.evidence, finding)]))
    where = place(report, finding.where)
    message = "\n".join(filter(None, (f"{where}: {words.title}", words.meaning, fix, f"[{finding.id}]")))
    title = f"smtpprobe {finding.id}"
    return f"::{_COMMANDS[finding.severity]} title={_property(title)}::{_data(message)}\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
