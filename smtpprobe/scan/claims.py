"""What one result claims, in the words that an overview counts: reachable, encrypted, trusted, asked for policies.

Each claim is a pure function of a result. None means that nothing can be claimed, which is never counted as a no.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from smtpprobe.evidence import NOT_PUBLIC, FailureKind, LookupStatus, Phase, Role
from smtpprobe.scan.results import Result, SeenCertificate, Session, Standing

EXPIRY_DAYS: Final = 21
"""A certificate with no more days left counts as one that expires soon."""


class Grouping(StrEnum):
    """By what targets can be put together."""

    PROVIDER = "provider"
    SOFTWARE = "software"
    TLD = "tld"


class Reachability(StrEnum):
    """How far one got with a target: each target is exactly one of these."""

    REACHABLE = "reachable"
    """Some server greeted and answered EHLO."""
    REFUSED = "refused"
    """Some server answered, but none as far as EHLO."""
    NO_ANSWER = "no-answer"
    """Servers were tried, and none said anything."""
    NOT_FROM_HERE = "not-from-here"
    """The machine of the scan could not get there, or was stopped; that says nothing about the target."""
    LEFT_ALONE = "left-alone"
    """No server was tried, on purpose: excluded, or an address that is not public, where nothing is wrong with that."""
    NULL_MX = "null-mx"
    """The domain says that it takes no mail (RFC 7505)."""
    NO_HOST = "no-host"
    """The domain does not exist, or has no mail server with an address, or none with a public one."""
    DNS_FAILED = "dns-failed"
    """The name system gave no answer, so whether there are servers is not known."""


class Adoption(StrEnum):
    """How many servers of a target offer something, of those that could be asked."""

    ALL = "all"
    SOME = "some"
    NONE = "none"


class TlsUse(StrEnum):
    """What came of a conversation that agreed on no version of TLS."""

    NOT_OFFERED = "not-offered"
    FAILED = "failed"
    """Offered, but it came to nothing."""
    NOT_TRIED = "not-tried"
    """Offered, but the conversation ended before, or by our own fault."""


class PolicyState(StrEnum):
    """Why a full scan found no policy: the end of the finding that says so."""

    NOT_PUBLISHED = "not-published"
    LOOKUP_FAILED = "lookup-failed"


class Validity(StrEnum):
    """What is to be said of a certificate; all but the first may hold at once."""

    TRUSTED = "trusted"
    """Chain, dates and name are in order."""
    EXPIRES_SOON = "expires-soon"
    """Valid still, for at most `EXPIRY_DAYS` days."""
    EXPIRED = "expired"
    NOT_IN_DATE = "not-in-date"
    """Not yet valid, or another certificate of its chain is out of date."""
    WRONG_NAME = "wrong-name"
    SELF_SIGNED = "self-signed"
    UNTRUSTED = "untrusted"
    """No chain to a trusted root, without being self-signed."""


_HERE: Final = frozenset({FailureKind.NO_ROUTE, FailureKind.DENIED, FailureKind.INTERRUPTED, FailureKind.INTERNAL})
"""Failures that the machine of the scan caused."""

_DNS_FAILURES: Final = frozenset(
    {
        LookupStatus.SERVFAIL,
        LookupStatus.REFUSED,
        LookupStatus.OTHER_RCODE,
        LookupStatus.TIMEOUT,
        LookupStatus.MALFORMED,
        LookupStatus.UNREACHABLE,
    }
)


def sessions(result: Result) -> Iterator[Session]:
    """All sessions of a target, in the order of its hosts."""
    for host in result.hosts:
        yield from host.sessions


def reachability(result: Result) -> Reachability:
    """Say how far one got with a target."""
    if result.is_reachable:
        return Reachability.REACHABLE
    if result.is_null_mx or result.outcome is Standing.NULL_MX:
        return Reachability.NULL_MX
    tried = [each for each in sessions(result) if each.skipped is None]
    if any(each.greeting is not None or each.refusal is not None for each in tried):
        return Reachability.REFUSED
    if any(each.failure not in _HERE for each in tried):
        return Reachability.NO_ANSWER
    if tried:
        return Reachability.NOT_FROM_HERE
    if result.skipped == NOT_PUBLIC and result.outcome is Standing.ERROR:
        return Reachability.NO_HOST
    if result.skipped is not None or any(True for _ in sessions(result)):
        return Reachability.LEFT_ALONE
    statuses = {result.mx, *(host.status for host in result.hosts)}
    return Reachability.DNS_FAILED if statuses & _DNS_FAILURES else Reachability.NO_HOST


def adoption(result: Result) -> Adoption | None:
    """Say how many servers offer STARTTLS; None where none could be asked."""
    offers = [each.starttls for each in sessions(result) if each.starttls is not None and not _is_implicit(each)]
    if not offers:
        return None
    return Adoption.ALL if all(offers) else Adoption.SOME if any(offers) else Adoption.NONE


def _is_implicit(session: Session) -> bool:
    """TLS came before the greeting (RFC 8314 3.3): STARTTLS has no place there."""
    return session.role is Role.SUBMISSIONS


def tls_use(session: Session) -> str | None:
    """Name the version of TLS that was agreed on, or say why none was; None where one did not get so far."""
    if session.tls is not None:
        return session.tls
    is_refused = session.refusal is not None and session.refusal.phase is Phase.STARTTLS
    if is_refused or (session.failed in (Phase.STARTTLS, Phase.TLS) and session.failure not in _HERE):
        return TlsUse.FAILED
    if session.starttls:
        return TlsUse.NOT_TRIED
    return TlsUse.NOT_OFFERED if session.starttls is not None or session.capabilities else None


def validity(certificate: SeenCertificate, at: datetime) -> frozenset[Validity]:
    """Say what is to be said of a certificate at a time; never empty."""
    found = set()
    ends = certificate.not_after
    if not certificate.is_within_validity:
        found.add(Validity.EXPIRED if ends is not None and ends < at else Validity.NOT_IN_DATE)
    elif ends is not None and ends - at <= timedelta(days=EXPIRY_DAYS):
        found.add(Validity.EXPIRES_SOON)
    if certificate.is_name_matched is False:
        found.add(Validity.WRONG_NAME)
    if certificate.is_self_signed:
        found.add(Validity.SELF_SIGNED)
    elif not certificate.is_chain_trusted:
        found.add(Validity.UNTRUSTED)
    if found <= {Validity.EXPIRES_SOON}:
        found.add(Validity.TRUSTED)
    return frozenset(found)


def mta_sts(result: Result) -> str | None:
    """The mode of the MTA-STS policy, or what came of the question for it; None where it was not asked."""
    if result.mta_sts is not None:
        return result.mta_sts
    ids = {each.id for each in result.findings}
    return next((state for state in PolicyState if f"mta-sts-{state}" in ids), None)


def software(result: Result) -> str | None:
    """The software of the first server that tells it."""
    return next((each.software for each in sessions(result) if each.software), None)


def tld(result: Result) -> str | None:
    """The last label of the name; None for an address."""
    return result.name.rpartition(".")[2] or None if result.name else None


GROUPED: Final[dict[Grouping, Callable[[Result], str | None]]] = {
    Grouping.PROVIDER: lambda result: result.provider,
    Grouping.SOFTWARE: software,
    Grouping.TLD: tld,
}
"""How the name of a group is read."""
