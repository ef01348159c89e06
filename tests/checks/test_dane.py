"""DANE of an endpoint: which names count, whose word is believed, and which records are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from smtpprobe.checks import judge
from smtpprobe.checks.delivery import deliveries
from smtpprobe.checks.securing import DaneState, dane_of, names_for
from smtpprobe.evidence import (
    Certificate,
    Evidence,
    FailureKind,
    HostOrigin,
    Lookup,
    LookupStatus,
    MxHost,
    Phase,
    Policies,
    TlsaLookup,
)
from smtpprobe.policies.dane import record_for
from smtpprobe.reference.model import Confidence
from smtpprobe.report import Fate, Finding, Sender, Severity
from tests.checks.evidence_builder import (
    A1,
    DOMAIN,
    EHLO,
    GREETING,
    MX1,
    MX2,
    PLAIN_EHLO,
    STARTTLS,
    endpoint,
    evidence,
    failed,
    healthy,
    host,
    lookup,
    resolved,
    said,
    talk,
    tls,
    tls_failed,
    trust,
)
from tests.checks.policy_scenarios import (
    CHAIN,
    LEAF,
    LOOPBACK,
    RIGHT,
    UNUSABLE,
    WRONG,
    fetched,
    mode,
    policed,
    signed,
    tlsa,
)

LEADS_OUT = "mx.example.net"


def state(made: Evidence) -> DaneState | None:
    found = dane_of(made, made.conversations[0])
    return None if found is None else found.state


def finding(made: Evidence, id_: str) -> Finding | None:
    return next((each for each in judge(made).findings if each.id == id_), None)


def at_alias(alias: Lookup | None, *records: str, status: LookupStatus = LookupStatus.ANSWERED) -> Evidence:
    """An MX host whose name leads to addresses for which DNSSEC does not vouch."""
    made = signed(tlsa(*records, status=status))
    address = lookup(MX1, "A", A1, aliases=(MX1,), canonical_name=LEADS_OUT, resolver=LOOPBACK)
    host = MxHost(name=MX1, origin=HostOrigin.MX, preference=10, addresses=(A1,), lookups=(address,))
    policies = msgspec.structs.replace(
        made.policies, tlsa=(msgspec.structs.replace(made.policies.tlsa[0], alias=alias),)
    )
    resolution = msgspec.structs.replace(made.resolution, hosts=(host,))
    return msgspec.structs.replace(made, policies=policies, resolution=resolution)


def cname(*, secure: bool = True, status: LookupStatus = LookupStatus.ANSWERED) -> Lookup:
    return lookup(MX1, "CNAME", LEADS_OUT, authenticated=secure, status=status, resolver=LOOPBACK)


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (at_alias(cname(), RIGHT), DaneState.MATCH),
        (at_alias(cname(), WRONG), DaneState.MISMATCH),
        (at_alias(cname(), status=LookupStatus.SERVFAIL), DaneState.BOGUS),
        (at_alias(cname(secure=False), RIGHT), DaneState.INSECURE),
        (at_alias(cname(secure=False), status=LookupStatus.SERVFAIL), DaneState.ABSENT),
        (at_alias(cname(status=LookupStatus.SERVFAIL), RIGHT), DaneState.BOGUS),
        (at_alias(None, RIGHT), DaneState.INSECURE),
    ],
)
def test_a_secure_alias_suffices_though_its_end_is_not(made: Evidence, wanted: DaneState) -> None:
    """RFC 7672 2.2.2, "insecure CNAME"."""
    assert state(made) is wanted


@pytest.mark.parametrize(("record", "wanted"), [(RIGHT, DaneState.MATCH), (WRONG, DaneState.MISMATCH)])
def test_for_an_address_that_is_given_by_hand_the_caller_vouches(record: str, wanted: DaneState) -> None:
    made = signed(tlsa(record))
    given = Lookup(name=MX1, rrtype="A", status=LookupStatus.OVERRIDDEN, records=(A1,))
    host = MxHost(name=MX1, origin=HostOrigin.MX, preference=10, addresses=(A1,), lookups=(given,))
    resolution = msgspec.structs.replace(made.resolution, hosts=(host,))
    assert state(msgspec.structs.replace(made, resolution=resolution)) is wanted


@pytest.mark.parametrize("secure", [True, False])
def test_records_that_are_not_signed_are_called_so_only_by_a_resolver_that_validates(secure: bool) -> None:
    made = signed(tlsa(RIGHT, secure=False), mx=False, addresses=False)
    root = lookup(".", "SOA", "a.root", authenticated=secure, resolver=LOOPBACK)
    made = msgspec.structs.replace(made, policies=msgspec.structs.replace(made.policies, root=root))
    assert state(made) is (DaneState.INSECURE if secure else DaneState.UNVALIDATED)


@pytest.mark.parametrize(
    ("mx", "names"),
    [
        ({"authenticated": True}, (MX1, DOMAIN)),
        ({"authenticated": True, "canonical_name": "mail.example.net"}, (MX1, DOMAIN, "mail.example.net")),
        ({"authenticated": False}, (MX1,)),  # who can forge the MX record could name any domain's
    ],
)
def test_the_names_of_the_domain_count_where_its_mx_is_secure(mx: dict[str, Any], names: tuple[str, ...]) -> None:
    made = signed(tlsa(RIGHT))
    found = lookup(DOMAIN, "MX", f"10 {MX1}", resolver=LOOPBACK, **mx)
    resolution = msgspec.structs.replace(made.resolution, mx=found)
    made = msgspec.structs.replace(made, resolution=resolution)
    assert names_for(made, endpoint(), made.policies.tlsa[0]) == names


def test_the_alias_of_an_mx_host_is_no_name_that_counts_where_the_records_stand_at_its_end() -> None:
    made = signed(tlsa(RIGHT))
    at_end = msgspec.structs.replace(made.policies.tlsa[0], base=LEADS_OUT)
    assert names_for(made, endpoint(), at_end) == (LEADS_OUT, DOMAIN)
    assert names_for(made, endpoint(origin=HostOrigin.GIVEN), at_end) == (LEADS_OUT, MX1)


def shown(*chain: Certificate) -> Evidence:
    conversation = healthy(handshake=tls(*chain, trust=trust()))
    return msgspec.structs.replace(signed(tlsa(), conversation), started_at=datetime.now(UTC))


def test_the_record_of_an_authority_is_told_only_where_it_would_fit() -> None:
    found = finding(shown(*CHAIN), "dane-not-published")
    authority = record_for(CHAIN[1].der, usage=2)
    assert found is not None
    assert found.params["authority"] == authority
    reordered = finding(shown(LEAF, LEAF, CHAIN[1]), "dane-not-published")
    assert reordered is not None
    assert reordered.params["authority"] == authority
    alone = finding(shown(LEAF), "dane-not-published")
    assert alone is not None
    assert alone.params["authority"] == "-"


@pytest.mark.parametrize(
    ("steps", "is_certain"),
    [
        ((EHLO, said(Phase.STARTTLS, "454 4.7.0 not now")), False),
        ((EHLO, said(Phase.STARTTLS, "502 5.5.1 what?")), True),
        ((PLAIN_EHLO,), True),
        ((failed(Phase.EHLO, FailureKind.TIMEOUT),), False),
        ((EHLO, STARTTLS, tls_failed(FailureKind.TLS_ALERT, "internal_error")), True),
        ((EHLO, STARTTLS, tls_failed(FailureKind.TLS_LOCAL)), False),
        ((EHLO, STARTTLS, tls_failed(FailureKind.TIMEOUT)), False),
    ],
    ids=["put off", "refused", "not offered", "silent", "alert", "our library", "too slow"],
)
def test_records_of_a_server_without_tls_keep_dane_senders_out(steps: tuple[Any, ...], is_certain: bool) -> None:
    made = signed(tlsa(RIGHT), talk(endpoint(), GREETING, *steps))
    id_, other = ("dane-without-tls", "dane-untested") if is_certain else ("dane-untested", "dane-without-tls")
    assert finding(made, id_) is not None
    assert finding(made, other) is None


def test_records_that_cannot_be_used_demand_tls_all_the_same() -> None:
    made = signed(tlsa(UNUSABLE), talk(endpoint(), GREETING, PLAIN_EHLO))
    assert {each.id for each in judge(made).findings} >= {"dane-unusable", "dane-without-tls"}
    assert finding(signed(tlsa(UNUSABLE)), "dane-without-tls") is None


TA = f"2 1 1 {CHAIN[1].spki_sha256}"
UNTRUSTED = trust(chain=False, is_self_signed=True)
MISNAMED = trust(matched=False, in_date=False, name=MX1)
ENDED = CHAIN[0].not_after or datetime.max.replace(tzinfo=UTC)


def about_the_certificate(made: Evidence) -> dict[str, object]:
    return {each.id: each.severity for each in judge(made).findings if each.id.startswith("certificate-")}


def test_what_dane_makes_up_for_is_one_note() -> None:
    """RFC 7671 5.1: of the names, dates and issuer of a certificate that DANE-EE names, nothing counts."""
    flawed = healthy(handshake=tls(*CHAIN, trust=msgspec.structs.replace(MISNAMED, is_chain_trusted=False)))
    made = msgspec.structs.replace(signed(tlsa(RIGHT), flawed), started_at=ENDED + timedelta(days=3))
    assert about_the_certificate(made) == {"certificate-only-by-dane": Severity.INFO}
    note = finding(made, "certificate-only-by-dane")
    assert note is not None
    assert note.params["flaws"] == ("expired", "wrong-name", "unknown-issuer")


def test_a_certificate_that_ends_soon_is_a_note_where_its_dates_do_not_count() -> None:
    soon = ENDED - timedelta(hours=1)
    for records, severity in (((RIGHT,), Severity.INFO), ((), Severity.WARNING)):
        made = msgspec.structs.replace(signed(tlsa(*records)), started_at=soon)
        assert about_the_certificate(made)["certificate-expires-soon"] is severity


def test_an_authority_by_dane_makes_up_for_the_issuer_alone() -> None:
    untrusted = healthy(handshake=tls(*CHAIN, trust=UNTRUSTED))
    made = msgspec.structs.replace(signed(tlsa(TA), untrusted), started_at=datetime.now(UTC))
    assert about_the_certificate(made) == {"certificate-only-by-dane": Severity.INFO}
    misnamed = healthy(handshake=tls(*CHAIN, trust=trust(matched=False, name=MX1)))
    made = msgspec.structs.replace(signed(tlsa(TA), misnamed), started_at=datetime.now(UTC))
    assert about_the_certificate(made) == {"certificate-name-mismatch": Severity.WARNING}


@pytest.mark.parametrize(
    ("name", "id_"), [("enforce", "certificate-self-signed"), ("none", "certificate-only-by-dane")]
)
def test_dane_makes_up_for_nothing_where_a_policy_asks_for_a_trusted_certificate(name: str, id_: str) -> None:
    made = signed(tlsa(RIGHT), healthy(handshake=tls(*CHAIN, trust=UNTRUSTED)))
    published = policed(fetched(mode(name))).policies
    both = msgspec.structs.replace(made.policies, mta_sts=published.mta_sts, policy=published.policy)
    made = msgspec.structs.replace(made, policies=both, started_at=datetime.now(UTC))
    assert set(about_the_certificate(made)) == {id_}


@pytest.mark.parametrize("records", [(WRONG,), (UNUSABLE,), ()])
def test_records_that_do_not_fit_make_up_for_nothing(records: tuple[str, ...]) -> None:
    made = signed(tlsa(*records), healthy(handshake=tls(*CHAIN, trust=UNTRUSTED)))
    made = msgspec.structs.replace(made, started_at=datetime.now(UTC))
    assert about_the_certificate(made) == {"certificate-self-signed": Severity.WARNING}


def test_dane_makes_up_for_nothing_towards_mail_programs() -> None:
    at_465 = msgspec.structs.replace(tlsa(RIGHT).tlsa[0], port=465)
    program = healthy(endpoint(port=465), tls(*CHAIN, trust=UNTRUSTED))
    assert "certificate-self-signed" in about_the_certificate(signed(Policies(tlsa=(at_465,)), program))


def test_two_records_for_one_key_are_no_rollover() -> None:
    twice = (RIGHT, record_for(LEAF.der) or "", f"3 0 1 {LEAF.sha256}")
    assert finding(signed(tlsa(*twice)), "dane-without-rollover") is not None
    assert finding(signed(tlsa(RIGHT, WRONG)), "dane-without-rollover") is None


@pytest.mark.parametrize(("base", "sure"), [(MX1, Confidence.CERTAIN), ("end.example.net", Confidence.LIKELY)])
def test_a_mismatch_is_not_certain_where_a_sender_would_have_asked_for_another_name(
    base: str, sure: Confidence
) -> None:
    made = signed(tlsa(WRONG))
    at_base = msgspec.structs.replace(made.policies.tlsa[0], base=base)
    found = finding(msgspec.structs.replace(made, policies=Policies(tlsa=(at_base,))), "dane-mismatch")
    assert found is not None
    assert found.confidence is sure


def test_a_dane_sender_passes_over_what_does_not_fit_and_tries_the_next() -> None:
    """RFC 7672 2.2: of three hosts the first puts off, the second has the wrong certificate, the third is right."""
    names = (MX1, MX2, "mx3.example.org")
    places = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
    ends = [endpoint(name, place) for name, place in zip(names, places, strict=True)]
    handshake = tls(*CHAIN, trust=trust())
    talks = (
        talk(ends[0], said(Phase.GREETING, "421 4.3.2 later")),
        *(talk(end, GREETING, EHLO, STARTTLS, handshake) for end in ends[1:]),
    )
    looked_up = {
        name: lookup(f"_25._tcp.{name}", "TLSA", record, authenticated=True, resolver=LOOPBACK)
        for name, record in zip(names, (RIGHT, WRONG, RIGHT), strict=True)
    }
    policies = Policies(
        tlsa=tuple(TlsaLookup(host=name, port=25, base=name, lookup=each) for name, each in looked_up.items())
    )
    records = tuple(f"{rank}0 {name}" for rank, name in enumerate(names, 1))
    resolution = resolved(
        *(host(name, place, authenticated=True, resolver=LOOPBACK) for name, place in zip(names, places, strict=True)),
        mx=lookup(DOMAIN, "MX", *records, authenticated=True, resolver=LOOPBACK),
    )
    made = evidence(*talks, policies=policies, resolution=resolution, shown=CHAIN)
    found = {each.sender: each for each in deliveries(made)}
    assert (found[Sender.OPPORTUNISTIC].fate, found[Sender.OPPORTUNISTIC].host) == (Fate.ENCRYPTED, MX2)
    assert (found[Sender.DANE].fate, found[Sender.DANE].host) == (Fate.AUTHENTICATED, names[2])
    assert [each.reason for each in found[Sender.DANE].attempts] == ["refused-4", "dane-mismatch", "dane-match"]
