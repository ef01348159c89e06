"""What is otherwise than in an earlier probe of the same target, as findings of the later one. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from smtpprobe.checks.reading import at_domain
from smtpprobe.difference import Change, changes_between
from smtpprobe.expectations.kinds import BASELINE_CHANGED
from smtpprobe.expectations.verdict import NOTHING, listed
from smtpprobe.report import Finding, Report


def with_changes(report: Report, before: Report | None) -> Report:
    """Add a note for each change.

    Args:
        before: None: the target is new, which is a change itself.
    """
    return msgspec.structs.replace(report, findings=(*report.findings, *_changes(report, before)))


def has_changed(report: Report) -> bool:
    """Tell whether `with_changes` added anything."""
    return any(each.id == BASELINE_CHANGED.id for each in report.findings)


def _changes(report: Report, before: Report | None) -> Iterator[Finding]:
    if before is None:
        changes: Iterator[Change] = iter((Change(kind="target", new=(report.evidence.target.text,)),))
        since = NOTHING
    else:
        changes = changes_between(before, report)
        since = f"{before.evidence.started_at:%Y-%m-%d %H:%M}"
    for change in changes:
        what = " ".join(filter(None, (change.kind, change.subject)))
        if change.where:
            what = f"{what} ({', '.join(change.where)})"
        yield BASELINE_CHANGED.found(
            at_domain(report.evidence), what=what, since=since, old=listed(change.old), new=listed(change.new)
        )
