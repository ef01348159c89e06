"""What holds for all findings: each kind is found where it should be, has words, and depends on the evidence alone."""

from __future__ import annotations

import re
import string

import pytest

from smtpprobe import texts
from smtpprobe.checks import CHECKS, KINDS, judge
from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.evidence import Evidence, FailureKind, Phase, Reply, encode
from smtpprobe.loading import decode
from smtpprobe.reference.model import Actor
from smtpprobe.report import Outcome, Severity, Where, outcome
from tests.checks.evidence_builder import dead, endpoint, evidence, found, healthy, ids, said, talk
from tests.checks.scenarios import SCENARIOS, at_step, judged, raising


def test_there_is_evidence_for_each_kind_and_for_nothing_else() -> None:
    made_elsewhere = {key for key, each in KINDS.items() if each.topic is Topic.EXPECTATIONS}
    assert set(SCENARIOS) == set(KINDS) - made_elsewhere


@pytest.mark.parametrize("id", SCENARIOS)
def test_each_kind_is_found_where_it_should_be(id: str) -> None:
    report = judged(id)
    assert id in ids(report)
    assert "check-failed" not in ids(report) - {id}


@pytest.mark.parametrize("id", SCENARIOS)
def test_a_saved_probe_is_judged_alike(id: str) -> None:
    report = judge(SCENARIOS[id])
    again = judge(decode(encode(SCENARIOS[id])))
    assert again == report
    assert encode(again) == encode(report)


@pytest.mark.parametrize("id", SCENARIOS)
def test_findings_keep_to_what_their_kind_declares(id: str) -> None:
    for finding in judged(id).findings:
        declared = KINDS[finding.id]
        assert finding.severity in declared.severities
        assert set(finding.params) == set(declared.params)
        assert all(value not in ("", (), None) for value in finding.params.values()), finding


@pytest.mark.parametrize("id", SCENARIOS)
def test_a_finding_that_is_no_success_rests_on_an_explained_reply(id: str) -> None:
    for finding in judged(id).findings:
        if finding.reply is not None and (finding.reply.code or 999) >= 400:
            assert finding.explanation is not None
            assert finding.explanation.phase is finding.where.phase


@pytest.mark.parametrize(
    ("id", "actor"),
    [
        ("ehlo-refused", Actor.RECEIVER),
        ("starttls-refused", Actor.RECEIVER),
        ("ehlo-refused-after-tls", Actor.RECEIVER),
        ("helo-refused", Actor.EITHER),
        ("greeting-refused", Actor.EITHER),
        ("client-refused", Actor.SENDER),
        ("host-accepts-no-mail", Actor.RECEIVER),
    ],
)
def test_who_must_act_is_told_of_the_finding_and_not_of_the_reply_alone(id: str, actor: Actor) -> None:
    """That the server does not know a command is told to the client as the client's mistake."""
    explanation = found(id, judged(id)).explanation
    assert explanation is not None
    assert explanation.actor is actor


def test_every_reply_of_every_conversation_is_explained() -> None:
    report = judge(
        evidence(healthy(), talk(endpoint(), said(Phase.GREETING, "421 later"), said(Phase.QUIT, "221 bye")))
    )
    places = [(each.conversation, each.exchange) for each in report.annotations]
    replies = [
        (number, place)
        for number, conversation in enumerate(report.evidence.conversations)
        for place, exchange in enumerate(conversation.exchanges)
        if isinstance(exchange.outcome, Reply)
    ]
    assert places == replies
    assert [each.explanation.code for each in report.annotations][-2:] == [421, 221]


def test_a_check_that_raises_is_a_finding_and_hides_no_other() -> None:
    plain, broken = judge(SCENARIOS["mail-reachable"]), judged("check-failed")
    finding = found("check-failed", broken)
    assert finding.params == {"check": "raising", "detail": "ZeroDivisionError: of the test"}
    assert ids(plain) <= ids(broken)
    assert outcome(broken, Severity.ERROR) is Outcome.INCONCLUSIVE


def test_what_a_check_found_before_it_raised_is_kept() -> None:
    mine = kind("of-mine", Topic.PROBE, Severity.WARNING)

    def half(evidence: Evidence):  # type: ignore[no-untyped-def]
        yield mine.found(Where())
        yield from raising(evidence)

    assert {"of-mine", "check-failed"} <= ids(judge(evidence(healthy()), checks=(half,)))


def test_a_check_of_ones_own_stands_behind_ours() -> None:
    mine = kind("of-mine", Topic.PROBE, Severity.ERROR, params=("what",))
    report = judge(evidence(healthy()), checks=(*CHECKS, lambda _: [mine.found(Where(), what="mine")]))
    assert found("of-mine", report).params == {"what": "mine"}
    assert report.findings[-1].id == "of-mine"
    assert report.status is Severity.ERROR


def test_a_healthy_domain_has_nothing_but_what_passed() -> None:
    report = judge(evidence(healthy(), healthy(endpoint("mx2.example.org", "198.51.100.1"))))
    assert {each.severity for each in report.findings} == {Severity.OK}
    assert report.status is Severity.OK
    assert ids(report) == {"mail-reachable", "mx-found", "starttls-works", "certificate-trusted"}


@pytest.mark.parametrize("kind", FailureKind)
def test_no_failed_connect_passes_for_good(kind: FailureKind) -> None:
    report = judge(evidence(dead(endpoint(), kind)))
    assert report.status in (Severity.ERROR, Severity.INCONCLUSIVE)
    assert outcome(report, Severity.ERROR) is not Outcome.PASSED


@pytest.mark.parametrize("kind", FailureKind)
@pytest.mark.parametrize("phase", [Phase.GREETING, Phase.EHLO])
def test_no_session_that_breaks_off_passes_for_good(kind: FailureKind, phase: Phase) -> None:
    report = judge(at_step(kind, phase))
    assert report.status in (Severity.ERROR, Severity.INCONCLUSIVE)


def test_nothing_at_all_is_inconclusive() -> None:
    assert judge(SCENARIOS["nothing-probed"]).findings[-1].id == "nothing-probed"
    assert judge(SCENARIOS["nothing-probed"]).status is Severity.INCONCLUSIVE


# --- the kinds and their words --------------------------------------------------------------------------------------


def test_an_id_is_declared_once() -> None:
    from smtpprobe.checks import _kinds

    by_id: dict[str, object] = {}
    for each in _kinds():
        assert by_id.setdefault(each.id, each) is each, each.id
    assert len(KINDS) == len(by_id)


def test_what_is_always_an_error_and_what_is_always_fine() -> None:
    fixed = {each.id: each.severity for each in KINDS.values() if len(each.severities) == 1}
    assert {id_ for id_, severity in fixed.items() if severity is Severity.ERROR} == {
        "dane-lookup-failed",
        "dane-mismatch",
        "dane-without-tls",
        "domain-not-found",
        "host-not-found",
        "host-without-address",
        "mx-all-unreachable",
        "mx-is-address-literal",
        "mx-is-localhost",
        "mx-lookup-bogus",
        "no-mail-host",
        "no-service",
        "null-mx-beside-others",
        "relay-rcpt-accepted",
        "starttls-injection",
        "submission-announced-without-tls",
        "tls-ocsp-revoked",
    }
    assert {id_ for id_, severity in fixed.items() if severity is Severity.OK} == {
        "certificate-trusted",
        "dane-match",
        "expectation-met",
        "mail-without-tls-refused",
        "mta-sts-enforced",
        "relay-rcpt-refused",
        "starttls-injection-safe",
        "tls-ocsp-stapled",
        "tls-rpt-found",
        "tls-versions",
        "mail-reachable",
        "mx-found",
        "starttls-works",
        "submission-announced",
        "submission-reachable",
        "tls-works",
    }
    always_warnings = {id_ for id_, severity in fixed.items() if severity is Severity.WARNING}
    assert {id_ for id_ in always_warnings if not id_.startswith("mta-sts-")} == {
        "dane-insecure",
        "dane-mx-insecure",
        "allowance-expired",
        "dane-unusable",
        "expn-discloses",
        "ipv4-missing",
        "mx-is-alias",
        "starttls-unadvertised",
        "submission-absent-beside-others",
        "submission-target-is-alias",
        "tls-ocsp-expired",
        "tls-ocsp-other-certificate",
        "tls-ocsp-unusable",
        "tls-rpt-invalid",
        "vrfy-discloses",
    }
    assert all(
        each.startswith(("mta-sts-policy-", "mta-sts-record-"))
        for each in always_warnings
        if each.startswith("mta-sts-")
    )


def test_ids_are_kebab_case() -> None:
    strange = [each for each in KINDS if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+|interrupted|greylisted", each)]
    assert not strange


def test_a_finding_without_its_parameters_cannot_be_made() -> None:
    mine = kind("of-mine", Topic.PROBE, Severity.INFO, params=("what",))
    with pytest.raises(ValueError, match="has the parameters"):
        mine.found(Where())
    with pytest.raises(ValueError, match="is never error"):
        mine.found(Where(), as_=Severity.ERROR, what="x")


@pytest.mark.parametrize("id", KINDS)
def test_each_kind_has_words_with_its_own_placeholders(id: str) -> None:
    entry = texts.entry("en", "findings", id)
    assert entry is not None
    assert set(entry) <= {"title", "meaning", "fix"}
    assert entry["title"]
    assert not entry["title"].endswith(".")
    assert "\n" not in entry["title"]
    assert bool(entry.get("fix")) is (KINDS[id].severity is not Severity.OK)
    assert not any(line.startswith((" ", "-", "*")) for line in entry.get("fix", "").splitlines())
    used = {name for phrase in entry.values() for _, name, _, _ in string.Formatter().parse(phrase) if name is not None}
    assert used == set(KINDS[id].params)


def test_the_words_of_the_exim_setting_survive_filling() -> None:
    from smtpprobe.render.words import finding_words

    words = finding_words(found("auth-without-tls", judged("auth-without-tls")), "en")
    assert "auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}" in words.fix
