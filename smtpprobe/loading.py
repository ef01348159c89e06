"""Evidence that was saved is read, so that whoever judges it can rely on it.

A file may come from anywhere, and may have been edited by hand: each value must have its form, and they must agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address

import msgspec

from smtpprobe.errors import EvidenceError
from smtpprobe.evidence import SCHEMA, Asked, Conversation, Evidence, TlsSession


def decode(data: bytes | str) -> Evidence:
    """Read evidence that `encode` wrote.

    Raises:
        EvidenceError: it is not JSON, not evidence, of another schema version, or one part of it does not go with
            another; the message names the place.
    """
    try:
        evidence = msgspec.json.decode(data, type=Evidence)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise EvidenceError(f"not evidence of the form {SCHEMA}: {error}") from error
    wrong = next(_contradictions(evidence), None)
    if wrong is not None:
        raise EvidenceError(f"not evidence of the form {SCHEMA}: {wrong}")
    return evidence


def _contradictions(evidence: Evidence) -> Iterator[str]:
    """Say what is no address or date, or refers to something that is not there, and where."""
    for place, text in _addresses(evidence):
        if not _is_address(text):
            yield f"{text!r} is no IP address - at `$.{place}`"
    for place, moment in _moments(evidence):
        if moment is not None and not _is_countable(moment):
            yield f"{moment.isoformat()} is out of range - at `$.{place}`"
    known = {each.sha256 for each in evidence.certificates}
    for place, chain in _chains(evidence):
        for key in chain:
            if key not in known:
                yield f"the certificate {key!r} is not in it - at `$.{place}`"
    for number, conversation in enumerate(evidence.conversations):
        asked = conversation.asked or Asked()
        for index, answer in enumerate(asked.answers):
            if answer.exchange is not None and not 0 <= answer.exchange < len(asked.exchanges):
                yield f"there is no such exchange - at `$.conversations[{number}].asked.answers[{index}]`"


def _addresses(evidence: Evidence) -> Iterator[tuple[str, str]]:
    if evidence.target.address is not None:
        yield "target.address", evidence.target.address
    for number, host in enumerate(evidence.resolution.hosts):
        for place, address in enumerate(host.addresses):
            yield f"resolution.hosts[{number}].addresses[{place}]", address
    for number, reverse in enumerate(evidence.resolution.reverse):
        yield f"resolution.reverse[{number}].address", reverse.address
    for number, endpoint in enumerate(evidence.endpoints):
        yield f"endpoints[{number}].address", endpoint.address
    for number, conversation in enumerate(evidence.conversations):
        yield f"conversations[{number}].endpoint.address", conversation.endpoint.address


def _moments(evidence: Evidence) -> Iterator[tuple[str, datetime | None]]:
    yield "started_at", evidence.started_at
    for number, certificate in enumerate(evidence.certificates):
        yield f"certificates[{number}].not_before", certificate.not_before
        yield f"certificates[{number}].not_after", certificate.not_after


def _chains(evidence: Evidence) -> Iterator[tuple[str, tuple[str, ...]]]:
    for number, conversation in enumerate(evidence.conversations):
        for place, session in _sessions(conversation):
            yield f"conversations[{number}].{place}.outcome.chain", session.chain
    if evidence.policies.policy is not None:
        yield "policies.policy.chain", evidence.policies.policy.chain


def _sessions(conversation: Conversation) -> Iterator[tuple[str, TlsSession]]:
    if conversation.session is not None:
        yield "handshake", conversation.session
    for number, trial in enumerate(conversation.versions):
        if isinstance(trial.outcome, TlsSession):
            yield f"versions[{number}]", trial.outcome


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_countable(moment: datetime) -> bool:
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return False
    return True
