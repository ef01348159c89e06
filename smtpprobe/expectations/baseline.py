"""What is otherwise than in an earlier probe of the same target, as findings of the later one. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from smtpprobe.checks.reading import at_domain
from smtpprobe.difference import Change, changes_between, is_certain
from smtpprobe.expectations.kinds import BASELINE_CHANGED
from smtpprobe.expectations.verdict import NOTHING, listed
from smtpprobe.report import Finding, Report, Severity

MAX_PLACES: Final = 2
"""So many places of one change are named."""


def with_changes(report: Report, before: Report | None, severity: Severity | None = None) -> Report:
    """Add a finding for each change.

    Args:
        before: None: the target is new, which is a change itself.
        severity: what a change is worth; None: no more than a note. One that may be none, as when a server puts us off,
            is but a note in any case.
    """
    return msgspec.structs.replace(
        report, findings=(*report.findings, *_changes(report, before, severity or Severity.INFO))
    )


def _changes(report: Report, before: Report | None, certain: Severity) -> Iterator[Finding]:
    if before is None:
        changes: Iterator[Change] = iter((Change(kind="target", new=(report.evidence.target.text,)),))
        since = NOTHING
    else:
        changes = changes_between(before, report)
        since = f"{before.evidence.started_at:%Y-%m-%d %H:%M} UTC"
    for change in changes:
        what = " ".join(filter(None, (change.kind, change.subject)))
        if change.where:
            what = f"{what} ({_places(change.where)})"
        yield BASELINE_CHANGED.found(
            at_domain(report.evidence),
            as_=certain if is_certain(change) else Severity.INFO,
            what=what,
            since=since,
            old=listed(change.old),
            new=listed(change.new),
        )


def _places(every: tuple[str, ...]) -> str:
    """The first places, so that what has changed there is not lost behind them; ``smtpprobe diff`` names all."""
    more = len(every) - MAX_PLACES
    return ", ".join((*every[:MAX_PLACES], *([f"+{more}"] if more > 0 else [])))
