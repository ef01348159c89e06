"""The code book: what codes, enhanced codes, keywords and the wordings of servers mean, in facts.

    >>> from smtpprobe.evidence import Phase
    >>> from smtpprobe.replies import parse_reply
    >>> explain(parse_reply(b"450 4.2.2 Mailbox full\\r\\n"), Phase.RCPT).diagnosis
    'mailbox-full'

`explain` judges one reply, `identify` tells the software from its greeting; the tables themselves are functions that
give their rows. All is language-neutral: the words for each key are in `smtpprobe.texts`. Importing this package
costs nothing, and it must never need the network, the DNS or an event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smtpprobe.reference.tables import codes as codes
from smtpprobe.reference.tables import diagnoses as diagnoses
from smtpprobe.reference.tables import enhanced_codes as enhanced_codes
from smtpprobe.reference.tables import keywords as keywords

if TYPE_CHECKING:
    from smtpprobe.evidence import Phase, Reply
    from smtpprobe.reference.model import Explanation, Software
    from smtpprobe.reference.wordtables import banners as banners
    from smtpprobe.reference.wordtables import patterns as patterns
    from smtpprobe.reference.wordtables import providers as providers
    from smtpprobe.reference.wordtables import wordings as wordings


_LATER = frozenset({"banners", "patterns", "providers", "wordings"})
"""Tables that are imported when they are asked for."""


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from smtpprobe.reference import wordtables

    return getattr(wordtables, name)


def explain(reply: Reply, phase: Phase | None, *, provider_hint: str | None = None) -> Explanation:
    """Explain a reply where it stands: most specific knowledge first; never raises for what a server sent.

    Args:
        phase: what the reply answers; None where that is not known.
        provider_hint: a host name (of the MX, or from the PTR record) or a greeting, from which the provider may be
            told where the reply itself does not.
    """
    from smtpprobe.evidence import Irregularity
    from smtpprobe.reference.matching import match
    from smtpprobe.reference.model import Actor, Confidence, Explanation, Retry

    found = match(
        reply.code,
        reply.enhanced,
        phase,
        reply.lines,
        provider_hint=provider_hint,
        has_mixed_codes=Irregularity.MIXED_CODES in reply.irregularities,
    )
    return Explanation(
        code=reply.code,
        enhanced=reply.enhanced,
        phase=phase,
        rule=found.rule,
        diagnosis=found.diagnosis,
        category=found.category,
        confidence=Confidence(found.confidence),
        provider=found.provider,
        actor=Actor(found.actor),
        retry=Retry(found.retry),
        retry_after_s=found.retry_after_s,
        code_key=found.code_key,
        enhanced_key=found.enhanced_key,
        pattern=found.pattern,
        references=found.references,
        links=found.links,
        contradictions=found.contradictions,
    )


def identify(greeting_reply: Reply, ehlo_reply: Reply | None = None, *, host: str | None = None) -> Software | None:
    """Tell the software of a server by its greeting, else by its EHLO reply, else by the name of its host.

    Args:
        greeting_reply: the greeting, whatever its code.
        host: the name of the MX host, which tells the provider where the server hides its software.

    Returns:
        None where nothing gives it away.
    """
    from smtpprobe.reference import fingerprints
    from smtpprobe.reference.model import Confidence, Software

    found = fingerprints.of_greeting(greeting_reply.lines)
    if found is None and ehlo_reply is not None:
        found = fingerprints.of_ehlo(ehlo_reply.lines)
    if found is None and host is not None:
        found = fingerprints.of_host(host)
    if found is None:
        return None
    return Software(
        product=found.row.product,
        version=found.version,
        vendor=found.row.vendor,
        provider=found.row.provider,
        confidence=Confidence(found.row.confidence),
        rule=f"banner:{found.row.id}",
    )
