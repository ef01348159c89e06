"""What results come to: every target counted once, every share of a number that is said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpprobe.evidence import FailureKind, LookupStatus, Phase, Role
from smtpprobe.report import GRAVITY, Severity
from smtpprobe.scan import counting
from smtpprobe.scan.claims import (
    Adoption,
    Grouping,
    Reachability,
    TlsUse,
    Validity,
    adoption,
    reachability,
    tls_use,
    validity,
)
from smtpprobe.scan.counting import Counting, overview_of
from smtpprobe.scan.distinct import Distinct
from smtpprobe.scan.overview import Overview, Shares
from smtpprobe.scan.results import Found, Host, Result, SeenReply, Session, Standing
from tests.scan.made import AT, certificate, found, full, good, refused, result, silent, town

SPARED = Session(address="10.0.0.1", port=25, skipped="not-public")


def shown(shares: Shares) -> dict[str | None, int]:
    return {row.id: row.count for row in shares.rows if row.count}


# --- one result -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (result("a.test", good()), Reachability.REACHABLE),
        (result("a.test", silent(), good()), Reachability.REACHABLE),
        (result("a.test", refused()), Reachability.REFUSED),
        (result("a.test", good(capabilities=(), starttls=None, tls=None)), Reachability.REFUSED),
        (result("a.test", silent()), Reachability.NO_ANSWER),
        (result("a.test", silent(failure=FailureKind.NO_ROUTE), silent()), Reachability.NO_ANSWER),
        (result("a.test", silent(failure=FailureKind.NO_ROUTE)), Reachability.NOT_FROM_HERE),
        (result("a.test", SPARED), Reachability.LEFT_ALONE),
        (result("a.test", hosts=(), mx=None, skipped="excluded"), Reachability.LEFT_ALONE),
        (result("a.test", SPARED, skipped="not-public", outcome=Standing.LEFT_ALONE), Reachability.LEFT_ALONE),
        (result("a.test", SPARED, skipped="not-public", outcome=Standing.ERROR), Reachability.NO_HOST),
        (result("a.test", hosts=(), outcome=Standing.NULL_MX), Reachability.NULL_MX),
        (result("a.test", hosts=(), is_null_mx=True), Reachability.NULL_MX),
        (result("a.test", hosts=(), mx=LookupStatus.NXDOMAIN), Reachability.NO_HOST),
        (result("a.test", hosts=(), mx=LookupStatus.TIMEOUT), Reachability.DNS_FAILED),
        (result("a.test", hosts=(Host(name="mx.a.test", status=LookupStatus.SERVFAIL),)), Reachability.DNS_FAILED),
        (result("a.test", hosts=(Host(name="mx.a.test", status=LookupStatus.NO_DATA),)), Reachability.NO_HOST),
    ],
)
def test_how_far_one_got_with_a_target(given_: Result, expected: Reachability) -> None:
    assert reachability(given_) is expected


@pytest.mark.parametrize(
    ("sessions", "expected"),
    [
        ([good(), good()], Adoption.ALL),
        ([good(), good(starttls=False)], Adoption.SOME),
        ([good(starttls=False), silent()], Adoption.NONE),
        ([silent()], None),
        ([good(role=Role.SUBMISSIONS, starttls=False)], None),
    ],
)
def test_adoption_is_of_the_servers_that_could_be_asked(sessions: list[Session], expected: Adoption | None) -> None:
    assert adoption(result("a.test", *sessions)) is expected


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        (good(), "TLSv1.3"),
        (good(tls=None), TlsUse.NOT_TRIED),
        (good(tls=None, failed=Phase.TLS, failure=FailureKind.TLS_ALERT), TlsUse.FAILED),
        (good(tls=None, failed=Phase.TLS, failure=FailureKind.INTERRUPTED), TlsUse.NOT_TRIED),
        (good(tls=None, refusal=SeenReply(phase=Phase.STARTTLS, code=454)), TlsUse.FAILED),
        (good(tls=None, starttls=False), TlsUse.NOT_OFFERED),
        (good(tls=None, starttls=None, capabilities=(), failed=Phase.TLS), TlsUse.FAILED),
        (silent(), None),
    ],
)
def test_what_came_of_tls(session: Session, expected: str | None) -> None:
    assert tls_use(session) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {Validity.TRUSTED}),
        ({"is_name_matched": None}, {Validity.TRUSTED}),
        ({"not_after": AT + timedelta(days=21)}, {Validity.TRUSTED, Validity.EXPIRES_SOON}),
        ({"not_after": AT + timedelta(days=21, seconds=1)}, {Validity.TRUSTED}),
        ({"not_after": AT - timedelta(1), "is_within_validity": False}, {Validity.EXPIRED}),
        ({"is_within_validity": False}, {Validity.NOT_IN_DATE}),
        ({"is_name_matched": False}, {Validity.WRONG_NAME}),
        ({"is_self_signed": True, "is_chain_trusted": False}, {Validity.SELF_SIGNED}),
        ({"is_chain_trusted": False, "is_name_matched": False}, {Validity.UNTRUSTED, Validity.WRONG_NAME}),
        ({"not_after": None, "is_chain_trusted": False}, {Validity.UNTRUSTED}),
    ],
)
def test_what_is_to_be_said_of_a_certificate(changes: dict[str, Any], expected: set[Validity]) -> None:
    assert validity(certificate(**changes), AT) == expected


# --- many results ---------------------------------------------------------------------------------------------------


def test_a_scan_comes_to_its_counts() -> None:
    seen = overview_of(town())
    assert seen.targets == 9
    assert (seen.began_at, seen.ended_at) == (AT, AT + timedelta(minutes=1))
    assert (seen.endpoints.count, seen.endpoints.is_exact) == (8, True)
    assert shown(seen.outcomes) == {"ok": 1, "warning": 1, "error": 4, "null-mx": 1, "inconclusive": 2}
    assert shown(seen.reachability) == {
        "reachable": 4,
        "refused": 1,
        "no-answer": 1,
        "null-mx": 1,
        "no-host": 1,
        "dns-failed": 1,
    }
    assert (seen.starttls.of, shown(seen.starttls)) == (4, {"all": 3, "some": 1})
    assert (seen.tls.of, shown(seen.tls)) == (6, {"TLSv1.3": 4, "TLSv1.2": 1, "not-offered": 1})
    assert seen.certificates.of == 5
    assert shown(seen.certificates) == {
        "trusted": 3,
        "expires-soon": 1,
        "expired": 1,
        "wrong-name": 1,
        "self-signed": 1,
    }
    assert (seen.providers.of, shown(seen.providers)) == (6, {"Google": 2, None: 4})
    assert (seen.software.of, shown(seen.software)) == (4, {"Postfix": 3, "Exim": 1})


def test_a_light_scan_says_nothing_of_policies() -> None:
    seen = overview_of(town())
    assert seen.dane.of == seen.mta_sts.of == 0
    assert seen.deliveries == ()


def test_a_full_scan_counts_policies_and_deliveries() -> None:
    seen = overview_of([*full(), *town()])
    assert (seen.dane.of, shown(seen.dane)) == (2, {"not-published": 1, "match": 1})
    assert (seen.mta_sts.of, shown(seen.mta_sts)) == (2, {"enforce": 1, "not-published": 1})
    assert [each.sender for each in seen.deliveries] == ["opportunistic", "mta-sts", "dane"]
    assert shown(seen.deliveries[2].fates) == {"authenticated": 1, "encrypted": 1, "bounces": 1}


def test_a_policy_that_could_not_be_looked_up_is_not_missing() -> None:
    unsure = result("a.test", findings=(found("mta-sts-lookup-failed", Severity.INCONCLUSIVE),))
    assert shown(overview_of([unsure]).mta_sts) == {"lookup-failed": 1}


def test_an_endpoint_that_was_left_alone_is_not_counted() -> None:
    seen = overview_of([result("a.test", good(), Session(address="192.0.2.99", port=25, skipped="excluded"))])
    assert seen.endpoints.count == 1


def test_who_was_not_asked_did_not_fail_to_answer() -> None:
    results = [
        result("a.test", good(), provider="Google"),
        result("b.test", silent(), outcome=Standing.ERROR),
        result("c.test", SPARED, skipped="not-public", outcome=Standing.LEFT_ALONE),
        result("d.test", hosts=(), mx=None, skipped="excluded", outcome=Standing.LEFT_ALONE),
    ]
    seen = overview_of(results, group_by=Grouping.TLD)
    assert shown(seen.outcomes) == {"ok": 1, "error": 1, "left-alone": 2}
    assert shown(seen.reachability) == {"reachable": 1, "no-answer": 1, "left-alone": 2}
    assert (seen.providers.of, shown(seen.providers)) == (2, {"Google": 1, None: 1})
    assert seen.groups is not None
    assert [(group.targets, group.left_alone, group.reachable) for group in seen.groups.rows] == [(4, 2, 1)]


def test_no_result_claims_nothing() -> None:
    seen = overview_of([])
    assert (seen.targets, seen.began_at, seen.endpoints.count) == (0, None, 0)
    assert not any(row.count for row in seen.outcomes.rows)
    assert (seen.replies.of, seen.findings.of, seen.problems.of) == (0, 0, 0)


def test_refusals_say_what_they_mean() -> None:
    replies = overview_of(town()).replies
    assert replies.of == 2
    assert [(row.code, row.enhanced, row.phase, row.diagnosis, row.code_key) for row in replies.rows] == [
        (421, "4.7.0", Phase.EHLO, "too-many-connections", "421.ehlo"),
        (554, "5.7.1", Phase.GREETING, "ip-blocklisted", "554.greeting"),
    ]


def test_the_code_before_a_text_is_no_part_of_its_meaning() -> None:
    for text in ("Too many connections", "421 Too many connections"):
        (row,) = overview_of([result("a.test", refused(421, Phase.EHLO, text=text))]).replies.rows
        assert (row.diagnosis, row.example) == ("too-many-connections", text)


@given(st.one_of(st.none(), st.integers()), st.one_of(st.none(), st.text()), st.sampled_from(Phase), st.text())
def test_whatever_a_file_calls_a_reply_is_counted(code: Any, enhanced: Any, phase: Phase, text: str) -> None:
    replies = overview_of([result("a.test", refused(code, phase, enhanced=enhanced, text=text))]).replies
    assert [(row.code, row.count) for row in replies.rows] == [(code, 1)]


def test_an_enhanced_code_that_is_none_tells_nothing() -> None:
    for enhanced in ("x", "5.7", "9.9.9", "5.7.1\n", "٥.7.1"):
        (row,) = overview_of([result("a.test", refused(554, enhanced=enhanced))]).replies.rows
        assert (row.enhanced, row.code_key) == (enhanced, "554.greeting")


def test_findings_stand_gravest_first_and_then_most_frequent() -> None:
    more = [result(f"x{n}.test", findings=(found("certificate-self-signed", Severity.WARNING),)) for n in range(3)]
    rows = overview_of([*town(), *more], top=100).findings.rows
    assert [row.severity for row in rows] == sorted((row.severity for row in rows), key=GRAVITY.index)
    assert {row.id: row.targets for row in rows}["certificate-self-signed"] == 4
    warnings = [row.id for row in rows if row.severity is Severity.WARNING]
    assert warnings == ["certificate-self-signed", "certificate-expires-soon"]


def test_a_finding_of_two_severities_is_one_row_with_the_graver() -> None:
    two = [
        result(f"{each}.test", findings=(found("starttls-missing", each),))
        for each in (Severity.WARNING, Severity.ERROR)
    ]
    (row,) = overview_of(two).findings.rows
    assert (row.severity, row.targets) == (Severity.ERROR, 2)


def test_the_worst_targets_are_those_with_most_errors() -> None:
    problems = overview_of(town(), top=2).problems
    assert problems.of == 4
    assert [(row.target, row.errors, row.places, row.warnings) for row in problems.rows] == [
        ("delta.test", ("starttls-missing", "certificate-name-mismatch"), 3, 1),
        ("gone.test", ("domain-not-found",), 1, 0),
    ]


@pytest.mark.parametrize(
    ("by", "names"),
    [
        (Grouping.PROVIDER, ["Google", None]),
        (Grouping.SOFTWARE, ["Postfix", "Exim", None]),
        (Grouping.TLD, ["test", "example"]),
    ],
)
def test_groups_hold_every_target_once(by: Grouping, names: list[str | None]) -> None:
    groups = overview_of(town(), group_by=by).groups
    assert groups is not None
    assert [row.name for row in groups.rows] == names
    assert sum(row.targets for row in groups.rows) == 9
    assert groups.others is None


def test_a_group_says_of_how_many_each_number_is() -> None:
    groups = overview_of(town(), group_by=Grouping.TLD).groups
    assert groups is not None
    row = groups.rows[0]
    assert (row.targets, row.reachable, row.errors) == (7, 2, 4)
    assert (row.asked_starttls, row.starttls) == (2, 1)
    assert (row.with_certificate, row.trusted) == (2, 0)


def test_what_is_not_among_the_first_is_summed_up() -> None:
    results = [result(f"a.{tld}", good(), provider=tld) for tld in ("aa", "aa", "bb", "cc", "dd")]
    seen = overview_of(results, top=2, group_by=Grouping.TLD)
    assert shown(seen.providers) == {"aa": 2, "bb": 1}
    assert seen.providers.others == 2
    assert seen.groups is not None
    assert seen.groups.others is not None
    assert seen.groups.others.targets == 2


def test_memory_is_bounded_however_many_names_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MAX_KINDS", 5)
    results = [
        result(f"a.x{n}", refused(500 + n), provider=f"p{n}", findings=(found(f"f{n}"),), outcome=Standing.ERROR)
        for n in range(20)
    ]
    seen = overview_of(results, top=3, group_by=Grouping.TLD)
    assert (len(seen.providers.rows), seen.providers.others) == (3, 17)
    assert (len(seen.replies.rows), seen.replies.others) == (3, 17)
    assert len(seen.problems.rows) == 3
    assert seen.groups is not None
    assert seen.groups.others is not None
    assert seen.groups.others.targets == 17


def test_long_names_are_cut() -> None:
    seen = overview_of([result("x" * 1000, good(), provider="p" * 1000, outcome=Standing.ERROR)])
    assert seen.providers.rows[0].id == "p" * counting.MAX_NAME
    assert seen.problems.rows[0].target == "x" * counting.MAX_NAME


@pytest.mark.parametrize("top", [0, -1, 1001])
def test_a_list_has_a_sensible_length(top: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        Counting(top=top)


SESSIONS = st.one_of(
    st.builds(
        good,
        address=st.ip_addresses(v=4).map(str),
        starttls=st.sampled_from([True, False, None]),
        tls=st.sampled_from(["TLSv1.3", "TLSv1.2", "SSLv9", None]),
        software=st.sampled_from(["Postfix", "Exim", None]),
        certificate=st.one_of(
            st.none(),
            st.builds(
                certificate,
                is_chain_trusted=st.booleans(),
                is_name_matched=st.sampled_from([True, False, None]),
                is_within_validity=st.booleans(),
                is_self_signed=st.booleans(),
            ),
        ),
    ),
    st.builds(silent, failure=st.sampled_from(FailureKind)),
    st.builds(refused, code=st.one_of(st.none(), st.integers(200, 599)), phase=st.sampled_from(Phase)),
)


@st.composite
def results(draw: st.DrawFn) -> Result:
    ids = st.sampled_from(["starttls-missing", "certificate-expired", "null-mx"])
    findings = draw(st.lists(st.builds(Found, id=ids, severity=st.sampled_from(Severity)), unique_by=lambda f: f.id))
    return result(
        draw(st.sampled_from(["a.example", "b.test", "c.de"])),
        *draw(st.lists(SESSIONS, max_size=3)),
        outcome=draw(st.sampled_from(Standing)),
        provider=draw(st.sampled_from(["Google", "Yahoo", None])),
        mx=draw(st.sampled_from(LookupStatus)),
        is_null_mx=draw(st.booleans()),
        skipped=draw(st.sampled_from(["excluded", None])),
        dane=draw(st.sampled_from(["match", "none", None])),
        mta_sts=draw(st.sampled_from(["enforce", "odd", None])),
        findings=tuple(findings),
    )


def adds_up(shares: Shares) -> None:
    assert sum(row.count for row in shares.rows) + shares.others == shares.of


@given(st.lists(results(), max_size=12), st.integers(1, 4), st.sampled_from(Grouping))
def test_totals_add_up(given_: list[Result], top: int, by: Grouping) -> None:
    seen: Overview = overview_of(given_, top=top, group_by=by)
    for shares in (
        seen.outcomes,
        seen.reachability,
        seen.starttls,
        seen.tls,
        seen.dane,
        seen.mta_sts,
        seen.providers,
        seen.software,
    ):
        adds_up(shares)
    assert seen.targets == len(given_) == seen.outcomes.of == seen.reachability.of
    assert all(row.count <= seen.certificates.of for row in seen.certificates.rows)
    assert sum(row.count for row in seen.replies.rows) + seen.replies.others == seen.replies.of
    assert len(seen.problems.rows) == min(top, seen.problems.of)
    assert seen.groups is not None
    groups = [*seen.groups.rows, *([seen.groups.others] if seen.groups.others is not None else [])]
    assert sum(group.targets for group in groups) == seen.targets
    assert sum(group.reachable for group in groups) == seen.software.of
    assert sum(group.left_alone for group in groups) == shown(seen.reachability).get("left-alone", 0)
    assert sum(group.asked_starttls for group in groups) == seen.starttls.of
    for group in groups:
        assert group.starttls <= group.asked_starttls <= group.targets
        assert group.trusted <= group.with_certificate <= group.targets


@given(st.lists(results(), max_size=8), st.randoms())
def test_the_order_of_the_results_does_not_matter(given_: list[Result], random: Any) -> None:
    shuffled = list(given_)
    random.shuffle(shuffled)
    one, other = overview_of(given_, top=1000), overview_of(shuffled, top=1000)
    assert (one.outcomes, one.tls, one.providers, one.findings) == (
        other.outcomes,
        other.tls,
        other.providers,
        other.findings,
    )


# --- counting what is different -------------------------------------------------------------------------------------


def test_few_different_texts_are_counted_exactly() -> None:
    seen = Distinct()
    for text in ["a", "b", "a", "\ud800", "b"]:
        seen.add(text)
    assert (seen.count, seen.is_exact) == (3, True)


@pytest.mark.parametrize("number", [2000, 30_000, 120_000])
def test_many_different_texts_are_estimated_well(number: int) -> None:
    seen = Distinct(max_exact=1000)
    for index in range(number):
        seen.add(str(index))
        seen.add(str(index))
    assert not seen.is_exact
    assert abs(seen.count - number) < number * 0.03
