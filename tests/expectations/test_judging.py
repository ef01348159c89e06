"""Expectations held against evidence: what holds, what does not, and what is not known."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from smtpprobe.evidence import (
    Answer,
    Asked,
    Conversation,
    Evidence,
    FailureKind,
    LookupStatus,
    Options,
    Phase,
    Policies,
    Question,
    Resolution,
    Reverse,
    Target,
    TargetKind,
    VersionTrial,
)
from smtpprobe.expectations.judging import expectations
from smtpprobe.expectations.planning import plan
from smtpprobe.expectations.reading import parse_config
from smtpprobe.report import Finding, Outcome, Severity, outcome
from tests.checks.evidence_builder import (
    A1,
    A2,
    DOMAIN,
    EHLO,
    GREETING,
    MX1,
    MX2,
    PLAIN_EHLO,
    dead,
    endpoint,
    evidence,
    failed,
    healthy,
    host,
    ids,
    lookup,
    resolved,
    said,
    talk,
    tls,
    tls_failed,
    trust,
)
from tests.checks.policy_scenarios import DANE, fetched, policed
from tests.checks.scenarios import SCENARIOS
from tests.expectations.test_reading import FULL

YES, NO, OPEN = "expectation-met", "expectation-not-met", "expectation-unknown"


def judged(expected: str, found: Evidence, table: str = "expect") -> list[Finding]:
    text = f'[targets."{DOMAIN}".{table}]\n{expected}\n'
    return list(expectations(found, plan(parse_config(text.encode()), DOMAIN).settings))


def one(expected: str, found: Evidence, table: str = "expect") -> Finding:
    (finding,) = judged(expected, found, table)
    return finding


def greeted(text: str, seconds: float = 0.05) -> Evidence:
    return evidence(talk(endpoint(), said(Phase.GREETING, text, seconds=seconds), PLAIN_EHLO))


def asked(reply: str | FailureKind, phase: Phase = Phase.RCPT) -> Evidence:
    exchange = failed(phase, reply) if isinstance(reply, FailureKind) else said(phase, reply)
    question = Question(verb="rcpt", argument="me@example.org")
    answers = (Answer(question=question, exchange=0),)
    return evidence(msgspec.structs.replace(healthy(), asked=Asked(exchanges=(exchange,), answers=answers)))


def turned_away() -> Evidence:
    """The second connection is one too many."""
    answers = (Answer(question=Question(verb="rcpt", argument="me@example.org")),)
    asked = Asked(exchanges=(said(Phase.GREETING, "421 4.7.0 Too many"),), answers=answers)
    return evidence(msgspec.structs.replace(healthy(), asked=asked))


def offering(*keywords: str) -> Evidence:
    lines = [f"250-{each}" for each in ("mx1.example.org", *keywords)]
    return evidence(talk(endpoint(), GREETING, said(Phase.EHLO, *lines, "250 HELP")))


def with_handshake(**more: Any) -> Evidence:
    from tests.checks.evidence_builder import GOOD

    return evidence(healthy(handshake=tls(GOOD, trust=more.pop("trust", trust()), **more)))


def started(reply: str) -> Evidence:
    return evidence(talk(endpoint(), GREETING, EHLO, said(Phase.STARTTLS, reply)))


def speaking(*versions: str) -> Evidence:
    session = tls().outcome
    trials = tuple(
        VersionTrial(version=each, outcome=msgspec.structs.replace(session, version=each), started_s=0, ended_s=1)
        for each in versions
    )
    return evidence(msgspec.structs.replace(healthy(), versions=trials))


def records(*mx: tuple[int, str], **more: Any) -> Evidence:
    hosts = tuple(msgspec.structs.replace(host(name, A1), preference=preference) for preference, name in mx)
    return evidence(resolution=resolved(*hosts, **more))


def reverse(ptr: object, *forward: object) -> Evidence:
    found = Reverse(address=A1, ptr=ptr, forward=forward)  # type: ignore[arg-type]
    return evidence(resolution=resolved(host(MX1, A1), reverse=(found,)))


_PTR = "1.2.0.192.in-addr.arpa"
_REFUSED = evidence(dead(endpoint()))
_UNKNOWN = evidence(dead(endpoint(), FailureKind.TIMEOUT))
_WELL = evidence(healthy())
_PUT_OFF = evidence(talk(endpoint(), said(Phase.GREETING, "450 4.7.1 Greylisted, come again in 300 seconds")))
_HUNG_UP = evidence(
    talk(
        endpoint(),
        said(Phase.GREETING, "421 4.3.2 Too busy"),
        failed(Phase.QUIT, FailureKind.CLOSED),
    )
)
_HOST_TARGET = Target(text="192.0.2.1:25", kind=TargetKind.ENDPOINT, address=A1, port=25)

CASES: list[tuple[str, Evidence, str, str]] = [
    # services
    ('reachable = ["smtp"]', _WELL, YES, ""),
    ('reachable = ["smtp"]', evidence(healthy(), dead(endpoint(MX2, A2))), NO, f"{A2}:25"),
    ('reachable = ["smtp"]', _UNKNOWN, OPEN, f"{A1}:25"),
    ('reachable = ["smtp"]', evidence(dead(endpoint(), FailureKind.NO_ROUTE)), OPEN, "-"),
    ('reachable = ["submission"]', _WELL, NO, "-"),
    ('reachable = ["smtp"]', evidence(resolution=Resolution(hosts=(host(status=LookupStatus.SERVFAIL),))), OPEN, "dns"),
    # MX
    (f'mx = ["{MX1}", "{MX2}"]', records((10, MX1), (20, MX2)), YES, ""),
    (f'mx = ["{MX2}", "{MX1}"]', records((10, MX1), (20, MX2)), NO, f"10 {MX1}, 20 {MX2}"),
    (f'mx = ["{MX2}", "{MX1}"]', records((10, MX1), (10, MX2)), YES, ""),
    (f'mx = ["10 {MX1}"]', records((10, MX1)), YES, ""),
    (f'mx = ["5 {MX1}"]', records((10, MX1)), NO, f"10 {MX1}"),
    (f'mx = ["{MX1}"]', records((10, MX1), (20, MX2)), NO, f"10 {MX1}, 20 {MX2}"),
    ("mx = []", records((10, MX1)), NO, f"10 {MX1}"),
    ("mx = []", records(), YES, ""),
    ('mx = ["."]', records(is_null_mx=True), YES, ""),
    ("mx = []", records(is_null_mx=True), NO, "0 ."),
    ("mx = []", records(mx=lookup(DOMAIN, "MX", status=LookupStatus.TIMEOUT)), OPEN, "dns: timeout"),
    ("mx = []", evidence(resolution=Resolution()), OPEN, "not asked"),
    # greeting
    ("greeting-code = 220", greeted("220 mx1 ESMTP"), YES, ""),
    ("greeting-code = 220", _PUT_OFF, OPEN, "greeting: 450"),
    ("greeting-code = 450", _PUT_OFF, YES, ""),
    ("greeting-code = 220", _HUNG_UP, OPEN, "greeting: 421"),
    ("greeting-code = 220", greeted("521 no mail here"), NO, "521"),
    ("greeting-code = 220", _REFUSED, NO, "connect: refused"),
    ("greeting-code = 220", _UNKNOWN, OPEN, "connect: timeout"),
    ("greeting-matches = '^mx\\d\\.'", greeted("220 mx1.example.org ESMTP"), YES, ""),
    ("greeting-matches = '^mx\\d\\.'", greeted("220 other ESMTP"), NO, "other ESMTP"),
    ("greeting-matches = '^mx\\d\\.'", _PUT_OFF, OPEN, "greeting: 450"),
    ("greeting-matches = 'y$'", greeted("220 " + "x" * 2000 + "y"), NO, "x" * 200),
    ("greeting-within = '100ms'", greeted("220 mx1"), YES, ""),
    ("greeting-within = '100ms'", greeted("220 mx1", 0.25), NO, "0.25 s"),
    # EHLO
    ('capabilities = ["size", "AUTH"]', _WELL, YES, ""),
    ('capabilities = ["DSN"]', offering("SIZE 1"), NO, "HELP, SIZE"),
    ('capabilities = ["DSN"]', evidence(talk(endpoint(), said(Phase.GREETING, "554 no"))), NO, "greeting: 554"),
    ('capabilities = ["DSN"]', evidence(talk(endpoint(), said(Phase.GREETING, "421 no"))), OPEN, "greeting: 421"),
    ('no-capabilities = ["AUTH", "VRFY"]', offering("VRFY"), NO, "VRFY"),
    ('no-capabilities = ["STARTTLS"]', _WELL, YES, ""),
    ('capabilities-before-tls = ["STARTTLS"]', _WELL, YES, ""),
    ('no-capabilities-before-tls = ["STARTTLS"]', _WELL, NO, "STARTTLS"),
    ('auth = ["plain"]', _WELL, YES, ""),
    ('auth = ["PLAIN", "LOGIN"]', _WELL, NO, "PLAIN"),
    ("auth = []", offering("AUTH PLAIN CRAM-MD5"), NO, "CRAM-MD5, PLAIN"),
    ("auth = []", offering(), YES, ""),
    ("auth-before-tls = false", _WELL, YES, ""),
    ("auth-before-tls = false", offering("AUTH PLAIN"), NO, "true"),
    ("size = 1000000", _WELL, YES, ""),
    ("size = 1000001", _WELL, NO, "1000000"),
    ("size = 5", offering("SIZE"), YES, ""),
    ("size = 5", offering("SIZE 0"), YES, ""),
    ("size = 5", offering("SIZE many"), NO, "many"),
    ("size = 5", offering(), NO, "-"),
    # TLS
    ('min-tls = "1.3"', _WELL, YES, ""),
    ('min-tls = "1.3"', with_handshake(version="TLSv1.2"), NO, "TLSv1.2"),
    ('min-tls = "1.2"', offering(), NO, "-"),
    ('min-tls = "1.2"', started("454 4.7.0 not now"), OPEN, "starttls: 454"),
    ("certificate-days = 1", started("502 5.5.1 no"), NO, "starttls: 502"),
    ('min-tls = "1.2"', speaking("TLSv1.2", "TLSv1.3"), YES, ""),
    ('min-tls = "1.2"', speaking("TLSv1", "TLSv1.2"), NO, "TLSv1, TLSv1.2, TLSv1.3"),
    (
        'min-tls = "1.2"',
        evidence(talk(endpoint(), GREETING, EHLO, tls_failed(FailureKind.TLS_LOCAL))),
        OPEN,
        "tls: tls-local",
    ),
    ('min-tls = "1.2"', evidence(talk(endpoint(port=465), tls_failed(FailureKind.TLS_ALERT))), NO, "tls: tls-alert"),
    ("certificate-trusted = true", _WELL, YES, ""),
    ("certificate-trusted = true", with_handshake(trust=trust(matched=False)), NO, "false"),
    ("certificate-trusted = false", with_handshake(trust=trust(matched=False)), YES, ""),
    ("certificate-trusted = true", with_handshake(trust=trust(chain=False, has_roots=False)), OPEN, "no trusted roots"),
    ("certificate-days = 60", _WELL, YES, ""),
    ("certificate-days = 61", _WELL, NO, "60"),
    ("certificate-days = 1", evidence(healthy(handshake=tls())), NO, "-"),
    # the rest of a session
    ('software = "postfix"', greeted("220 mx1.example.org ESMTP Postfix"), YES, ""),
    ('software = "Post"', greeted("220 mx1.example.org ESMTP Postfix"), NO, "Postfix"),
    ('software = "Exim 4"', greeted("220 mx1.example.org ESMTP Exim 4.96 Tue, 01 Apr 2025 10:00:00 +0000"), YES, ""),
    ('software = "Exim"', greeted("220 mx1.example.org"), NO, "-"),
    ('replies = ["rcpt me@example.org -> 250"]', asked("250 2.1.5 Ok"), YES, ""),
    ('replies = ["rcpt me@example.org -> 250"]', asked("550 5.1.1 No"), NO, "550 5.1.1"),
    ('replies = ["rcpt me@example.org -> 250"]', asked("451 4.7.1 Later"), OPEN, "451 4.7.1"),
    ('replies = ["rcpt me@example.org -> 451"]', asked("451 4.7.1 Later"), YES, ""),
    ('replies = ["rcpt me@example.org -> 250"]', asked("550 5.7.1 No", Phase.MAIL), NO, "550 5.7.1 (mail)"),
    ('replies = ["rcpt me@example.org -> 550"]', asked("550 5.7.1 No", Phase.MAIL), NO, "550 5.7.1 (mail)"),
    ('replies = ["rcpt me@example.org -> 250"]', asked(FailureKind.TIMEOUT), OPEN, "rcpt: timeout"),
    ('replies = ["rcpt me@example.org -> 250"]', _WELL, OPEN, "not asked"),
    ('replies = ["rcpt me@example.org -> 250"]', turned_away(), OPEN, "greeting: 421"),
    ('replies = ["rcpt me@example.org -> 250"]', _PUT_OFF, OPEN, "greeting: 450"),
    ('replies = ["rcpt me@example.org -> 250"]', _REFUSED, NO, "connect: refused"),
    # policies
    ("dane = true", DANE["dane-match"], YES, ""),
    ("dane = true", DANE["dane-mismatch"], NO, f"dane-mismatch, {A1}:25"),
    ("dane = true", DANE["dane-not-published"], NO, f"{A1}:25"),
    ("dane = true", DANE["dane-unverifiable"], OPEN, "dane-unverifiable"),
    ("dane = false", DANE["dane-not-published"], YES, ""),
    ("dane = false", evidence(), OPEN, "not asked"),
    ("dane = false", DANE["dane-lookup-failed"], OPEN, "dns: servfail"),
    ("dane = true", evidence(healthy(), options=Options(policies=False)), OPEN, "not asked"),
    ('mta-sts = "enforce"', policed(fetched()), YES, ""),
    ('mta-sts = "testing"', policed(fetched()), NO, "enforce"),
    ('mta-sts = "enforce"', policed(fetched(status=404)), NO, "absent"),
    ('mta-sts = "absent"', evidence(policies=Policies(mta_sts=lookup("_mta-sts", "TXT"))), YES, ""),
    ('mta-sts = "enforce"', evidence(target=_HOST_TARGET), OPEN, "not asked"),
    ("tls-rpt = true", evidence(policies=Policies(tls_rpt=lookup("x", "TXT"))), NO, "-"),
    ("tls-rpt = false", evidence(policies=Policies(tls_rpt=lookup("x", "TXT"))), YES, ""),
    # addresses
    ("ptr = true", reverse(lookup(_PTR, "PTR", MX1), lookup(MX1, "A", A1)), YES, ""),
    (f'ptr = ["{MX1}"]', reverse(lookup(_PTR, "PTR", MX1), lookup(MX1, "A", A1)), YES, ""),
    (f'ptr = ["{MX2}"]', reverse(lookup(_PTR, "PTR", MX1), lookup(MX1, "A", A1)), NO, MX1),
    ("ptr = true", reverse(lookup(_PTR, "PTR", MX1), lookup(MX1, "A", A2)), NO, MX1),
    ("ptr = true", reverse(lookup(_PTR, "PTR")), NO, "-"),
    ("ptr = false", reverse(lookup(_PTR, "PTR")), YES, ""),
    ("ptr = true", reverse(lookup(_PTR, "PTR", status=LookupStatus.TIMEOUT)), OPEN, "dns: timeout"),
    ("ptr = true", _WELL, OPEN, "-"),
    # all of it
    ("within = 2", _WELL, YES, ""),
    ("within = '900ms'", _WELL, NO, "1 s"),
    ("greeting-code = 220", evidence(), OPEN, "-"),
    ("smtp.size = 1", evidence(), OPEN, "-"),
]


@pytest.mark.parametrize(("expected", "there", "id", "found"), CASES)
def test_an_expectation_holds_or_not_or_is_not_known(expected: str, there: Evidence, id: str, found: str) -> None:
    finding = one(expected, there)
    assert finding.id == id, finding.params
    assert finding.params.get("found", finding.params.get("reason", "")) == found
    assert finding.params["wanted"]


def test_a_reply_that_is_not_as_expected_is_explained() -> None:
    text = f'[targets."{DOMAIN}".expect]\nreplies = ["rcpt me@example.org -> 250"]\n'
    report = plan(parse_config(text.encode()), DOMAIN).judge(asked("550 5.1.1 User unknown"))
    (finding,) = [each for each in report.findings if each.id == NO]
    assert finding.where.phase is Phase.RCPT
    assert finding.reply is not None
    assert finding.explanation is not None
    assert finding.explanation.code == 550


def test_every_key_of_the_form_is_judged() -> None:
    from smtpprobe.expectations.model import Expected, Session

    keys = {each.encode_name for each in msgspec.structs.fields(Expected)} - {"smtp", "submission", "submissions"}
    assert {case[0].partition(" = ")[0] for case in CASES} >= keys
    assert {each.encode_name for each in msgspec.structs.fields(Session)} <= keys


@pytest.mark.parametrize(
    ("table", "wrong", "open_"),
    [
        ("expect", Severity.ERROR, Severity.INCONCLUSIVE),
        ("expect-warning", Severity.WARNING, Severity.INCONCLUSIVE),
        ("expect-info", Severity.INFO, Severity.INFO),
    ],
)
def test_the_table_says_how_much_it_matters(table: str, wrong: Severity, open_: Severity) -> None:
    assert one("greeting-code = 220", _WELL, table).severity is Severity.OK
    assert one("greeting-code = 220", _REFUSED, table).severity is wrong
    assert one("greeting-code = 220", _UNKNOWN, table).severity is open_


def test_a_finding_is_made_for_each_place() -> None:
    found = judged("greeting-code = 220", evidence(healthy(), healthy(endpoint(MX2, A2))))
    assert [(each.where.host, each.where.address, each.where.port) for each in found] == [
        (MX1, A1, 25),
        (MX2, A2, 25),
    ]


def test_a_closed_port_that_nobody_asked_for_is_not_expected_to_do_anything() -> None:
    there = evidence(healthy(), dead(endpoint(port=587)))
    assert [each.where.port for each in judged("greeting-code = 220", there)] == [25]
    found = judged("submission.greeting-code = 220", there)
    assert [(each.id, each.where.port) for each in found] == [(NO, 587)]


def test_what_is_expected_of_a_role_goes_before_what_is_expected_of_all() -> None:
    found = judged('auth = ["PLAIN"]\nsmtp.auth = []\n', evidence(healthy(), healthy(endpoint(port=465))))
    assert [(each.id, each.where.port, each.params["wanted"]) for each in found] == [(NO, 25, "-"), (YES, 465, "PLAIN")]


def test_nothing_is_before_tls_where_it_is_implicit() -> None:
    assert judged("auth-before-tls = false", evidence(healthy(endpoint(port=465)))) == []


@pytest.mark.parametrize("conversation", [healthy(), dead(endpoint()), talk(endpoint(), GREETING)])
def test_what_is_not_met_fails_the_run(conversation: Conversation) -> None:
    text = f'[targets."{DOMAIN}".expect]\nsize = 99999999\n'
    report = plan(parse_config(text.encode()), DOMAIN).judge(evidence(conversation))
    assert outcome(report, Severity.ERROR) is not Outcome.PASSED
    assert "check-failed" not in ids(report)


ALL_KEYS = plan(parse_config(FULL.encode()), "mail")


@pytest.mark.parametrize("id", SCENARIOS)
def test_whatever_was_found_every_expectation_is_answered(id: str) -> None:
    report = ALL_KEYS.judge(SCENARIOS[id])
    assert "check-failed" not in ids(report)
    told = [each for each in report.findings if each.id in (YES, NO, OPEN)]
    assert all(each.params["wanted"] for each in told)
    assert all(each.params.get("found", each.params.get("reason", "x")) for each in told)
    keys = {str(each.params["expectation"]).partition(":")[0] for each in told}
    assert {"reachable", "mx", "dane", "mta-sts", "tls-rpt", "ptr", "within"} <= keys


@pytest.mark.parametrize(
    ("table", "mx", "result"),
    [
        ("expect", '["."]', Outcome.PASSED),
        ("expect-info", '["."]', Outcome.PASSED),
        ("expect", f'["{MX1}"]', Outcome.FINDINGS),
        ("expect", None, Outcome.INCONCLUSIVE),
    ],
)
def test_a_domain_that_is_to_take_no_mail_passes_when_it_says_so(table: str, mx: str | None, result: Outcome) -> None:
    text = f'[targets."{DOMAIN}".{table}]\n' + (f"mx = {mx}\n" if mx else "")
    report = plan(parse_config(text.encode()), DOMAIN).judge(records(is_null_mx=True))
    assert outcome(report, Severity.ERROR) is result


def test_a_domain_with_servers_is_not_settled_by_the_wish_that_it_had_none() -> None:
    text = f'[targets."{DOMAIN}".expect-info]\nmx = ["."]\n'
    report = plan(parse_config(text.encode()), DOMAIN).judge(records((10, MX1)))
    assert outcome(report, Severity.ERROR) is Outcome.INCONCLUSIVE


# --- what is allowed, and what is raised ----------------------------------------------------------------------------

EXPIRED = evidence(healthy(), dead(endpoint(MX2, A2)))
"""One of two servers is shut: a warning."""


def ruled(rules: str, there: Evidence = EXPIRED) -> list[tuple[str, Severity]]:
    report = plan(parse_config(f'[targets."{DOMAIN}"]\n{rules}\n'.encode()), DOMAIN).judge(there)
    return [(each.id, each.severity) for each in report.findings]


def allowed(more: str = "") -> str:
    return f'allow = [{{ finding = "connection-refused", reason = "being moved"{more} }}]'


def test_without_a_rule_a_finding_is_what_it_is() -> None:
    assert ("connection-refused", Severity.WARNING) in ruled("")


@pytest.mark.parametrize("more", ["", ", until = 2026-03-14", f', host = "{MX2}"', f', host = "{A2}", port = 25'])
def test_an_allowed_finding_is_a_note_and_says_why(more: str) -> None:
    found = ruled(allowed(more))
    assert ("connection-refused", Severity.INFO) in found
    assert ("finding-allowed", Severity.INFO) in found
    assert not {"allowance-expired", "allowance-unused"} & set(dict(found))


def test_an_allowance_that_is_over_is_a_finding_and_allows_nothing() -> None:
    found = ruled(allowed(", until = 2026-03-13"))
    assert ("connection-refused", Severity.WARNING) in found
    assert ("allowance-expired", Severity.WARNING) in found
    assert "finding-allowed" not in dict(found)


@pytest.mark.parametrize("more", [f', host = "{MX1}"', ", port = 587"])
def test_an_allowance_for_elsewhere_is_not_used_and_says_so(more: str) -> None:
    found = ruled(allowed(more))
    assert ("connection-refused", Severity.WARNING) in found
    assert ("allowance-unused", Severity.INFO) in found


def test_a_finding_can_be_worth_more_but_never_less() -> None:
    assert ("connection-refused", Severity.ERROR) in ruled('raise = { "connection-refused" = "error" }')
    assert ("connection-refused", Severity.WARNING) in ruled('raise = { "connection-refused" = "info" }')
    there = evidence(dead(endpoint(), FailureKind.TIMEOUT))
    assert ("connection-timeout", Severity.ERROR) in ruled('raise = { "connection-timeout" = "error" }', there)
