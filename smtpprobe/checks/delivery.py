"""The verdict on delivery: how an opportunistic, an MTA-STS and a DANE sender would each fare now, and where.

A sender walks the MX hosts by preference and tries the next where one cannot take the mail (RFC 5321 5.1). What counts
as "cannot" is the difference between senders: for one an expired certificate is nothing, for another it is a reason to
wait. The walk is made here over what the probe saw, so the verdict is one of now and of here; what might differ
elsewhere is `Fate.UNKNOWN` rather than a guess: a server that turns this very client away, for its address or its
haste, may well take the mail of others.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from smtpprobe.checks.reading import (
    OWN_LIMITS,
    after_starttls,
    explained,
    is_success,
    keywords,
    opening,
    provider_hint,
    refuses_client,
    took_ehlo,
)
from smtpprobe.checks.resolution import is_bogus
from smtpprobe.checks.securing import DaneState, Security, dane_of, policy_of, security
from smtpprobe.endpoints import is_relay_left_out
from smtpprobe.evidence import (
    Conversation,
    Evidence,
    Exchange,
    Failure,
    FailureKind,
    Family,
    Lookup,
    LookupStatus,
    Phase,
    Reply,
    Role,
    TargetKind,
    TlsMode,
)
from smtpprobe.policies import mta_sts
from smtpprobe.report import Attempt, Delivery, Fate, Sender

DELIVERED = frozenset({Fate.AUTHENTICATED, Fate.ENCRYPTED, Fate.CLEAR})

_NOT_FROM_HERE = frozenset(
    {FailureKind.NO_ROUTE, FailureKind.DENIED, FailureKind.TLS_LOCAL, FailureKind.OTHER, *OWN_LIMITS}
)
"""Failures of this machine: another sender may fare better."""


class _Step(msgspec.Struct, frozen=True):
    """What comes of one server."""

    fate: Fate
    reason: str


def deliveries(evidence: Evidence) -> tuple[Delivery, ...]:
    """Walk the MX hosts as each kind of sender; nothing where the target is no mail domain, or nothing was tried."""
    if evidence.target.kind is not TargetKind.NAME or evidence.resolution.mx is None:
        return ()
    if evidence.is_interrupted or not (_relays(evidence) or _ends_in_dns(evidence)):
        return ()
    return tuple(_deliver(evidence, sender) for sender in Sender)


def _relays(evidence: Evidence) -> list[Conversation]:
    """The conversations in which mail from other servers could be taken, in the order of trying."""
    return [each for each in evidence.conversations if each.endpoint.role is Role.SMTP]


def _ends_in_dns(evidence: Evidence) -> _Step | None:
    """What the name system alone decides, for every sender; None where there are servers to try."""
    resolution = evidence.resolution
    mx = resolution.mx
    if resolution.is_null_mx:
        return _Step(Fate.BOUNCES, "null-mx")  # RFC 7505 3
    if mx is not None and mx.status is LookupStatus.NXDOMAIN and not any(host.addresses for host in resolution.hosts):
        return _Step(Fate.BOUNCES, "no-domain")
    if mx is not None and mx.status not in (LookupStatus.ANSWERED, LookupStatus.NO_DATA, LookupStatus.NXDOMAIN):
        return _unanswered([mx])
    if not any(host.addresses for host in resolution.hosts):
        is_open = _open_questions(evidence)
        if not is_open and evidence.options.family is not Family.ANY:
            return _Step(Fate.UNKNOWN, "one-family")
        return _unanswered(is_open) if is_open else _Step(Fate.BOUNCES, "no-address")
    return None


def _unanswered(lookups: list[Lookup]) -> _Step:
    """What comes of questions without an answer. RFC 5321 5.1: who gets none keeps the mail and tries again. Everybody
    whose resolver validates is in that place where signatures are wrong; all else may be the fault of our resolver."""
    if all(map(is_bogus, lookups)):
        return _Step(Fate.DEFERS, "dns-failed")
    return _Step(Fate.UNKNOWN, "dns-unknown")


def _open_questions(evidence: Evidence) -> list[Lookup]:
    """The unanswered questions for addresses of hosts that have none yet: such a host may take the mail."""
    hosts = (each for each in evidence.resolution.hosts if not each.addresses)
    return [each for host in hosts for each in host.lookups if each.status not in _ANSWERS]


_ANSWERS = (LookupStatus.ANSWERED, LookupStatus.NO_DATA, LookupStatus.NXDOMAIN, LookupStatus.OVERRIDDEN)


def _deliver(evidence: Evidence, sender: Sender) -> Delivery:
    decided = _ends_in_dns(evidence)
    if decided is not None:
        return Delivery(sender=sender, fate=decided.fate, reason=decided.reason)
    attempts: list[Attempt] = []
    for conversation, step in _walk(evidence, sender):
        endpoint = conversation.endpoint
        attempts.append(Attempt(host=endpoint.host, address=endpoint.address, fate=step.fate, reason=step.reason))
        if step.fate in DELIVERED:
            return Delivery(
                sender=sender,
                fate=step.fate,
                host=endpoint.host,
                address=endpoint.address,
                reason=step.reason,
                attempts=tuple(attempts),
            )
    fate = _without_delivery([each.fate for each in attempts])
    if fate in (Fate.BOUNCES, Fate.DEFERS) and (is_open := _open_questions(evidence)):
        step = _unanswered(is_open)
        if fate is Fate.BOUNCES or step.fate is Fate.UNKNOWN:
            return Delivery(sender=sender, fate=step.fate, reason=step.reason, attempts=tuple(attempts))
    if fate in (Fate.BOUNCES, Fate.DEFERS) and is_relay_left_out(
        evidence.target, evidence.resolution, evidence.options
    ):
        return Delivery(sender=sender, fate=Fate.UNKNOWN, reason="not-from-here", attempts=tuple(attempts))
    reason = next((each.reason for each in attempts if each.fate is fate), "nothing-tried")
    return Delivery(sender=sender, fate=fate, reason=reason, attempts=tuple(attempts))


def _without_delivery(fates: list[Fate]) -> Fate:
    """What becomes of mail that nobody took: unknown where one server could not be judged, else tried again as long
    as one failure is temporary."""
    for fate in (Fate.UNKNOWN, Fate.DEFERS, Fate.BOUNCES):
        if fate in fates:
            return fate
    return Fate.UNKNOWN


def _walk(evidence: Evidence, sender: Sender) -> Iterator[tuple[Conversation, _Step]]:
    policy = policy_of(evidence) if sender is Sender.MTA_STS else None
    for conversation in _relays(evidence):
        blocked = _before_connecting(evidence, conversation, sender, policy) or _before_tls(conversation)
        if blocked is not None:
            yield conversation, blocked
        elif sender is Sender.MTA_STS:
            yield conversation, _as_mta_sts(evidence, conversation, policy)
        elif sender is Sender.DANE:
            yield conversation, _as_dane(evidence, conversation)
        else:
            yield conversation, _as_opportunistic(conversation)


def _before_connecting(
    evidence: Evidence, conversation: Conversation, sender: Sender, policy: mta_sts.Policy | None
) -> _Step | None:
    """Why a sender does not even connect, whatever the server would say to it; None where it does."""
    if (
        policy is not None
        and policy.mode is mta_sts.Mode.ENFORCE
        and not mta_sts.allows(policy, conversation.endpoint.host)
    ):
        return _Step(Fate.DEFERS, "policy-not-listed")  # RFC 8461 5: no delivery there
    found = dane_of(evidence, conversation) if sender is Sender.DANE else None
    if found is not None and found.state is DaneState.BOGUS:
        return _Step(Fate.DEFERS, "dane-lookup-failed")  # RFC 7672 2.1.2
    return None


def _before_tls(conversation: Conversation) -> _Step | None:
    """Why no sender gets as far as TLS; None where each does."""
    failure = conversation.failure
    if took_ehlo(conversation) is not None:
        return None
    if failure is not None and failure.kind in _NOT_FROM_HERE:
        return _open_for_us(failure)
    if conversation.connected_s is None:
        timed_out = failure is not None and failure.kind is FailureKind.TIMEOUT
        # A connection that nobody answers may end at our own firewall.
        return _Step(Fate.UNKNOWN, "no-answer") if timed_out else _Step(Fate.DEFERS, "no-connection")
    exchange = opening(conversation)
    if exchange is None or not isinstance(exchange.outcome, Reply):
        # Senders wait for minutes (RFC 5321 4.5.3.2), a probe does not.
        is_slow = failure is not None and failure.kind is FailureKind.TIMEOUT
        return _Step(Fate.UNKNOWN, "too-slow") if is_slow else _Step(Fate.DEFERS, "broken-off")
    return _refused(conversation, exchange, exchange.outcome) or _Step(Fate.DEFERS, "broken-off")


def _open_for_us(failure: Failure) -> _Step:
    """What comes of a failure of this machine, or of the time that the caller gave."""
    return _Step(Fate.UNKNOWN, "out-of-time" if failure.kind is FailureKind.DEADLINE else "not-from-here")


def _refused(conversation: Conversation, exchange: Exchange, reply: Reply) -> _Step | None:
    """What a reply means for the mail; None for one of success."""
    if is_success(reply):
        return None
    if reply.code is None:
        return _Step(Fate.DEFERS, "broken-off")
    if refuses_client(conversation, exchange):
        return _Step(Fate.UNKNOWN, "client-refused")
    if explained(reply, exchange.phase, provider_hint(conversation)).category == "greylisted":
        return _Step(Fate.DEFERS, "greylisted")
    return _Step(Fate.BOUNCES, "refused-5") if reply.code >= 500 else _Step(Fate.DEFERS, "refused-4")


def _as_opportunistic(conversation: Conversation) -> _Step:
    if conversation.session is not None:
        return _after_tls(conversation) or _Step(Fate.ENCRYPTED, "tls")
    missing = _without_tls(conversation)
    if missing.fate is Fate.UNKNOWN:
        return missing
    return _Step(Fate.CLEAR, missing.reason)  # RFC 7435 3: rather in clear text than not at all


def _after_tls(conversation: Conversation) -> _Step | None:
    """Why no mail passes though TLS stands; None where it does, as far as is known."""
    exchange = after_starttls(conversation)
    if exchange is None:
        return None
    if isinstance(exchange.outcome, Reply):
        return _refused(conversation, exchange, exchange.outcome)
    if exchange.outcome.kind in _NOT_FROM_HERE:
        return _open_for_us(exchange.outcome)
    is_slow = exchange.outcome.kind is FailureKind.TIMEOUT
    return _Step(Fate.UNKNOWN, "too-slow") if is_slow else _Step(Fate.DEFERS, "broken-off")


def _without_tls(conversation: Conversation) -> _Step:
    """Why there is no session: never offered, refused, or broken."""
    handshake = conversation.handshake
    if handshake is not None and isinstance(handshake.outcome, Failure):
        if handshake.outcome.kind in _NOT_FROM_HERE:
            return _open_for_us(handshake.outcome)
        return _Step(Fate.DEFERS, "handshake-failed")
    if conversation.failure is not None and conversation.failure.kind in OWN_LIMITS:
        return _open_for_us(conversation.failure)
    if conversation.endpoint.tls is TlsMode.NONE:
        return _Step(Fate.UNKNOWN, "not-from-here")
    if conversation.reply(Phase.STARTTLS) is not None:
        return _Step(Fate.DEFERS, "starttls-refused")
    if "STARTTLS" in keywords(conversation.reply(Phase.EHLO)):
        return _Step(Fate.DEFERS, "broken-off")
    return _Step(Fate.DEFERS, "starttls-missing")


def _as_mta_sts(evidence: Evidence, conversation: Conversation, policy: mta_sts.Policy | None) -> _Step:
    fetched = evidence.policies.policy
    if fetched is not None and fetched.trust is not None and fetched.trust.is_unknown:
        return _Step(Fate.UNKNOWN, "not-from-here")  # whether senders believe the policy host
    if policy is None or policy.mode is not mta_sts.Mode.ENFORCE:
        step = _as_opportunistic(conversation)
        reason = {None: "no-policy", mta_sts.Mode.TESTING: "policy-testing"}.get(
            policy.mode if policy is not None else None, "policy-none"
        )
        found = evidence.policies.mta_sts
        if found is not None and found.status not in _ANSWERS:
            reason = "policy-lookup-failed"  # RFC 8461 5.1: only who has kept the policy goes by it
        elif policy is None and found is not None and mta_sts.read_record(found.records) != mta_sts.Record():
            reason = "policy-unusable"
        return _Step(step.fate, reason) if step.fate is Fate.ENCRYPTED else step
    session = conversation.session
    if session is None:
        missing = _without_tls(conversation)
        return missing if missing.fate is Fate.UNKNOWN else _Step(Fate.DEFERS, missing.reason)
    if session.trust is not None and session.trust.is_unknown:
        return _Step(Fate.UNKNOWN, "not-from-here")
    if session.trust is None or not session.trust.is_trusted:
        return _Step(Fate.DEFERS, "policy-untrusted")
    return _after_tls(conversation) or _Step(Fate.AUTHENTICATED, "policy-kept")


def _as_dane(evidence: Evidence, conversation: Conversation) -> _Step:
    mx = evidence.resolution.mx
    is_mx_secure = mx is not None and security(evidence, mx) is Security.SECURE
    found = dane_of(evidence, conversation)
    state = DaneState.ABSENT if found is None else found.state
    match state:
        case DaneState.MATCH if is_mx_secure:
            return _after_tls(conversation) or _Step(Fate.AUTHENTICATED, "dane-match")
        case DaneState.MATCH:
            # RFC 7672 2.2.1: the way to the host is not vouched for
            return _after_tls(conversation) or _Step(Fate.ENCRYPTED, "dane-mx-insecure")
        case DaneState.MISMATCH:
            return _Step(Fate.DEFERS, "dane-mismatch")
        case DaneState.UNTRUSTED | DaneState.UNVALIDATED:
            return _Step(Fate.UNKNOWN, "dane-unverifiable")
        case DaneState.UNUSABLE if conversation.session is not None:
            return _after_tls(conversation) or _Step(Fate.ENCRYPTED, "dane-unusable")
        case DaneState.UNUSABLE | DaneState.UNTESTED:
            missing = _without_tls(conversation)
            return missing if missing.fate is Fate.UNKNOWN else _Step(Fate.DEFERS, missing.reason)
        case _:
            step = _as_opportunistic(conversation)
            reason = "dane-insecure" if state is DaneState.INSECURE else "dane-absent"
            return _Step(step.fate, reason) if step.fate is Fate.ENCRYPTED else step


def tried_hosts(delivery: Delivery, fates: tuple[Fate, ...] = tuple(Fate)) -> tuple[str, ...]:
    """The hosts that a sender passed over before the one that took the mail, each once.

    Args:
        fates: only those of which this was made out.
    """
    passed = (each for each in delivery.attempts if each.fate not in DELIVERED and each.host != delivery.host)
    return tuple(dict.fromkeys(each.host for each in passed if each.fate in fates))
