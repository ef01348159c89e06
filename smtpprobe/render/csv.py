"""Comma-separated values (RFC 4180), one row an endpoint, for spreadsheets and shell tools.

A target without any endpoint has one row, so that no target is lost. A cell that begins like a formula is preceded by
an apostrophe, since spreadsheets would run what a server says.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from smtpprobe.render import Style
from smtpprobe.render.escaping import escape
from smtpprobe.render.measures import Measure, findings_at, measures
from smtpprobe.render.summary import software
from smtpprobe.report import Report, Severity

COLUMNS = (
    "target", "status", "host", "preference", "address", "port", "role", "serving", "failed_at", "greeting_code",
    "software", "starttls", "tls_version", "tls_cipher", "certificate_trusted", "certificate_not_after",
    "certificate_days_left", "connect_s", "greeting_s", "ehlo_s", "tls_s", "total_s", "findings",
)  # fmt: skip

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def render(reports: Iterable[Report], style: Style) -> Iterator[str]:
    """Give the header, then the rows of each report."""
    yield _line(COLUMNS)
    for report in reports:
        rows = [_row(report, each) for each in measures(report.evidence)]
        target = report.evidence.target.text
        lone: dict[str, object] = {"target": target, "status": report.status.value, "findings": _ids(report)}
        for row in rows or [lone]:
            yield _line(tuple(_cell(row.get(column)) for column in COLUMNS))


def _row(report: Report, measure: Measure) -> dict[str, object]:
    endpoint = measure.endpoint
    return {
        "target": report.evidence.target.text,
        "status": report.status.value,
        "host": endpoint.host,
        "preference": endpoint.preference,
        "address": endpoint.address,
        "port": endpoint.port,
        "role": endpoint.role.value,
        "serving": measure.is_serving if measure.is_known else None,
        "failed_at": None if measure.failed_at is None else measure.failed_at.value,
        "greeting_code": measure.greeting_code,
        "software": None if measure.conversation is None else software(measure.conversation),
        "starttls": measure.offers_starttls,
        "tls_version": measure.tls_version,
        "tls_cipher": measure.tls_cipher,
        "certificate_trusted": measure.is_trusted,
        "certificate_not_after": None if measure.expires_at is None else measure.expires_at.isoformat(),
        "certificate_days_left": None if measure.days_left is None else int(measure.days_left // 1),
        "connect_s": measure.connect_s,
        "greeting_s": measure.greeting_s,
        "ehlo_s": measure.ehlo_s,
        "tls_s": measure.tls_s,
        "total_s": measure.total_s,
        "findings": " ".join(
            dict.fromkeys(each.id for each in findings_at(report, endpoint) if each.severity is not Severity.OK)
        ),
    }


def _ids(report: Report) -> str:
    return " ".join(dict.fromkeys(each.id for each in report.findings if each.severity is not Severity.OK))


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.4f}"
        case int():
            return str(value)
        case _:
            text = escape(str(value))
            return f"'{text}" if text.startswith(_FORMULA) else text


def _line(cells: tuple[str, ...]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue()
