"""The steps of a conversation: what was said, what came back, what happened, each with what it means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from smtpprobe.evidence import Exchange, Failure, Phase, Reply, Unsolicited
from smtpprobe.reference.model import Explanation, Retry
from smtpprobe.render import writing
from smtpprobe.render.escaping import escape, show_bytes, show_lines
from smtpprobe.render.session import Remark
from smtpprobe.render.words import cause_words, explanation_words, label
from smtpprobe.report import Severity

SLOW_S: Final = 1.0
"""Seconds. A step that takes as long is worth a word."""


_FAILURE_LOOKS: Final = {Phase.CONNECT: None, Phase.QUIT: None}
"""What a failed step looks like where it is no fault by itself: a port that nobody needs, a server that hangs up on
QUIT, when the mail is through."""


class StepKind(StrEnum):
    """Who acts in a step."""

    SENT = "sent"
    RECEIVED = "received"
    EVENT = "event"
    """Connected, encrypted, closed, or nothing came."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened on a connection."""

    kind: StepKind
    at_s: float
    """Since the connection was begun."""
    lines: tuple[str, ...]
    """As a person reads it."""
    notes: tuple[str, ...] = ()
    """What each line offers, one for each of `lines`, most of them empty; only for the last EHLO reply."""
    raw: tuple[str, ...] = ()
    """The same bytes without loss, a line each; empty for events."""
    severity: Severity | None = None
    """Of the reply by its class, before anything is judged; None: plain."""
    is_encrypted: bool = False
    took_s: float | None = None
    """How long it was waited for; None where nothing was."""
    remarks: tuple[Remark, ...] = ()


def insert_unsolicited(steps: list[Step], unsolicited: Sequence[Unsolicited], language: str) -> None:
    """Put what nobody had asked for where it came."""
    for unasked in unsolicited:
        later = (index for index, step in enumerate(steps) if _is_after(step, unasked.at_s))
        steps.insert(next(later, len(steps)), unsolicited_step(unasked, language))


def _is_after(step: Step, at_s: float) -> bool:
    """Tell whether a step came later; of two at the same time, what we said did."""
    return step.at_s > at_s or (step.at_s == at_s and step.kind is StepKind.SENT)


def since(steps: Sequence[Step], start_s: float) -> tuple[Step, ...]:
    """Count the times from the beginning of the connection."""
    return tuple(msgspec.structs.replace(step, at_s=max(0.0, step.at_s - start_s)) for step in steps)


def exchange_steps(exchange: Exchange, explanation: Explanation | None, language: str) -> Iterator[Step]:
    """What we said, and what came back."""
    if exchange.sent is not None:
        yield Step(
            kind=StepKind.SENT,
            at_s=exchange.started_s,
            lines=show_lines(exchange.sent),
            raw=raw_lines(exchange.sent),
            is_encrypted=exchange.over_tls,
        )
    outcome = exchange.outcome
    if isinstance(outcome, Failure):
        yield failed_step(outcome, exchange.started_s, exchange.ended_s, language)
        return
    yield Step(
        kind=StepKind.RECEIVED,
        at_s=exchange.ended_s,
        lines=show_lines(outcome.raw),
        raw=raw_lines(outcome.raw),
        severity=_class_severity(outcome.code),
        is_encrypted=exchange.over_tls,
        took_s=exchange.ended_s - exchange.started_s,
        remarks=tuple(_remarks(outcome, explanation, language)),
    )


def failed_step(failure: Failure, started_s: float, ended_s: float, language: str) -> Step:
    """Say that nothing came back, and why."""
    what = label(language, "failure", failure.kind)
    if failure.phase is not Phase.CONNECT:
        what = label(language, "state", "at", what=what, phase=label(language, "phase", failure.phase))
    remarks = []
    if failure.detail:
        remarks.append(Remark(name="", text=escape(failure.detail)))
    if failure.partial:
        remarks.append(
            Remark(name=label(language, "conversation", "partial"), text="\n".join(raw_lines(failure.partial)))
        )
    return Step(
        kind=StepKind.EVENT,
        at_s=ended_s,
        lines=(what,),
        severity=_FAILURE_LOOKS.get(failure.phase, Severity.ERROR),
        took_s=ended_s - started_s,
        remarks=tuple(remarks),
    )


def unsolicited_step(unasked: Unsolicited, language: str) -> Step:
    """Show what nobody had asked for."""
    field = "injected" if unasked.before_handshake else "unasked"
    return Step(
        kind=StepKind.RECEIVED,
        at_s=unasked.at_s,
        lines=show_lines(unasked.raw),
        raw=raw_lines(unasked.raw),
        severity=Severity.WARNING,
        is_encrypted=unasked.over_tls,
        remarks=(Remark(name="", text=label(language, "conversation", field), severity=Severity.WARNING),),
    )


def raw_lines(raw: bytes) -> tuple[str, ...]:
    """Bytes without loss, a line each."""
    return tuple(map(show_bytes, raw.splitlines(keepends=True)))


def _class_severity(code: int | None) -> Severity | None:
    """How a reply looks by its first digit alone (RFC 5321 4.2.1)."""
    match (code or 0) // 100:
        case 2 | 3:
            return None
        case 4:
            return Severity.INCONCLUSIVE
        case 5:
            return Severity.ERROR
        case _:
            return Severity.WARNING


# --- what a reply means ---------------------------------------------------------------------------------------------


def _remarks(reply: Reply, explanation: Explanation | None, language: str) -> Iterator[Remark]:
    """Explain a reply that is no plain success; a plain success needs no words."""
    if reply.irregularities:
        flaws = (label(language, "irregularity", each) for each in reply.irregularities)
        yield Remark(
            name=label(language, "conversation", "irregular"),
            text=writing.together(flaws, language),
            severity=Severity.WARNING,
        )
    if explanation is None:
        return
    words = explanation_words(explanation, language)
    if explanation.retry is not Retry.NOT_APPLICABLE:
        title = " ".join(filter(None, (str(reply.code or ""), words.name)))
        yield Remark(name=title, text=words.meaning)
        if words.diagnosis:
            yield Remark(name=label(language, "finding", "reason"), text=cause_words(words, language))
        elif words.enhanced_meaning:
            yield Remark(name=escape(explanation.enhanced or ""), text=words.enhanced_meaning)
        acts, again = label(language, "finding", "who"), label(language, "finding", "retry")
        retry = writing.named(again, words.retry, language)
        yield Remark(name=acts, text=writing.clauses((words.actor, retry), language))
    for text in words.contradictions:
        yield Remark(name="", text=text)
