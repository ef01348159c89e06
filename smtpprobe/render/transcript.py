"""What passed, step by step, with each step explained: the name system's answers and every conversation.

The second half of what `view` says, for those who want to see how the judgement came about. Like there, every word is
resolved and every foreign text escaped; a format only lays it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec

from smtpprobe.evidence import (
    Conversation,
    Evidence,
    Exchange,
    Failure,
    Handshake,
    Phase,
    Reply,
    Unsolicited,
)
from smtpprobe.reference.model import Explanation, Retry
from smtpprobe.render.escaping import escape, show_bytes, show_lines
from smtpprobe.render.lookups import DnsLine as DnsLine
from smtpprobe.render.lookups import lookup_lines
from smtpprobe.render.session import Certificates, Remark, session_line, session_remarks
from smtpprobe.render.words import explanation_words, keyword_words, label
from smtpprobe.report import Report, Severity

SLOW_S: Final = 1.0
"""Seconds. A step that takes as long is worth a word."""


_FAILED: Final = {Phase.CONNECT: None, Phase.QUIT: None}
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


class ConversationView(msgspec.Struct, frozen=True, kw_only=True):
    """One connection."""

    title: str
    steps: tuple[Step, ...]
    is_connected: bool
    """False: the steps are the one that says why not."""
    notes: tuple[str, ...] = ()


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """All of one report."""

    circumstances: tuple[Remark, ...]
    """When, by whom and with what was probed."""
    lookups: tuple[DnsLine, ...]
    conversations: tuple[ConversationView, ...]


def transcript(report: Report, language: str) -> Transcript:
    """Put what passed into words."""
    evidence = report.evidence
    told = _Told(Certificates(evidence))
    explanations: dict[int, dict[int, Explanation]] = {}
    for each in report.annotations:
        explanations.setdefault(each.conversation, {})[each.exchange] = each.explanation
    return Transcript(
        circumstances=tuple(_circumstances(evidence, language)),
        lookups=tuple(lookup_lines(evidence, language)),
        conversations=tuple(
            _conversation(told, conversation, explanations.get(index, {}), language)
            for index, conversation in enumerate(evidence.conversations)
        ),
    )


class _Told:
    """What is told once a report, although it is met in many conversations."""

    def __init__(self, certificates: Certificates) -> None:
        self.certificates = certificates
        self.keywords: set[str] = set()


def _circumstances(evidence: Evidence, language: str) -> Iterator[Remark]:
    runtime = evidence.runtime
    program = ", ".join(
        (f"smtpprobe {runtime.smtpprobe}", f"Python {runtime.python}", runtime.openssl, runtime.platform)
    )
    values = {
        "started": f"{evidence.started_at:%Y-%m-%d %H:%M:%S} UTC",
        "ehlo-name": evidence.ehlo_name,
        "program": program,
    }
    for field, value in values.items():
        yield Remark(name=label(language, "probe", field), text=escape(value))


# --- one conversation -----------------------------------------------------------------------------------------------


def _conversation(
    told: _Told, conversation: Conversation, explanations: dict[int, Explanation], language: str
) -> ConversationView:
    endpoint = conversation.endpoint
    name = "" if endpoint.host == endpoint.address else endpoint.host
    title = label(
        language,
        "conversation",
        "endpoint" if name else "address",
        host=name,
        address=endpoint.address,
        port=endpoint.port,
        role=label(language, "role", endpoint.role),
    )
    steps = list(_steps(told, conversation, explanations, language))
    for unasked in conversation.unsolicited:
        later = (index for index, step in enumerate(steps) if _is_after(step, unasked.at_s))
        steps.insert(next(later, len(steps)), _unsolicited(unasked, language))
    start = conversation.started_s
    steps = [msgspec.structs.replace(step, at_s=max(0.0, step.at_s - start)) for step in steps]
    return ConversationView(
        title=title,
        steps=tuple(steps),
        is_connected=conversation.connected_s is not None,
        notes=tuple(_notes(conversation, language)),
    )


def _is_after(step: Step, at_s: float) -> bool:
    """Tell whether a step came later; of two at the same time, what we said did."""
    return step.at_s > at_s or (step.at_s == at_s and step.kind is StepKind.SENT)


def _steps(
    told: _Told, conversation: Conversation, explanations: dict[int, Explanation], language: str
) -> Iterator[Step]:
    """The steps in the order of the protocol, which times alone do not tell where a clock is coarse."""
    yield from _connect(conversation, language)
    handshake = conversation.handshake
    last_ehlo = _last_ehlo(conversation)
    for index, exchange in enumerate(conversation.exchanges):
        if exchange.over_tls and handshake is not None:
            yield _handshake(told.certificates, handshake, language)
            handshake = None
        explained = list(_exchange(exchange, explanations.get(index), language))
        if index == last_ehlo:
            explained[-1] = _with_offers(explained[-1], conversation, told.keywords, language)
        yield from explained
    if handshake is not None:
        yield _handshake(told.certificates, handshake, language)
    failure = conversation.failure
    outcomes: list[object] = [each.outcome for each in conversation.exchanges]
    if conversation.handshake is not None:
        outcomes.append(conversation.handshake.outcome)
    if failure is not None and conversation.connected_s is not None and failure not in outcomes:
        yield _failed(failure, conversation.ended_s, conversation.ended_s, language)


def _connect(conversation: Conversation, language: str) -> Iterator[Step]:
    if conversation.connected_s is None:
        if conversation.failure is not None:
            yield _failed(conversation.failure, conversation.started_s, conversation.ended_s, language)
        return
    text = label(language, "conversation", "connected")
    if conversation.local_address:
        text = f"{text} {label(language, 'conversation', 'from', address=conversation.local_address)}"
    yield Step(
        kind=StepKind.EVENT,
        at_s=conversation.connected_s,
        lines=(text,),
        took_s=conversation.connected_s - conversation.started_s,
    )


def _notes(conversation: Conversation, language: str) -> Iterator[str]:
    if conversation.is_closed_by_peer:
        yield label(language, "conversation", "closed-by-peer")
    if conversation.connections > 1:
        yield label(language, "conversation", "connections", count=conversation.connections)
    yield from map(escape, conversation.notes)


def _exchange(exchange: Exchange, explanation: Explanation | None, language: str) -> Iterator[Step]:
    if exchange.sent is not None:
        yield Step(
            kind=StepKind.SENT,
            at_s=exchange.started_s,
            lines=show_lines(exchange.sent),
            raw=_raw_lines(exchange.sent),
            is_encrypted=exchange.over_tls,
        )
    outcome = exchange.outcome
    if isinstance(outcome, Failure):
        yield _failed(outcome, exchange.started_s, exchange.ended_s, language)
        return
    yield Step(
        kind=StepKind.RECEIVED,
        at_s=exchange.ended_s,
        lines=show_lines(outcome.raw),
        raw=_raw_lines(outcome.raw),
        severity=_class_severity(outcome.code),
        is_encrypted=exchange.over_tls,
        took_s=exchange.ended_s - exchange.started_s,
        remarks=tuple(_remarks(outcome, explanation, language)),
    )


def _failed(failure: Failure, started_s: float, ended_s: float, language: str) -> Step:
    what = label(language, "failure", failure.kind)
    if failure.phase is not Phase.CONNECT:
        what = label(language, "state", "at", what=what, phase=label(language, "phase", failure.phase))
    remarks = []
    if failure.detail:
        remarks.append(Remark(name="", text=escape(failure.detail)))
    if failure.partial:
        remarks.append(
            Remark(name=label(language, "conversation", "partial"), text="\n".join(_raw_lines(failure.partial)))
        )
    return Step(
        kind=StepKind.EVENT,
        at_s=ended_s,
        lines=(what,),
        severity=_FAILED.get(failure.phase, Severity.ERROR),
        took_s=ended_s - started_s,
        remarks=tuple(remarks),
    )


def _unsolicited(unasked: Unsolicited, language: str) -> Step:
    field = "injected" if unasked.before_handshake else "unasked"
    return Step(
        kind=StepKind.RECEIVED,
        at_s=unasked.at_s,
        lines=show_lines(unasked.raw),
        raw=_raw_lines(unasked.raw),
        severity=Severity.WARNING,
        is_encrypted=unasked.over_tls,
        remarks=(Remark(name="", text=label(language, "conversation", field), severity=Severity.WARNING),),
    )


def _raw_lines(raw: bytes) -> tuple[str, ...]:
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
            name=label(language, "conversation", "irregular"), text=", ".join(flaws), severity=Severity.WARNING
        )
    if explanation is None:
        return
    words = explanation_words(explanation, language)
    if explanation.retry is not Retry.NOT_APPLICABLE:
        title = " ".join(filter(None, (str(reply.code or ""), words.name)))
        yield Remark(name=title, text=words.meaning)
        if words.diagnosis:
            likely = f"{words.diagnosis} ({words.confidence})."
            yield Remark(name=label(language, "finding", "reason"), text=f"{likely} {words.diagnosis_meaning}".strip())
        elif words.enhanced_meaning:
            yield Remark(name=escape(explanation.enhanced or ""), text=words.enhanced_meaning)
        acts, again = label(language, "finding", "who"), label(language, "finding", "retry")
        yield Remark(name=acts, text=f"{words.actor}; {again}: {words.retry}")
    for text in words.contradictions:
        yield Remark(name="", text=text)


def _last_ehlo(conversation: Conversation) -> int | None:
    """The index of the last EHLO that was taken."""
    found = [
        index
        for index, each in enumerate(conversation.exchanges)
        if each.phase is Phase.EHLO and isinstance(each.outcome, Reply) and (each.outcome.code or 0) // 100 == 2
    ]
    return found[-1] if found else None


def _with_offers(step: Step, conversation: Conversation, told: set[str], language: str) -> Step:
    """Explain the lines of the last EHLO reply, each keyword once a report, and say what was offered on one side of the
    TLS handshake only."""
    before, after = (_offers(conversation.reply(Phase.EHLO, over_tls=over_tls)) for over_tls in (False, True))
    offers = before if after is None else after
    notes: list[str] = []
    for line in step.lines:
        words = line[4:].split()
        keyword = words[0].upper() if notes and words else ""
        is_new = keyword in (offers or {}) and keyword not in told
        notes.append(keyword_words(keyword, language) if is_new else "")
        told.add(keyword)
    remarks = [*step.remarks]
    if before is not None and after is not None:
        sides = {
            "plain-only": [text for keyword, text in before.items() if keyword not in after],
            "tls-only": [text for keyword, text in after.items() if keyword not in before],
            "differs": [text for keyword, text in before.items() if after.get(keyword, text) != text],
        }
        for field, texts in sides.items():
            if texts:
                remarks.append(Remark(name=label(language, "conversation", field), text=escape(", ".join(texts))))
    return msgspec.structs.replace(step, notes=tuple(notes), remarks=tuple(remarks))


def _offers(reply: Reply | None) -> dict[str, str] | None:
    """Keyword in capitals -> the offer as sent; None without a reply."""
    from smtpprobe.replies import capabilities

    if reply is None:
        return None
    return {each.keyword.upper(): " ".join((each.keyword, *each.parameters)) for each in capabilities(reply)}


def _handshake(certificates: Certificates, handshake: Handshake, language: str) -> Step:
    outcome = handshake.outcome
    if isinstance(outcome, Failure):
        return _failed(outcome, handshake.started_s, handshake.ended_s, language)
    return Step(
        kind=StepKind.EVENT,
        at_s=handshake.ended_s,
        lines=(session_line(handshake, outcome, language),),
        is_encrypted=True,
        took_s=handshake.ended_s - handshake.started_s,
        remarks=tuple(session_remarks(certificates, outcome, language)),
    )
