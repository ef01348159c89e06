"""What has changed between two probes, and what is no change though it differs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpprobe.checks import judge
from smtpprobe.difference import Change, changes_between, differences, is_certain, masked
from smtpprobe.evidence import (
    Evidence,
    FailureKind,
    LookupStatus,
    Options,
    Phase,
    Policies,
    Reverse,
    TlsaLookup,
)
from smtpprobe.loading import decode
from smtpprobe.report import Severity
from tests.checks.evidence_builder import (
    A1,
    A2,
    DOMAIN,
    EHLO,
    EHLO_INSIDE,
    GREETING,
    MX1,
    MX2,
    NOW,
    STARTTLS,
    certificate,
    dead,
    endpoint,
    evidence,
    healthy,
    host,
    lookup,
    resolved,
    said,
    talk,
    tls,
    trust,
)
from tests.checks.policy_scenarios import BODY, fetched, policed
from tests.checks.scenarios import SCENARIOS

PLACE = f"{MX1} {A1}:25"
RECORDED = sorted((Path(__file__).parent / "data" / "evidence").glob("*.json"))


def changes(old: Evidence, new: Evidence) -> list[Change]:
    return list(changes_between(judge(old), judge(new)))


def facts(old: Evidence, new: Evidence) -> list[Change]:
    """The changes apart from those of findings."""
    return [each for each in changes(old, new) if each.kind != "finding"]


def greeted(text: str) -> Evidence:
    return evidence(talk(endpoint(), said(Phase.GREETING, text), EHLO))


def later(found: Evidence) -> Evidence:
    """The same world on another day, when all took longer."""
    talks = tuple(
        msgspec.structs.replace(
            each, started_s=each.started_s + 1, ended_s=each.ended_s + 7, local_address="192.0.2.99"
        )
        for each in found.conversations
    )
    return msgspec.structs.replace(
        found, started_at=found.started_at + timedelta(hours=1), elapsed_s=99.0, conversations=talks
    )


# --- no changes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", SCENARIOS)
def test_the_same_world_at_another_time_has_not_changed(id: str) -> None:
    assert changes(SCENARIOS[id], SCENARIOS[id]) == []
    assert facts(SCENARIOS[id], later(SCENARIOS[id])) == []


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_evidence_has_not_changed_against_itself(path: Path) -> None:
    recorded = decode(path.read_bytes())
    assert changes(recorded, later(recorded)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "220 mx.google.com ESMTP a640c23a62f3a-b1 - gsmtp",
            "220 mx.google.com ESMTP 5b1f17b1804b1-4f92d6si123.4 - gsmtp",
        ),
        (
            "220 mx.example.org ESMTP Exim 4.96 Tue, 01 Apr 2025 10:00:00 +0000",
            "220 mx.example.org ESMTP Exim 4.96 Fri, 28 Nov 2026 9:01:07 +0200",
        ),
        (
            "220 BL6PEPF0001AB50.mail.example ESMTP ready at Sat, 29 Nov 2026 10:00:00 +0000 [08DE2F1234567890]",
            "220 AM0PEPF0002CD77.mail.example ESMTP ready at Mon, 1 Dec 2026 11:00:00 +0000 [08DE301234567891]",
        ),
        ("220 mx.example.org; Sat, 28 Nov 2026 17:00:01 GMT", "220 mx.example.org; Sun, 29 Nov 2026 17:00:01 GMT"),
    ],
)
def test_ids_and_dates_in_a_greeting_are_no_change(old: str, new: str) -> None:
    assert facts(greeted(old), greeted(new)) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mx1.example.org ESMTP Postfix (Debian/GNU)", "mx1.example.org ESMTP Postfix (Debian/GNU)"),
        ("mx1 ESMTP Sendmail 8.17.1 ready", "mx1 ESMTP Sendmail 8.17.1 ready"),
        ("mx.example.org ESMTP May I help", "mx.example.org ESMTP May I help"),
        ("mta4711.example ESMTP", "#.example ESMTP"),
        ("", ""),
    ],
)
def test_names_and_versions_stay_in_a_greeting(text: str, shown: str) -> None:
    assert masked(text) == shown


@given(st.text(max_size=80))
def test_a_masked_greeting_is_masked_already(text: str) -> None:
    assert masked(masked(text)) == masked(text)


# --- changes --------------------------------------------------------------------------------------------------------


def records(*mx: tuple[int, str], status: LookupStatus | None = None) -> Evidence:
    hosts = tuple(msgspec.structs.replace(host(name, A1), preference=preference) for preference, name in mx)
    question = lookup(DOMAIN, "MX", status=status) if status else None
    return evidence(resolution=resolved(*hosts, mx=question))


def offering(*keywords: str) -> Evidence:
    return evidence(
        talk(endpoint(), GREETING, said(Phase.EHLO, "250-mx1", *(f"250-{each}" for each in keywords), "250 HELP"))
    )


def showing(leaf: object, **facts: bool) -> Evidence:
    return evidence(healthy(handshake=tls(leaf, trust=trust(**facts))), shown=(leaf,))  # type: ignore[arg-type]


def tlsa(*records: str) -> Evidence:
    found = lookup(f"_25._tcp.{MX1}", "TLSA", *records)
    return evidence(healthy(), policies=Policies(tlsa=(TlsaLookup(host=MX1, port=25, base=MX1, lookup=found),)))


def reverse(*names: str) -> Evidence:
    found = Reverse(address=A1, ptr=lookup("1.2.0.192.in-addr.arpa", "PTR", *names))
    return evidence(resolution=resolved(host(MX1, A1), reverse=(found,)))


OLD_LEAF, NEW_LEAF = certificate(days=9), certificate(days=99)
PLAIN = evidence(talk(endpoint(), GREETING, EHLO, STARTTLS))


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (
            records((10, MX1), (20, MX2)),
            records((10, MX1), (30, MX2)),
            Change(kind="mx", old=(f"20 {MX2}",), new=(f"30 {MX2}",)),
        ),
        (
            evidence(resolution=resolved(host(MX1, A1))),
            evidence(resolution=resolved(host(MX1, A1, A2))),
            Change(kind="addresses", where=(MX1,), new=(A2,)),
        ),
        (reverse(MX1), reverse(MX2), Change(kind="reverse", where=(A1,), old=(MX1,), new=(MX2,))),
        (
            evidence(healthy()),
            evidence(dead(endpoint())),
            Change(kind="service", where=(PLACE,), old=("serves",), new=("fails (connect: refused)",)),
        ),
        (
            greeted("220 mx1 ESMTP"),
            evidence(talk(endpoint(), said(Phase.GREETING, "554 no"))),
            Change(kind="greeting", where=(PLACE,), old=("220",), new=("554",)),
        ),
        (
            greeted("220 mx1 ESMTP Exim 4.96"),
            greeted("220 mx1 ESMTP Exim 4.97"),
            Change(kind="software", where=(PLACE,), old=("Exim 4.96",), new=("Exim 4.97",)),
        ),
        (
            greeted("220 mx1 ESMTP"),
            greeted("220 mx1 ESMTP hello"),
            Change(kind="banner", where=(PLACE,), old=("mx1 ESMTP",), new=("mx1 ESMTP hello",)),
        ),
        (
            offering("SIZE 10", "CHUNKING"),
            offering("SIZE 20"),
            Change(kind="capabilities", where=(PLACE,), old=("CHUNKING", "SIZE 10"), new=("SIZE 20",)),
        ),
        (
            offering("AUTH PLAIN LOGIN"),
            offering("AUTH PLAIN XOAUTH2"),
            Change(kind="auth", where=(PLACE,), old=("LOGIN",), new=("XOAUTH2",)),
        ),
        (
            evidence(healthy()),
            evidence(healthy(handshake=tls(version="TLSv1.2"))),
            Change(kind="tls", where=(PLACE,), old=("TLSv1.3",), new=("TLSv1.2",)),
        ),
        (evidence(healthy()), offering(), Change(kind="tls", where=(PLACE,), old=("TLSv1.3",))),
        (
            showing(OLD_LEAF),
            showing(NEW_LEAF),
            Change(
                kind="certificate",
                where=(PLACE,),
                old=(f"CN=R11,O=An Authority 2026-03-23 sha256:{OLD_LEAF.sha256[:16]}",),
                new=(f"CN=R11,O=An Authority 2026-06-21 sha256:{NEW_LEAF.sha256[:16]}",),
            ),
        ),
        (
            showing(NEW_LEAF),
            showing(NEW_LEAF, matched=False),
            Change(kind="trust", where=(PLACE,), old=("true",), new=("false",)),
        ),
        (
            policed(fetched()),
            policed(fetched(BODY.replace(b"enforce", b"testing"))),
            Change(kind="mta-sts", old=("enforce",), new=("testing",)),
        ),
        (
            tlsa("3 1 1 00"),
            tlsa("3 1 1 00", "3 1 1 11"),
            Change(kind="tlsa", where=(f"_25._tcp.{MX1}",), new=("3 1 1 11",)),
        ),
    ],
)  # fmt: skip
def test_a_change_says_what_was_and_what_is(old: Evidence, new: Evidence, change: Change) -> None:
    assert change in facts(old, new)
    back = msgspec.structs.replace(change, old=change.new, new=change.old)
    assert back in facts(new, old)


def test_a_server_that_is_down_is_one_change_and_not_twenty() -> None:
    assert [each.kind for each in facts(evidence(healthy()), evidence(dead(endpoint())))] == ["service"]


def test_what_could_not_be_looked_up_has_not_changed() -> None:
    assert facts(records((10, MX1)), records(status=LookupStatus.TIMEOUT)) == []
    unasked = msgspec.structs.replace(policed(fetched()), policies=Policies(), options=Options(policies=False))
    assert facts(policed(fetched()), unasked) == []


def test_the_same_change_of_several_places_is_told_once() -> None:
    two = (endpoint(), endpoint(MX2, A2))
    old = evidence(*(talk(each, said(Phase.GREETING, "220 mx ESMTP"), EHLO) for each in two))
    new = evidence(*(talk(each, said(Phase.GREETING, "220 mx hello"), EHLO) for each in two))
    assert facts(old, new) == [
        Change(kind="banner", where=(PLACE, f"{MX2} {A2}:25"), old=("mx ESMTP",), new=("mx hello",))
    ]


def test_findings_appear_and_are_resolved_gravest_first() -> None:
    old, new = showing(certificate(days=20)), showing(certificate(days=-2), in_date=False)
    found = [each for each in changes(old, new) if each.kind == "finding"]
    assert [(each.subject, each.where, each.old, each.new) for each in found] == [
        ("certificate-expired", (PLACE,), (), ("warning",)),
        ("certificate-expires-soon", (PLACE,), ("warning",), ()),
    ]


def test_a_finding_that_weighs_more_is_a_change() -> None:
    old = evidence(healthy(), dead(endpoint(MX2, A2)))
    new = evidence(dead(endpoint(), FailureKind.REFUSED), dead(endpoint(MX2, A2)))
    assert Change(
        kind="finding", subject="connection-refused", where=(f"{MX2} {A2}:25",), old=("warning",), new=("error",)
    ) in changes(old, new)
    assert judge(new).status is Severity.ERROR


PLAIN = offering("SIZE")
assert "starttls-missing" in {each.id for each in judge(PLAIN).findings}


def test_a_fault_is_not_mended_by_a_server_that_puts_us_off() -> None:
    busy = evidence(talk(endpoint(), said(Phase.GREETING, "421 too busy")))
    for old, new in ((PLAIN, busy), (busy, PLAIN)):
        found = {each.subject for each in changes(old, new) if each.kind == "finding"}
        assert "temporarily-refused" in found
        assert "starttls-missing" not in found
        assert not any(map(is_certain, changes(old, new))), changes(old, new)


def test_a_fault_is_not_mended_by_a_name_system_that_fails() -> None:
    new = records(status=LookupStatus.TIMEOUT)
    assert "starttls-missing" not in {each.subject for each in changes(PLAIN, new)}


def test_a_fault_that_hides_all_else_is_told_itself() -> None:
    other = healthy(endpoint(MX2, A2))
    plain = evidence(*PLAIN.conversations, other)
    silent = evidence(dead(endpoint(), FailureKind.TIMEOUT), other)
    for old, new, was, now in ((plain, silent, (), ("warning",)), (silent, plain, ("warning",), ())):
        found = [(each.subject, each.old, each.new) for each in changes(old, new) if each.kind == "finding"]
        assert ("connection-timeout", was, now) in found
        assert "starttls-missing" not in {each for each, *_ in found}


def test_what_has_certainly_changed_is_told_apart() -> None:
    shut = evidence(dead(endpoint(), FailureKind.REFUSED))
    assert any(is_certain(each) for each in changes(evidence(healthy()), shut))
    assert all(map(is_certain, changes(showing(certificate(days=20)), showing(certificate(days=-2), in_date=False))))


def test_targets_come_and_go() -> None:
    other = msgspec.structs.replace(
        evidence(healthy()), target=msgspec.structs.replace(evidence().target, text="example.net")
    )
    one, two = judge(evidence(healthy())), judge(other)
    found = differences([one], [two]).targets
    assert [(each.target, each.old_at, each.new_at) for each in found] == [
        (DOMAIN, NOW, None),
        ("example.net", None, NOW),
    ]
    assert [each.changes for each in found] == [
        (Change(kind="target", old=(DOMAIN,)),),
        (Change(kind="target", new=("example.net",)),),
    ]


def test_inside_tls_is_what_counts() -> None:
    changed = said(Phase.EHLO, "250-mx1.example.org", "250 DSN", over_tls=True)
    old = talk(endpoint(), GREETING, EHLO, STARTTLS, tls(), EHLO_INSIDE)
    new = talk(endpoint(), GREETING, EHLO, STARTTLS, tls(), changed)
    assert [each.new for each in facts(evidence(old), evidence(new)) if each.kind == "capabilities"] == [("DSN",)]
