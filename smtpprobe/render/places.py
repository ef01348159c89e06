"""Where a finding is, in one short text, and by what it is known again: for formats that have room for one."""

from __future__ import annotations

import hashlib

from smtpprobe.render.escaping import escape
from smtpprobe.report import Finding, Report, Where


def place(report: Report, where: Where | None = None) -> str:
    """Write ``host address:port`` as far as it is known; the target where it is about nothing narrower."""
    if where is None:
        return escape(report.evidence.target.text)
    endpoint = where.endpoint or where.address
    host = None if where.host == where.address else where.host
    return escape(" ".join(filter(None, (host, endpoint)))) or escape(where.domain or report.evidence.target.text)


def relative_uri(report: Report, where: Where) -> str:
    """Write the place as a relative reference (RFC 3986 4.2): ``smtp/host/port`` (by its role), else ``dns/name``.

    A scheme would make GitHub refuse the whole file: it takes those alone that its own checkout has.
    """
    from urllib.parse import quote

    name = quote(escape(where.host or where.address or where.domain or report.evidence.target.text), safe="")
    if where.port is None:
        return f"dns/{name}"
    return f"{where.role.value if where.role is not None else 'smtp'}/{name}/{where.port}"


def fingerprint(report: Report, finding: Finding) -> str:
    """What stays the same for the same finding from run to run, in hex."""
    parts = [report.evidence.target.text, finding.id, place(report, finding.where), str(finding.where.phase)]
    parts += [str(finding.params[name]) for name in ("expectation", "finding", "what") if name in finding.params]
    return hashlib.sha256("\0".join(parts).encode(errors="backslashreplace")).hexdigest()
