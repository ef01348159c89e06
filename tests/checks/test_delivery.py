"""How each kind of sender would fare: the walk over the MX hosts, and what each stops for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from smtpprobe.checks import judge
from smtpprobe.checks.delivery import deliveries, tried_hosts
from smtpprobe.evidence import (
    Conversation,
    Evidence,
    Exchange,
    FailureKind,
    Family,
    LookupStatus,
    Options,
    Phase,
    Policies,
    Resolution,
)
from smtpprobe.render.view import view
from smtpprobe.report import Delivery, Fate, Sender
from tests.checks.evidence_builder import (
    A1,
    A2,
    DOMAIN,
    EHLO,
    GREETING,
    MX1,
    MX2,
    PLAIN_EHLO,
    STARTTLS,
    dead,
    endpoint,
    evidence,
    failed,
    given,
    healthy,
    host,
    lookup,
    resolved,
    said,
    talk,
    tls,
    trust,
)
from tests.checks.policy_scenarios import (
    BROKEN_TLS,
    CHAIN,
    LOOPBACK,
    RIGHT,
    STS_RECORD,
    UNUSABLE,
    WRONG,
    fetched,
    mode,
    policed,
    secured,
    signed,
    sts_lookup,
    tlsa,
)


def over_tls(second: Exchange) -> Conversation:
    """A server whose TLS works, and what it says to EHLO after that."""
    return talk(endpoint(), GREETING, EHLO, STARTTLS, tls(*CHAIN, trust=trust()), second)


def without_roots(**more: Any) -> Conversation:
    """A server whose certificate nobody on this machine could trust."""
    return healthy(handshake=tls(*CHAIN, trust=trust(chain=False, has_roots=False, **more)))


def lost_after_tls() -> Conversation:
    """A server that closes the connection as soon as TLS stands."""
    return over_tls(failed(Phase.EHLO, FailureKind.CLOSED, over_tls=True))


NO_TLS = talk(endpoint(), GREETING, PLAIN_EHLO)
BROKEN = talk(endpoint(), GREETING, EHLO, STARTTLS, BROKEN_TLS)
BOGUS: dict[str, Any] = {"extended_error": "6 DNSSEC Bogus"}
REFUSED_TLS = talk(endpoint(), GREETING, EHLO, said(Phase.STARTTLS, "454 4.7.0 TLS not available"))
PUT_OFF = talk(endpoint(), said(Phase.GREETING, "421 4.7.0 try again later"))
REFUSED = talk(endpoint(), said(Phase.GREETING, "554 5.7.1 no"))
GREYLISTED = talk(endpoint(), said(Phase.GREETING, "451 4.7.1 Greylisting in action, please come back later"))
BLOCKLISTED = talk(
    endpoint(),
    said(Phase.GREETING, "554 5.7.1 Service unavailable; Client host [203.0.113.7] blocked using zen.spamhaus.org"),
)
CROWDED = talk(
    endpoint(), said(Phase.GREETING, "421 4.7.0 mx1.example.org Error: too many connections from 203.0.113.7")
)
WITHOUT_PTR = talk(
    endpoint(),
    GREETING,
    said(Phase.EHLO, "550 5.7.25 Client host rejected: cannot find your hostname, [203.0.113.7]"),
    said(Phase.HELO, "550 5.7.25 Client host rejected: cannot find your hostname, [203.0.113.7]"),
)
SLOW = talk(endpoint(), failed(Phase.GREETING, FailureKind.TIMEOUT))


def by_sender(evidence: Evidence) -> dict[Sender, Delivery]:
    return {each.sender: each for each in deliveries(evidence)}


def fate(evidence: Evidence, sender: Sender) -> tuple[Fate, str]:
    found = by_sender(evidence)[sender]
    return found.fate, found.reason


@pytest.mark.parametrize(
    ("conversation", "fate_", "reason"),
    [
        (healthy(), Fate.ENCRYPTED, "tls"),
        (secured(is_trusted=False), Fate.ENCRYPTED, "tls"),
        (over_tls(said(Phase.EHLO, "250 mx1", over_tls=True)), Fate.ENCRYPTED, "tls"),
        (over_tls(said(Phase.EHLO, "421 4.3.2 later", over_tls=True)), Fate.DEFERS, "refused-4"),
        (over_tls(said(Phase.EHLO, "554 5.7.1 no", over_tls=True)), Fate.BOUNCES, "refused-5"),
        (over_tls(said(Phase.EHLO, "503 5.5.1 Duplicate EHLO", over_tls=True)), Fate.BOUNCES, "refused-5"),
        (over_tls(failed(Phase.EHLO, FailureKind.TIMEOUT, over_tls=True)), Fate.UNKNOWN, "too-slow"),
        (over_tls(failed(Phase.EHLO, FailureKind.DEADLINE, over_tls=True)), Fate.UNKNOWN, "out-of-time"),
        (NO_TLS, Fate.CLEAR, "starttls-missing"),
        (REFUSED_TLS, Fate.CLEAR, "starttls-refused"),
        (BROKEN, Fate.CLEAR, "handshake-failed"),
        (PUT_OFF, Fate.DEFERS, "refused-4"),
        (REFUSED, Fate.BOUNCES, "refused-5"),
        (GREYLISTED, Fate.DEFERS, "greylisted"),
        (BLOCKLISTED, Fate.UNKNOWN, "client-refused"),
        (CROWDED, Fate.UNKNOWN, "client-refused"),
        (WITHOUT_PTR, Fate.UNKNOWN, "client-refused"),
        (SLOW, Fate.UNKNOWN, "too-slow"),
        (talk(endpoint(), failed(Phase.GREETING, FailureKind.CLOSED)), Fate.DEFERS, "broken-off"),
        (dead(endpoint()), Fate.DEFERS, "no-connection"),
        (dead(endpoint(), FailureKind.TIMEOUT), Fate.UNKNOWN, "no-answer"),
        (dead(endpoint(), FailureKind.NO_ROUTE), Fate.UNKNOWN, "not-from-here"),
        (talk(endpoint(), failed(Phase.GREETING, FailureKind.DEADLINE)), Fate.UNKNOWN, "out-of-time"),
        (dead(endpoint(), FailureKind.OTHER, detail="EMFILE"), Fate.UNKNOWN, "not-from-here"),
    ],
)
def test_an_opportunistic_sender_delivers_wherever_it_can(conversation: Conversation, fate_: Fate, reason: str) -> None:
    assert fate(evidence(conversation, shown=CHAIN), Sender.OPPORTUNISTIC) == (fate_, reason)


@pytest.mark.parametrize(
    ("made", "fate_", "reason"),
    [
        (policed(fetched()), Fate.AUTHENTICATED, "policy-kept"),
        (policed(fetched(), secured(is_trusted=False)), Fate.DEFERS, "policy-untrusted"),
        (policed(fetched(), NO_TLS), Fate.DEFERS, "starttls-missing"),
        (policed(fetched(), BROKEN), Fate.DEFERS, "handshake-failed"),
        (policed(fetched(fetched().body.replace(MX1.encode(), b"mx9.example.org"))), Fate.DEFERS, "policy-not-listed"),
        (
            policed(fetched(fetched().body.replace(MX1.encode(), b"mx9.example.org")), REFUSED),
            Fate.DEFERS,
            "policy-not-listed",
        ),
        (policed(fetched(), lost_after_tls()), Fate.DEFERS, "broken-off"),
        (policed(fetched(mode("testing")), secured(is_trusted=False)), Fate.ENCRYPTED, "policy-testing"),
        (policed(fetched(mode("none"))), Fate.ENCRYPTED, "policy-none"),
        (policed(fetched(status=404)), Fate.ENCRYPTED, "policy-unusable"),
        (policed(fetched(mode("testing")), NO_TLS), Fate.CLEAR, "starttls-missing"),
        # no root on this machine: others have some
        (policed(fetched(), without_roots()), Fate.UNKNOWN, "not-from-here"),
        (policed(fetched(), without_roots(matched=False)), Fate.DEFERS, "policy-untrusted"),
        (policed(fetched(trust=trust(chain=False, has_roots=False))), Fate.UNKNOWN, "not-from-here"),
        (policed(fetched(trust=trust(chain=False, has_roots=False, in_date=False))), Fate.ENCRYPTED, "policy-unusable"),
        (
            evidence(healthy(), policies=Policies(mta_sts=sts_lookup(status=LookupStatus.SERVFAIL))),
            Fate.ENCRYPTED,
            "policy-lookup-failed",
        ),
        (
            evidence(healthy(), policies=Policies(mta_sts=sts_lookup(STS_RECORD.upper()))),
            Fate.ENCRYPTED,
            "policy-unusable",
        ),
        (evidence(healthy()), Fate.ENCRYPTED, "no-policy"),
    ],
)
def test_an_mta_sts_sender_keeps_the_policy_where_there_is_one(made: Evidence, fate_: Fate, reason: str) -> None:
    assert fate(made, Sender.MTA_STS) == (fate_, reason)


@pytest.mark.parametrize(
    ("made", "fate_", "reason"),
    [
        (signed(tlsa(RIGHT)), Fate.AUTHENTICATED, "dane-match"),
        (signed(tlsa(RIGHT), secured(is_trusted=False)), Fate.AUTHENTICATED, "dane-match"),
        (signed(tlsa(RIGHT), mx=False), Fate.ENCRYPTED, "dane-mx-insecure"),
        (signed(tlsa(WRONG)), Fate.DEFERS, "dane-mismatch"),
        (signed(tlsa(WRONG, RIGHT)), Fate.AUTHENTICATED, "dane-match"),
        (signed(tlsa(UNUSABLE)), Fate.ENCRYPTED, "dane-unusable"),
        (signed(tlsa(UNUSABLE), NO_TLS), Fate.DEFERS, "starttls-missing"),
        (signed(tlsa(RIGHT), NO_TLS), Fate.DEFERS, "starttls-missing"),
        (signed(tlsa(RIGHT), BROKEN), Fate.DEFERS, "handshake-failed"),
        (signed(tlsa(RIGHT, secure=False)), Fate.ENCRYPTED, "dane-insecure"),
        (signed(tlsa(RIGHT), addresses=False), Fate.ENCRYPTED, "dane-insecure"),
        (signed(tlsa(RIGHT, secure=False), mx=False, addresses=False), Fate.UNKNOWN, "dane-unverifiable"),
        (signed(tlsa(status=LookupStatus.SERVFAIL), REFUSED), Fate.DEFERS, "dane-lookup-failed"),
        (signed(tlsa(RIGHT), lost_after_tls(), mx=False), Fate.DEFERS, "broken-off"),
        (signed(tlsa(UNUSABLE), lost_after_tls()), Fate.DEFERS, "broken-off"),
        (signed(tlsa(RIGHT), lost_after_tls()), Fate.DEFERS, "broken-off"),
        (signed(tlsa()), Fate.ENCRYPTED, "dane-absent"),
        (signed(tlsa(status=LookupStatus.SERVFAIL)), Fate.DEFERS, "dane-lookup-failed"),
        (signed(tlsa(status=LookupStatus.TIMEOUT)), Fate.DEFERS, "dane-lookup-failed"),
        (signed(tlsa(status=LookupStatus.SERVFAIL), addresses=False), Fate.ENCRYPTED, "dane-absent"),
        (signed(tlsa(RIGHT, resolver="192.0.2.53:53"), resolver="192.0.2.53:53"), Fate.UNKNOWN, "dane-unverifiable"),
    ],
)
def test_a_dane_sender_insists_only_where_dnssec_vouches(made: Evidence, fate_: Fate, reason: str) -> None:
    assert fate(made, Sender.DANE) == (fate_, reason)


def test_a_resolver_elsewhere_is_believed_where_the_caller_says_so() -> None:
    made = signed(tlsa(RIGHT, resolver="192.0.2.53:53"), resolver="192.0.2.53:53")
    options = msgspec.structs.replace(made.options, trust_ad=True)
    assert fate(msgspec.structs.replace(made, options=options), Sender.DANE) == (Fate.AUTHENTICATED, "dane-match")


def test_the_next_host_takes_what_the_first_one_cannot() -> None:
    second = healthy(endpoint(MX2, A2))
    made = evidence(PUT_OFF, second)
    found = by_sender(made)[Sender.OPPORTUNISTIC]
    assert (found.fate, found.host, found.address) == (Fate.ENCRYPTED, MX2, A2)
    assert [(each.host, each.fate) for each in found.attempts] == [(MX1, Fate.DEFERS), (MX2, Fate.ENCRYPTED)]
    assert tried_hosts(found) == (MX1,)
    assert tried_hosts(found, (Fate.UNKNOWN,)) == ()


def test_a_host_that_turned_only_us_away_may_take_the_mail_of_others() -> None:
    made = evidence(BLOCKLISTED, healthy(endpoint(MX2, A2)))
    found = by_sender(made)[Sender.OPPORTUNISTIC]
    assert (found.fate, found.host) == (Fate.ENCRYPTED, MX2)
    assert tried_hosts(found, (Fate.UNKNOWN,)) == (MX1,)
    [way, *_] = [each.way for each in view(judge(made), "en").deliveries]
    assert way == f"to {MX2} unless {MX1} takes it, which cannot be told from here"


def test_where_every_host_turned_only_us_away_the_verdict_is_not_that_mail_waits() -> None:
    made = evidence(CROWDED, talk(endpoint(MX2, A2), *BLOCKLISTED.exchanges))
    assert {(each.fate, each.reason) for each in by_sender(made).values()} == {(Fate.UNKNOWN, "client-refused")}


def test_one_server_that_puts_off_keeps_the_mail_in_the_queue() -> None:
    made = evidence(REFUSED, talk(endpoint(MX2, A2), said(Phase.GREETING, "451 4.3.0 later")))
    assert fate(made, Sender.OPPORTUNISTIC) == (Fate.DEFERS, "refused-4")


def test_one_server_that_cannot_be_judged_leaves_the_end_open() -> None:
    made = evidence(REFUSED, dead(endpoint(MX2, A2), FailureKind.TIMEOUT))
    assert fate(made, Sender.OPPORTUNISTIC)[0] is Fate.UNKNOWN


@pytest.mark.parametrize(
    ("resolution", "fate_", "reason"),
    [
        (Resolution(name=DOMAIN, mx=lookup(DOMAIN, "MX", "0 ."), is_null_mx=True), Fate.BOUNCES, "null-mx"),
        (resolved(mx=lookup(DOMAIN, "MX", status=LookupStatus.NXDOMAIN)), Fate.BOUNCES, "no-domain"),
        (resolved(mx=lookup(DOMAIN, "MX", status=LookupStatus.SERVFAIL)), Fate.UNKNOWN, "dns-unknown"),
        (resolved(mx=lookup(DOMAIN, "MX", status=LookupStatus.UNREACHABLE)), Fate.UNKNOWN, "dns-unknown"),
        (resolved(mx=lookup(DOMAIN, "MX", status=LookupStatus.SERVFAIL, **BOGUS)), Fate.DEFERS, "dns-failed"),
        (resolved(host(MX1, status=LookupStatus.TIMEOUT)), Fate.UNKNOWN, "dns-unknown"),
        (resolved(host(MX1, status=LookupStatus.SERVFAIL, **BOGUS)), Fate.DEFERS, "dns-failed"),
        (resolved(host(MX1, status=LookupStatus.NXDOMAIN)), Fate.BOUNCES, "no-address"),
    ],
)
def test_what_the_name_system_decides_holds_for_every_sender(resolution: Resolution, fate_: Fate, reason: str) -> None:
    found = by_sender(evidence(resolution=resolution))
    assert {(each.fate, each.reason) for each in found.values()} == {(fate_, reason)}
    assert set(found) == set(Sender)


def test_who_asks_for_one_kind_of_address_does_not_know_of_the_other() -> None:
    made = evidence(resolution=resolved(host(MX1)), options=Options(family=Family.IPV4))
    assert {(each.fate, each.reason) for each in by_sender(made).values()} == {(Fate.UNKNOWN, "one-family")}


def test_a_failing_policy_host_does_not_touch_dane_and_the_other_way_round() -> None:
    made = signed(tlsa(RIGHT))
    policies = msgspec.structs.replace(made.policies, mta_sts=sts_lookup(STS_RECORD), policy=fetched(status=500))
    assert fate(msgspec.structs.replace(made, policies=policies), Sender.DANE) == (Fate.AUTHENTICATED, "dane-match")
    other = policed(fetched())
    broken = tlsa(status=LookupStatus.SERVFAIL, resolver=LOOPBACK)
    policies = msgspec.structs.replace(other.policies, tlsa=broken.tlsa)
    assert fate(msgspec.structs.replace(other, policies=policies), Sender.MTA_STS) == (
        Fate.AUTHENTICATED,
        "policy-kept",
    )


def test_a_host_that_is_no_mail_domain_has_no_verdict() -> None:
    assert deliveries(evidence(talk(given(), GREETING, PLAIN_EHLO), resolution=Resolution(name=DOMAIN))) == ()


def test_the_report_has_the_verdict_of_each_sender() -> None:
    report = judge(evidence(healthy(), policies=Policies()))
    assert [each.sender for each in report.deliveries] == list(Sender)


def test_a_machine_without_roots_accuses_neither_the_policy_host_nor_the_servers() -> None:
    made = policed(fetched(trust=trust(chain=False, has_roots=False)), without_roots())
    ids = {each.id for each in judge(made).findings}
    assert "trust-store-missing" in ids
    assert ids.isdisjoint({"mta-sts-policy-certificate", "mta-sts-mx-untrusted"})
    kept = {each.id for each in judge(policed(fetched(), without_roots())).findings}
    assert "mta-sts-enforced" in kept
    assert "mta-sts-mx-untrusted" not in kept


def test_a_refusal_is_not_the_end_while_the_address_of_another_host_is_not_known() -> None:
    resolution = resolved(host(MX1, A1), host(MX2, status=LookupStatus.SERVFAIL))
    for first in (REFUSED, dead(endpoint())):  # which alone would be the end, or a wait
        made = evidence(first, resolution=resolution)
        assert fate(made, Sender.OPPORTUNISTIC) == (Fate.UNKNOWN, "dns-unknown")
    resolution = resolved(host(MX1, A1), host(MX2, status=LookupStatus.SERVFAIL, **BOGUS))
    assert fate(evidence(REFUSED, resolution=resolution), Sender.OPPORTUNISTIC) == (Fate.DEFERS, "dns-failed")
    assert fate(evidence(dead(endpoint()), resolution=resolution), Sender.OPPORTUNISTIC)[1] == "no-connection"
    resolution = resolved(host(MX1, A1), host(MX2, status=LookupStatus.NXDOMAIN))
    assert fate(evidence(REFUSED, resolution=resolution), Sender.OPPORTUNISTIC) == (Fate.BOUNCES, "refused-5")
