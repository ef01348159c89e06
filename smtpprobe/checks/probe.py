"""The probe itself: whether it came to its end, and whether it did all that was to be done.

What was cut short is not known, and is said so; it never reads as a fault of the server or as nothing wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.reading import at, at_domain, is_left_alone, matters
from smtpprobe.endpoints import MAX_ENDPOINTS, MAX_MX_HOSTS, left_out
from smtpprobe.evidence import Conversation, Evidence, Failure, FailureKind
from smtpprobe.report import Finding, Severity

INTERRUPTED = kind("interrupted", Topic.PROBE, Severity.INCONCLUSIVE, params=("done", "total"))
DEADLINE_REACHED = kind(
    "deadline-reached", Topic.PROBE, Severity.INCONCLUSIVE, Severity.INFO, params=("seconds", "count", "total")
)
LEFT_ALONE = kind("left-alone", Topic.PROBE, Severity.INCONCLUSIVE, Severity.INFO)
ENDPOINTS_LEFT_OUT = kind("endpoints-left-out", Topic.PROBE, Severity.INFO, params=("count", "total"))
INTERNAL_ERROR = kind("internal-error", Topic.PROBE, Severity.INCONCLUSIVE, params=("detail",))
CHECK_FAILED = kind("check-failed", Topic.PROBE, Severity.INCONCLUSIVE, params=("check", "detail"))
"""Made by `checks.judge` for a check that raised."""


def probe(evidence: Evidence) -> Iterator[Finding]:
    """Say what was not found out because the probe ended first."""
    total = len(evidence.endpoints)
    if evidence.is_interrupted:
        stopped = sum(1 for each in evidence.conversations if _ended_by(each, FailureKind.INTERRUPTED))
        yield INTERRUPTED.found(at_domain(evidence), done=len(evidence.conversations) - stopped, total=total)
    late = [each for each in evidence.conversations if _ended_by(each, FailureKind.DEADLINE)]
    if late:
        yield DEADLINE_REACHED.found(
            at_domain(evidence),
            as_=Severity.INCONCLUSIVE if any(matters(each.endpoint) for each in late) else Severity.INFO,
            seconds=evidence.options.deadline_s,
            count=len(late),
            total=total,
        )
    many = total >= MAX_ENDPOINTS or len(evidence.resolution.hosts) > MAX_MX_HOSTS
    if many and (more := left_out(evidence.target, evidence.resolution, evidence.options)):
        yield ENDPOINTS_LEFT_OUT.found(at_domain(evidence), count=more, total=total + more)
    for conversation in evidence.conversations:
        if is_left_alone(conversation):
            severity = Severity.INCONCLUSIVE if matters(conversation.endpoint) else Severity.INFO
            yield LEFT_ALONE.found(at(evidence, conversation), as_=severity)
        for failure in _failures(conversation):
            if failure.kind is FailureKind.INTERNAL:
                yield INTERNAL_ERROR.found(at(evidence, conversation, failure.phase), detail=failure.detail or "-")


def _ended_by(conversation: Conversation, kind: FailureKind) -> bool:
    return conversation.failure is not None and conversation.failure.kind is kind


def _failures(conversation: Conversation) -> Iterator[Failure]:
    """The failure that ended the conversation; a step before it may have failed too."""
    seen = set()
    outcomes = [conversation.failure, *(each.outcome for each in conversation.exchanges)]
    for outcome in outcomes:
        if isinstance(outcome, Failure) and (outcome.phase, outcome.kind) not in seen:
            seen.add((outcome.phase, outcome.kind))
            yield outcome
