"""What passed, step by step, with each step explained: the name system's answers and every conversation.

The second half of what `view` says, for those who want to see how the judgement came about. Like there, every word is
resolved and every foreign text escaped; a format only lays it out.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from smtpprobe.evidence import Conversation, Evidence, Failure, FailureKind, Handshake, Phase, Reply
from smtpprobe.reference.model import Explanation
from smtpprobe.render import writing
from smtpprobe.render.escaping import escape
from smtpprobe.render.further import further, policy_fetch
from smtpprobe.render.lookups import DnsLine as DnsLine
from smtpprobe.render.lookups import lookup_lines
from smtpprobe.render.session import Certificates, Remark, session_line, session_remarks
from smtpprobe.render.steps import Step as Step
from smtpprobe.render.steps import StepKind as StepKind
from smtpprobe.render.steps import exchange_steps, failed_step, insert_unsolicited, since
from smtpprobe.render.words import keyword_words, label
from smtpprobe.report import Report


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
        conversations=tuple(_connections(evidence, told, explanations, language)),
    )


def _connections(
    evidence: Evidence, told: _Told, explanations: dict[int, dict[int, Explanation]], language: str
) -> Iterator[ConversationView]:
    """Each conversation with its further connections behind it, and in the end that with the policy's host."""
    for index, conversation in enumerate(evidence.conversations):
        seen = _conversation(told, conversation, explanations.get(index, {}), language)
        yield seen
        for title, steps in further(conversation, told.certificates, language):
            yield ConversationView(title=f"{seen.title}, {title}", steps=steps, is_connected=True)
    fetch = evidence.policies.policy
    if fetch is not None:
        yield ConversationView(
            title=escape(fetch.url), steps=policy_fetch(fetch, told.certificates, language), is_connected=True
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
    insert_unsolicited(steps, conversation.unsolicited, language)
    return ConversationView(
        title=title,
        steps=since(steps, conversation.started_s),
        is_connected=conversation.connected_s is not None,
        notes=tuple(_notes(conversation, language)),
    )


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
        explained = list(exchange_steps(exchange, explanations.get(index), language))
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
        yield failed_step(failure, conversation.ended_s, conversation.ended_s, language)


def _connect(conversation: Conversation, language: str) -> Iterator[Step]:
    if conversation.connected_s is None:
        if conversation.failure is not None:
            yield failed_step(conversation.failure, conversation.started_s, conversation.ended_s, language)
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
    hung_up = conversation.failure is not None and conversation.failure.kind in (FailureKind.CLOSED, FailureKind.RESET)
    if conversation.is_closed_by_peer and not hung_up:
        yield label(language, "conversation", "closed-by-peer")
    if conversation.connections > 1:
        yield label(language, "conversation", "connections", count=conversation.connections)
    yield from map(escape, conversation.notes)


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
        sides: dict[str, list[str]] = {
            "plain-only": [text for keyword, text in before.items() if keyword not in after],
            "tls-only": [text for keyword, text in after.items() if keyword not in before],
            "differs": [text for keyword, text in before.items() if after.get(keyword, text) != text],
        }
        for field, texts in sides.items():
            if texts:
                offered = writing.listed(map(escape, texts), language)
                remarks.append(Remark(name=label(language, "conversation", field), text=offered))
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
        return failed_step(outcome, handshake.started_s, handshake.ended_s, language)
    return Step(
        kind=StepKind.EVENT,
        at_s=handshake.ended_s,
        lines=(session_line(handshake, outcome, language),),
        is_encrypted=True,
        took_s=handshake.ended_s - handshake.started_s,
        remarks=tuple(session_remarks(certificates, outcome, language)),
    )
