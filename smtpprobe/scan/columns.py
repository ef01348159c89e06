"""The columns of a table of results, and a result as one row of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from smtpprobe.errors import OptionError
from smtpprobe.names import quoted
from smtpprobe.report import Severity
from smtpprobe.scan.claims import Validity, validity
from smtpprobe.scan.results import Result, Session

COLUMNS: Final[dict[str, type]] = {
    "line": int,
    "target": str,
    "name": str,
    "outcome": str,
    "mx": str,
    "is_null_mx": bool,
    "skipped": str,
    "hosts": str,
    "addresses": int,
    "reachable": int,
    "code": int,
    "enhanced": str,
    "category": str,
    "failure": str,
    "starttls": bool,
    "tls": str,
    "is_trusted": bool,
    "not_after": str,
    "software": str,
    "provider": str,
    "dane": str,
    "mta_sts": str,
    "errors": str,
    "warnings": str,
    "inconclusive": str,
    "at": str,
}
"""The columns of a table, one row a target; what differs between its servers is that of the worst one."""

MEANINGS: Final[dict[str, str]] = {
    "line": "where the target stood in the input, from 1",
    "target": "as it was written",
    "name": "in lower case and ASCII; none for an address",
    "outcome": "error, warning, inconclusive, left-alone, null-mx or ok",
    "mx": "how the MX question ended: answered, no-data, nxdomain, servfail, timeout ...",
    "is_null_mx": "the domain says that it takes no mail (RFC 7505)",
    "skipped": "why nobody was talked to: excluded, not-public",
    "hosts": "the mail hosts, in the order in which a sender tries them",
    "addresses": "endpoints of these hosts",
    "reachable": "how many of them answered EHLO or HELO",
    "code": "of the first reply that refused something",
    "enhanced": "its enhanced code",
    "category": "what it means",
    "failure": "why the first session failed that did: refused, timeout, reset ...",
    "starttls": "every server that answered offers it, or has TLS from the start",
    "tls": "the oldest version that was agreed on; none where a server that answered has no TLS",
    "is_trusted": "every certificate: chain, dates and name are in order",
    "not_after": "when the first of them ends",
    "software": "of the first server that tells it",
    "provider": "of the first host that is recognised",
    "dane": "full scans: match, partial, mismatch, not-published ...",
    "mta_sts": "full scans: enforce, testing, none, invalid, not-published, lookup-failed",
    "errors": "ids of findings",
    "warnings": "ids of findings",
    "inconclusive": "ids of what could not be found out",
    "at": "when the result was made",
}
"""What each column says, for `--fields help`."""


def flat(result: Result) -> dict[str, Any]:
    """A result as one row of a table, by `COLUMNS`."""
    sessions = [session for host in result.hosts for session in host.sessions]
    talked = [each for each in sessions if each.starttls is not None]
    refusal = next((each.refusal for each in sessions if each.refusal is not None), None)
    worst = min((each.tls or "" for each in talked), default="")
    certificates = [each.certificate for each in sessions if each.certificate is not None]
    ends = [each.not_after for each in certificates if each.not_after is not None]
    ids: dict[Severity, list[str]] = {}
    for found in result.findings:
        ids.setdefault(found.severity, []).append(found.id)
    return {
        "line": result.line,
        "target": result.target,
        "name": result.name,
        "outcome": result.outcome.value,
        "mx": None if result.mx is None else result.mx.value,
        "is_null_mx": result.is_null_mx,
        "skipped": result.skipped,
        "hosts": " ".join(host.name for host in result.hosts),
        "addresses": len(sessions),
        "reachable": len(talked),
        "code": None if refusal is None else refusal.code,
        "enhanced": None if refusal is None else refusal.enhanced,
        "category": None if refusal is None else refusal.category,
        "failure": next((each.failure.value for each in sessions if each.failure is not None), None),
        "starttls": all(each.starttls or each.tls for each in talked) if talked else None,
        "tls": worst or None,
        "is_trusted": all(Validity.TRUSTED in validity(each, result.at) for each in certificates)
        if certificates
        else None,
        "not_after": min(ends).isoformat() if ends else None,
        "software": _first(sessions, "software"),
        "provider": result.provider,
        "dane": result.dane,
        "mta_sts": result.mta_sts,
        "errors": " ".join(ids.get(Severity.ERROR, ())),
        "warnings": " ".join(ids.get(Severity.WARNING, ())),
        "inconclusive": " ".join(ids.get(Severity.INCONCLUSIVE, ())),
        "at": result.at.isoformat(),
    }


def _first(sessions: Sequence[Session], field: str) -> Any:
    return next((value for each in sessions if (value := getattr(each, field)) is not None), None)


def parse_fields(text: str | None) -> tuple[str, ...] | None:
    """Read ``--fields``; None where none are named.

    Raises:
        OptionError: there is no such field.
    """
    if text is None:
        return None
    named = tuple(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))
    unknown = [each for each in named if each not in COLUMNS]
    if unknown or not named:
        what = f"there is no field {quoted(unknown[0])}" if unknown else "no field is named"
        raise OptionError(f"{what}; the fields are {', '.join(COLUMNS)}")
    return named
