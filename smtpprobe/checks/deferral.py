"""Servers that put a session off, or turn this very client away, before they show what they can do.

What they would do for another client, or later, is not known; so this is neither a pass nor a fault of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator

from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.reading import (
    at,
    connected,
    explained,
    graded_unknown,
    is_temporary,
    opening,
    provider_hint,
    refuses_client,
)
from smtpprobe.evidence import Evidence, Reply
from smtpprobe.report import Finding, Severity

_UNKNOWN = (Severity.INCONCLUSIVE, Severity.INFO)
"""A note where nothing depends on the endpoint."""
GREYLISTED = kind("greylisted", Topic.GREETING, *_UNKNOWN, params=("code",))
RATE_LIMITED = kind("rate-limited", Topic.GREETING, *_UNKNOWN, params=("code",))
TEMPORARILY_REFUSED = kind("temporarily-refused", Topic.GREETING, *_UNKNOWN, params=("code",))
CLIENT_REFUSED = kind("client-refused", Topic.GREETING, *_UNKNOWN, params=("code",))

_BY_CATEGORY = {
    "greylisted": GREYLISTED,
    "rate_limited": RATE_LIMITED,
    "too_many_connections": RATE_LIMITED,
}


def deferral(evidence: Evidence) -> Iterator[Finding]:
    """Judge the reply that kept each session from beginning, where it does not decide anything."""
    for conversation in connected(evidence):
        exchange = opening(conversation)
        if exchange is None or not isinstance(exchange.outcome, Reply):
            continue
        reply = exchange.outcome
        refused = refuses_client(conversation, exchange)
        if not (refused or is_temporary(reply)):
            continue
        category = explained(reply, exchange.phase, provider_hint(conversation)).category
        found = _BY_CATEGORY.get(category, CLIENT_REFUSED if refused else TEMPORARILY_REFUSED)
        yield found.found(
            at(evidence, conversation, exchange.phase),
            as_=graded_unknown(conversation.endpoint),
            because_of=reply,
            code=reply.code or 0,
        )
