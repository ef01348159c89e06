"""How a server keeps to the rules of the conversation itself: the form of its replies, and that each answers something.

Clients bear with much of it, but not all with the same. And a reply that nobody asked for makes two machines talk past
each other, or is somebody's attempt to slip one in.
"""

from __future__ import annotations

from collections.abc import Iterator

from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.reading import (
    BROKEN,
    after_starttls,
    at,
    by_role,
    connected,
    graded,
    graded_unknown,
    loss,
    opening,
    partial_reply,
    took_ehlo,
    wait_s,
)
from smtpprobe.evidence import (
    Conversation,
    Evidence,
    Exchange,
    Failure,
    FailureKind,
    Irregularity,
    Phase,
    Reply,
    Unsolicited,
)
from smtpprobe.reference.model import Confidence
from smtpprobe.replies import parse_reply
from smtpprobe.report import Finding, Severity

_LOST = (Severity.ERROR, Severity.WARNING, Severity.INFO)
_FLAW = (Severity.WARNING, Severity.INFO)
_UNKNOWN = (Severity.INCONCLUSIVE, Severity.INFO)
REPLY_TIMEOUT = kind("reply-timeout", Topic.PROTOCOL, *_UNKNOWN, params=("command", "seconds"))
TARPIT_SUSPECTED = kind("tarpit-suspected", Topic.PROTOCOL, *_UNKNOWN, params=("seconds", "received"))
REPLY_SLOW = kind("reply-slow", Topic.PROTOCOL, Severity.INFO, params=("command", "seconds"))
CONNECTION_CLOSED = kind("connection-closed", Topic.PROTOCOL, *_LOST, params=("command",))
REPLY_NOT_SMTP = kind("reply-not-smtp", Topic.PROTOCOL, *_LOST, params=("command",))
STEP_FAILED = kind("step-failed", Topic.PROTOCOL, *_UNKNOWN, params=("detail",))
UNSOLICITED_REPLY = kind("unsolicited-reply", Topic.PROTOCOL, *_FLAW, params=("received",))
CLOSED_UNASKED = kind("closed-unasked", Topic.PROTOCOL, *_FLAW, params=("code",))
QUIT_UNANSWERED = kind("quit-unanswered", Topic.PROTOCOL, Severity.INFO)
QUIT_UNUSUAL_REPLY = kind("quit-unusual-reply", Topic.PROTOCOL, Severity.INFO, params=("code",))

_HARMLESS = frozenset({Irregularity.NO_TEXT, Irregularity.NOT_ASCII, Irregularity.INVALID_UTF8, Irregularity.LONG_LINE})
"""What no client trips over, as far as is known."""

IRREGULAR = {
    each: kind(
        f"reply-{each.value}",
        Topic.PROTOCOL,
        *((Severity.INFO,) if each in _HARMLESS else _LOST if each is Irregularity.TOO_LONG else _FLAW),
    )
    for each in Irregularity
}
"""A kind for each way in which a reply departs from the grammar."""

CUT = frozenset({Irregularity.NO_TERMINATOR, Irregularity.INCOMPLETE})
"""How a reply looks in the middle of which the peer stopped."""

_ALL = frozenset(Irregularity)

SLOW_REPLY_S = 5.0
"""Seconds from which a reply is worth a note."""

LAST_WORDS = frozenset({221, 421})
"""Codes by which a server says that it closes the connection (RFC 5321 3.8)."""


def protocol(evidence: Evidence) -> Iterator[Finding]:
    """Judge the form of each conversation."""
    for conversation in connected(evidence):
        for exchange in conversation.exchanges:
            if exchange.phase is Phase.QUIT:
                yield from _quit(evidence, conversation, exchange)
            elif isinstance(exchange.outcome, Failure):
                yield from _failed(evidence, conversation, exchange, exchange.outcome)
            elif exchange.phase is not Phase.GREETING and wait_s(exchange) >= SLOW_REPLY_S:
                yield REPLY_SLOW.found(
                    at(evidence, conversation, exchange.phase), command=_command(exchange), seconds=wait_s(exchange)
                )
        for unasked in conversation.unsolicited:
            if not unasked.before_handshake:  # which `starttls` judges
                yield _unasked(evidence, conversation, unasked)
        yield from _irregular(evidence, conversation)


def _failed(evidence: Evidence, conversation: Conversation, exchange: Exchange, failure: Failure) -> Iterator[Finding]:
    where, endpoint = at(evidence, conversation, exchange.phase), conversation.endpoint
    unknown = graded_unknown(endpoint)
    # Once EHLO was taken, mail comes in, if perhaps in clear text; but not where TLS stands and the session ends there.
    served = took_ehlo(conversation) is not None and after_starttls(conversation) is not exchange
    worth = graded(endpoint, by_role(endpoint)) if served else loss(evidence, endpoint)
    if failure.kind is FailureKind.TIMEOUT and failure.partial:
        yield TARPIT_SUSPECTED.found(
            where,
            as_=unknown,
            sure=Confidence.POSSIBLE,
            because_of=partial_reply(failure),
            seconds=wait_s(exchange),
            received=len(failure.partial),
        )
    elif failure.kind is FailureKind.OTHER:
        yield STEP_FAILED.found(where, as_=unknown, detail=failure.detail or "-")
    elif exchange.phase is Phase.GREETING:
        return  # `greeting` judges it
    elif failure.kind is FailureKind.TIMEOUT:
        yield REPLY_TIMEOUT.found(where, as_=unknown, command=_command(exchange), seconds=evidence.options.timeout_s)
    elif failure.kind is FailureKind.GARBAGE:
        yield REPLY_NOT_SMTP.found(where, as_=worth, because_of=partial_reply(failure), command=_command(exchange))
    elif failure.kind in BROKEN:
        yield CONNECTION_CLOSED.found(where, as_=worth, because_of=partial_reply(failure), command=_command(exchange))


def _quit(evidence: Evidence, conversation: Conversation, exchange: Exchange) -> Iterator[Finding]:
    """RFC 5321 4.1.1.10: QUIT is answered by 221, and then the connection is closed."""
    where = at(evidence, conversation, Phase.QUIT)
    if isinstance(exchange.outcome, Reply):
        if exchange.outcome.code != 221:
            yield QUIT_UNUSUAL_REPLY.found(where, because_of=exchange.outcome, code=exchange.outcome.code or 0)
    elif exchange.outcome.kind in BROKEN | {FailureKind.TIMEOUT} and not _said_goodbye(conversation):
        yield QUIT_UNANSWERED.found(where)


def _said_goodbye(conversation: Conversation) -> bool:
    """Tell whether the server had announced that it closes, or had refused the session, so that QUIT came too late."""
    codes = [each.outcome.code for each in conversation.exchanges if isinstance(each.outcome, Reply)]
    codes += [parse_reply(each.raw).code for each in conversation.unsolicited]
    return took_ehlo(conversation) is None or not LAST_WORDS.isdisjoint(codes)


def _unasked(evidence: Evidence, conversation: Conversation, unasked: Unsolicited) -> Finding:
    where, reply = at(evidence, conversation, Phase.IDLE), parse_reply(unasked.raw)
    if reply.code in LAST_WORDS and unasked.after is not Phase.QUIT:
        return CLOSED_UNASKED.found(
            where, as_=graded(conversation.endpoint, Severity.WARNING), because_of=reply, code=reply.code
        )
    return UNSOLICITED_REPLY.found(
        where, as_=graded(conversation.endpoint, Severity.WARNING), because_of=reply, received=len(unasked.raw)
    )


def _irregular(evidence: Evidence, conversation: Conversation) -> Iterator[Finding]:
    """Tell of each irregularity once, by the first reply that has it."""
    seen: set[Irregularity] = set()
    for exchange in conversation.exchanges:
        reply, among = _to_read(exchange)
        if reply is None or not reply.irregularities:
            continue
        for irregularity in reply.irregularities:
            if irregularity not in among or irregularity in seen:
                continue
            seen.add(irregularity)
            found = IRREGULAR[irregularity]
            worth = _worth(evidence, conversation, irregularity, exchange)
            yield found.found(at(evidence, conversation, exchange.phase), as_=worth, because_of=reply)


def _worth(evidence: Evidence, conversation: Conversation, irregularity: Irregularity, exchange: Exchange) -> Severity:
    if irregularity in CUT:
        return Severity.INFO  # there is a finding already, about the end of the connection
    if irregularity is Irregularity.TOO_LONG and exchange == opening(conversation):
        return loss(evidence, conversation.endpoint)  # no session can begin
    mild = Severity.INFO if irregularity in _HARMLESS else Severity.WARNING
    return graded(conversation.endpoint, mild)


def _to_read(exchange: Exchange) -> tuple[Reply | None, frozenset[Irregularity]]:
    """The reply whose form is to be judged, and in which respects."""
    if isinstance(exchange.outcome, Reply):
        return exchange.outcome, _ALL
    if exchange.outcome.kind is FailureKind.GARBAGE:
        return None, frozenset()  # what is no reply at all has no form to keep
    return partial_reply(exchange.outcome), CUT if exchange.outcome.kind in BROKEN else frozenset()


def _command(exchange: Exchange) -> str:
    return exchange.phase.value.upper()
