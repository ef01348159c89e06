"""The greeting: whether there is one, how long it takes, and whether it says that the host takes mail.

RFC 5321 3.1: a server begins with 220 and its name, or with 554 if it takes no mail. RFC 5321 4.5.3.2.1: a client is to
wait five minutes for it, so a slow greeting is no fault; a missing one may be ours, since few probes wait so long.
"""

from __future__ import annotations

from collections.abc import Iterator

from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.reading import (
    BROKEN,
    at,
    connected,
    explained,
    graded,
    graded_unknown,
    is_success,
    is_temporary,
    loss,
    partial_reply,
    provider_hint,
    refuses_client,
    took_ehlo,
    wait_s,
)
from smtpprobe.evidence import Conversation, Evidence, Exchange, Failure, FailureKind, Phase, Reply
from smtpprobe.reference.model import Actor, Confidence
from smtpprobe.replies import greeting_domain
from smtpprobe.report import Finding, Severity

_LOST = (Severity.ERROR, Severity.WARNING, Severity.INFO)
GREETING_TIMEOUT = kind("greeting-timeout", Topic.GREETING, Severity.INCONCLUSIVE, Severity.INFO, params=("seconds",))
GREETING_CLOSED = kind("greeting-closed", Topic.GREETING, *_LOST)
NOT_SMTP = kind("not-smtp", Topic.GREETING, *_LOST)
HOST_ACCEPTS_NO_MAIL = kind("host-accepts-no-mail", Topic.GREETING, *_LOST, params=("code",))
GREETING_REFUSED = kind("greeting-refused", Topic.GREETING, *_LOST, params=("code",), actor=Actor.EITHER)
GREETING_UNEXPECTED_CODE = kind(
    "greeting-unexpected-code", Topic.GREETING, *_LOST, params=("code",), actor=Actor.RECEIVER
)
GREETING_SLOW = kind("greeting-slow", Topic.GREETING, Severity.INFO, params=("seconds",))
GREETING_WITHOUT_NAME = kind("greeting-without-name", Topic.GREETING, Severity.INFO)
SERVER_NAME_NOT_PUBLIC = kind("server-name-not-public", Topic.GREETING, Severity.INFO, params=("name",))
GREETING_MULTILINE = kind("greeting-multiline", Topic.GREETING, Severity.INFO, params=("count",))

SLOW_GREETING_S = 5.0
"""Seconds from which a greeting is worth a note: more than look-ups take, and what greet delays begin at."""

HOST_TAKES_NO_MAIL = 521
"""RFC 7504 3: the server exists to say that its host takes no mail."""


def greeting(evidence: Evidence) -> Iterator[Finding]:
    """Judge each greeting."""
    for conversation in connected(evidence):
        exchange = conversation.exchange(Phase.GREETING)
        if exchange is None:
            continue
        if isinstance(exchange.outcome, Failure):
            yield from _failed(evidence, conversation, exchange.outcome)
        elif is_success(exchange.outcome):
            yield from _good(evidence, conversation, exchange, exchange.outcome)
        elif not is_temporary(exchange.outcome) and not refuses_client(conversation, exchange):
            yield _refused(evidence, conversation, exchange.outcome)


def _failed(evidence: Evidence, conversation: Conversation, failure: Failure) -> Iterator[Finding]:
    where, endpoint = at(evidence, conversation, Phase.GREETING), conversation.endpoint
    if failure.kind is FailureKind.GARBAGE:
        yield NOT_SMTP.found(where, as_=loss(evidence, endpoint), because_of=partial_reply(failure))
    elif failure.kind in BROKEN:
        # A firewall in front of the server may do it too, to clients that it does not like.
        yield GREETING_CLOSED.found(
            where, as_=loss(evidence, endpoint), sure=Confidence.LIKELY, because_of=partial_reply(failure)
        )
    elif failure.kind is FailureKind.TIMEOUT and not failure.partial:  # else it is a reply that trickles
        yield GREETING_TIMEOUT.found(where, as_=graded_unknown(endpoint), seconds=evidence.options.greeting_timeout_s)


def _refused(evidence: Evidence, conversation: Conversation, reply: Reply) -> Finding:
    where, worth, code = (
        at(evidence, conversation, Phase.GREETING),
        loss(evidence, conversation.endpoint),
        reply.code or 0,
    )
    if code // 100 != 5:
        return GREETING_UNEXPECTED_CODE.found(where, as_=worth, because_of=reply, code=code)
    cause = explained(reply, Phase.GREETING, provider_hint(conversation)).diagnosis
    found = HOST_ACCEPTS_NO_MAIL if code == HOST_TAKES_NO_MAIL or cause == "host-accepts-no-mail" else GREETING_REFUSED
    return found.found(where, as_=worth, because_of=reply, code=code)


def _good(evidence: Evidence, conversation: Conversation, exchange: Exchange, reply: Reply) -> Iterator[Finding]:
    where = at(evidence, conversation, Phase.GREETING)
    if reply.code != 220:
        yield GREETING_UNEXPECTED_CODE.found(
            where, as_=graded(conversation.endpoint, Severity.WARNING), because_of=reply, code=reply.code or 0
        )
    elif (name := greeting_domain(reply)) is None:
        yield GREETING_WITHOUT_NAME.found(where, because_of=reply)
    elif not is_public(name):
        yield SERVER_NAME_NOT_PUBLIC.found(where, because_of=reply, name=name)
    else:
        yield from _name_of_ehlo(evidence, conversation)
    if len(reply.lines) > 1:
        yield GREETING_MULTILINE.found(where, because_of=reply, count=len(reply.lines))
    if wait_s(exchange) >= SLOW_GREETING_S:
        yield GREETING_SLOW.found(where, seconds=wait_s(exchange))


def _name_of_ehlo(evidence: Evidence, conversation: Conversation) -> Iterator[Finding]:
    """RFC 5321 4.1.1.1: the reply to EHLO begins with the server's name too."""
    exchange = conversation.exchange(Phase.EHLO)
    reply = took_ehlo(conversation)
    if exchange is None or reply is None or exchange.outcome != reply:
        return
    name = reply.text.split(maxsplit=1)[0] if reply.text.strip() else ""
    if name and not is_public(name) and name.replace("-", "").replace(".", "").isalnum():
        yield SERVER_NAME_NOT_PUBLIC.found(at(evidence, conversation, Phase.EHLO), because_of=reply, name=name)


def is_public(name: str) -> bool:
    """Tell whether a name can be one of the public DNS: more than one label, and no top-level domain of private use."""
    if name.startswith("["):
        return True  # an address literal
    labels = name.lower().rstrip(".").split(".")
    # RFC 6761 6.3, RFC 6762 3 and appendix G, ICANN's reserved "internal".
    return len(labels) > 1 and labels[-1] not in {
        "localhost", "localdomain", "local", "internal", "intranet", "lan", "home", "corp", "private",
    }  # fmt: skip
