"""The names that a server goes by: what it calls itself, its reverse name, and those of its certificate.

That a server calls itself otherwise than its MX record does is common and harmless, as behind a load balancer. Only
where its own name agrees with nothing else at all is there a note, once for a host: it is mostly a setting that was
forgotten, and matters where the same host also sends (RFC 5321 4.1.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from smtpprobe.checks.greeting import is_public
from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.reading import FOUND_OUT, at_host, connected, took_ehlo
from smtpprobe.checks.securing import leaf_of
from smtpprobe.evidence import Certificate, Conversation, Evidence, Phase, Reply
from smtpprobe.names import is_hostname
from smtpprobe.replies import greeting_domain
from smtpprobe.report import Finding, Severity

SERVER_NAMES_DIFFER = kind(
    "server-names-differ", Topic.GREETING, Severity.INFO, params=("own", "host", "reverse", "certificate")
)


def server_names(evidence: Evidence) -> Iterator[Finding]:
    """Note each host whose own name agrees with none of its others."""
    by_host: dict[str, list[Conversation]] = {}
    for conversation in connected(evidence):
        if conversation.endpoint.name is not None and own_names(conversation):
            by_host.setdefault(conversation.endpoint.host, []).append(conversation)
    for host, conversations in by_host.items():
        seen = [_disagreement(evidence, host, each) for each in conversations]
        if None not in seen and seen[0] is not None:
            yield seen[0]


def _disagreement(evidence: Evidence, host: str, conversation: Conversation) -> Finding | None:
    """The note; None where any two names agree, or too little is known."""
    endpoint, own, leaf = conversation.endpoint, own_names(conversation), leaf_of(evidence, conversation)
    found = next((each for each in evidence.resolution.reverse if each.address == endpoint.address), None)
    if found is not None and found.ptr.status not in FOUND_OUT:
        return None
    reverse = found.ptr.records if found is not None else ()
    shown = leaf.dns_names if leaf is not None else ()
    if not (reverse or shown):
        return None  # nothing to hold it against but the name by which it was asked for
    if not set(own).isdisjoint((host, *reverse)) or (leaf is not None and _covers_any(leaf, own)):
        return None
    return SERVER_NAMES_DIFFER.found(
        at_host(evidence, endpoint), own=own, host=host, reverse=reverse or ("-",), certificate=shown or ("-",)
    )


def own_names(conversation: Conversation) -> tuple[str, ...]:
    """What the server calls itself in its greeting and its reply to EHLO (RFC 5321 4.2, 4.1.1.1), public names only:
    of the others there is a finding already."""
    greeting, ehlo = conversation.reply(Phase.GREETING), took_ehlo(conversation)
    said = (greeting_domain(greeting) if greeting is not None else None, _first_word(ehlo))
    names = (each.lower().rstrip(".") for each in said if each)
    return tuple(dict.fromkeys(each for each in names if is_hostname(each) and is_public(each)))


def _first_word(reply: Reply | None) -> str | None:
    words = reply.lines[0].split(maxsplit=1) if reply is not None and reply.lines else ()
    return words[0] if words else None


def _covers_any(leaf: Certificate, names: Iterable[str]) -> bool:
    from smtpprobe.certificates import covers  # brings OpenSSL along, and few come as far as here

    return any(covers(leaf, name) for name in names)
