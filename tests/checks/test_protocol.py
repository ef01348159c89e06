"""Replies out of form, out of turn, or not at all."""

from __future__ import annotations

import pytest

from smtpprobe.checks.protocol import IRREGULAR
from smtpprobe.evidence import FailureKind, Irregularity, Phase
from smtpprobe.replies import parse_reply
from smtpprobe.report import Severity
from tests.checks.evidence_builder import (
    A2,
    EHLO,
    EHLO_INSIDE,
    GREETING,
    MX2,
    PLAIN_EHLO,
    QUIT,
    STARTTLS,
    endpoint,
    failed,
    findings,
    found,
    healthy,
    ids,
    said,
    talk,
    tls,
    unasked,
)
from tests.checks.scenarios import IRREGULAR_REPLIES, at_step, judged

BROKEN = [FailureKind.CLOSED, FailureKind.RESET, FailureKind.TLS_PROTOCOL]


@pytest.mark.parametrize("irregularity", Irregularity)
def test_each_irregularity_is_a_finding_of_its_own(irregularity: Irregularity) -> None:
    raw = IRREGULAR_REPLIES[irregularity]
    expected = {IRREGULAR[each].id for each in parse_reply(raw).irregularities}
    report = findings(talk(endpoint(), GREETING, said(Phase.EHLO, raw=raw)))
    assert IRREGULAR[irregularity].id in expected
    assert ids(report) & {each.id for each in IRREGULAR.values()} == expected
    assert found(IRREGULAR[irregularity].id, report).reply is not None


def test_an_irregularity_is_told_once_a_session() -> None:
    twice = (said(Phase.GREETING, raw=b"220 mx1.example.org\n"), said(Phase.EHLO, raw=b"250 mx1.example.org\n"))
    assert found("reply-bare-lf", findings(talk(endpoint(), *twice))).where.phase is Phase.GREETING


def test_an_irregularity_where_nothing_depends_on_it_is_a_note() -> None:
    report = findings(healthy(), talk(endpoint(port=587), said(Phase.GREETING, raw=b"220 mx1.example.org\n")))
    assert found("reply-bare-lf", report).severity is Severity.INFO


def test_a_reply_that_was_cut_is_a_note_beside_the_closed_connection() -> None:
    report = at_step(FailureKind.CLOSED, partial=b"250-mx1.example.org\r\n250-SI")
    about_it = {each.id: each.severity for each in findings(*report.conversations) if each.where.phase is Phase.EHLO}
    assert about_it == {
        "connection-closed": Severity.ERROR,
        "reply-no-terminator": Severity.INFO,
        "reply-incomplete": Severity.INFO,
    }


def test_a_greeting_without_end_lets_no_mail_in() -> None:
    endless = talk(endpoint(), said(Phase.GREETING, raw=b"220-x\r\n" * 10_000))
    report = findings(endless)
    assert found("reply-too-long", report).severity is Severity.ERROR
    assert "mx-all-unreachable" in ids(report)
    beside = findings(endless, healthy(endpoint("mx2.example.org", "198.51.100.1")))
    assert found("reply-too-long", beside).severity is Severity.WARNING


@pytest.mark.parametrize("phase", [Phase.EHLO, Phase.HELO])
def test_a_reply_to_ehlo_without_end_is_no_service(phase: Phase) -> None:
    before = () if phase is Phase.EHLO else (said(Phase.EHLO, "502 what"),)
    report = findings(talk(endpoint(), GREETING, *before, said(phase, raw=b"250-x\r\n" * 10_000)))
    assert found("reply-too-long", report).severity is Severity.ERROR
    assert "mail-reachable" not in ids(report)


def test_a_reply_without_end_inside_tls_is_a_warning() -> None:
    inside = said(Phase.EHLO, raw=b"250-x\r\n" * 10_000, over_tls=True)
    report = findings(talk(endpoint(), GREETING, EHLO, STARTTLS, tls(), inside))
    assert found("reply-too-long", report).severity is Severity.WARNING
    assert "mail-reachable" in ids(report)


def test_the_form_of_what_is_no_reply_is_not_judged() -> None:
    report = findings(talk(endpoint(), failed(Phase.GREETING, FailureKind.GARBAGE, partial=b"\0\x01\xff\n")))
    assert not {each for each in ids(report) if each.startswith("reply-")}


# --- no reply -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BROKEN)
def test_a_connection_that_closes_before_mail_could_come_in_is_an_error(kind: FailureKind) -> None:
    report = findings(talk(endpoint(), GREETING, failed(Phase.EHLO, kind)))
    assert found("connection-closed", report).severity is Severity.ERROR
    assert found("connection-closed", report).params == {"command": "EHLO"}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_connection_that_closes_at_starttls_leaves_clear_text(kind: FailureKind) -> None:
    report = findings(talk(endpoint(), GREETING, EHLO, failed(Phase.STARTTLS, kind)))
    assert found("connection-closed", report).severity is Severity.WARNING
    assert "mail-reachable" in ids(report)


@pytest.mark.parametrize("kind", BROKEN)
def test_a_connection_that_closes_once_tls_stands_takes_no_mail(kind: FailureKind) -> None:
    closes = talk(endpoint(), GREETING, EHLO, STARTTLS, tls(), failed(Phase.EHLO, kind, over_tls=True))
    report = findings(closes)
    assert found("connection-closed", report).severity is Severity.ERROR
    assert "mx-all-unreachable" in ids(report)
    report = findings(closes, healthy(endpoint(MX2, A2)))
    assert found("connection-closed", report).severity is Severity.WARNING


def test_silence_is_not_known() -> None:
    for phase in (Phase.EHLO, Phase.STARTTLS):
        before = (GREETING,) if phase is Phase.EHLO else (GREETING, EHLO)
        report = findings(talk(endpoint(), *before, failed(phase, FailureKind.TIMEOUT)))
        finding = found("reply-timeout", report)
        assert (finding.severity, finding.params["command"]) == (Severity.INCONCLUSIVE, phase.value.upper())


def test_bytes_one_by_one_may_be_a_tarpit() -> None:
    report = judged("tarpit-suspected")
    assert found("tarpit-suspected", report).params == {"seconds": 10.0, "received": 11}
    assert "reply-timeout" not in ids(report)


def test_garbage_in_place_of_a_reply_is_shown() -> None:
    reply = found("reply-not-smtp", judged("reply-not-smtp")).reply
    assert reply is not None
    assert reply.raw == b"Traceback\r\n"


def test_a_slow_reply_is_a_note() -> None:
    assert found("reply-slow", judged("reply-slow")).params == {"command": "EHLO", "seconds": 7.1}


# --- out of turn ----------------------------------------------------------------------------------------------------


def test_a_reply_too_many_is_a_warning_that_shows_it() -> None:
    finding = found("unsolicited-reply", judged("unsolicited-reply"))
    assert finding.severity is Severity.WARNING
    assert finding.params == {"received": 14}
    assert finding.where.phase is Phase.IDLE


@pytest.mark.parametrize("code", [221, 421])
def test_a_server_that_says_goodbye_unasked(code: int) -> None:
    report = findings(talk(endpoint(), GREETING, EHLO, unasked(b"%d 4.4.2 bye\r\n" % code)))
    assert found("closed-unasked", report).params == {"code": code}
    assert "unsolicited-reply" not in ids(report)


def test_idle_421_has_a_story_of_its_own() -> None:
    explanation = found("closed-unasked", judged("closed-unasked")).explanation
    assert explanation is not None
    assert explanation.code_key == "421.idle"


@pytest.mark.parametrize("kind", [*BROKEN, FailureKind.TIMEOUT])
def test_quit_without_an_answer_is_a_note(kind: FailureKind) -> None:
    report = findings(talk(endpoint(), GREETING, PLAIN_EHLO, failed(Phase.QUIT, kind)))
    assert found("quit-unanswered", report).severity is Severity.INFO
    assert not ids(report) & {"connection-closed", "reply-timeout"}
    assert "mail-reachable" in ids(report)


def test_quit_is_not_missed_where_the_server_had_said_goodbye() -> None:
    hangs_up = failed(Phase.QUIT, FailureKind.CLOSED)
    refused = talk(endpoint(), said(Phase.GREETING, "554 5.7.1 no"), hangs_up)
    assert "quit-unanswered" not in ids(findings(refused))
    goodbye = talk(endpoint(), GREETING, PLAIN_EHLO, unasked(b"421 4.3.2 going down\r\n"), hangs_up)
    assert "quit-unanswered" not in ids(findings(goodbye))


@pytest.mark.parametrize("kind", [FailureKind.DEADLINE, FailureKind.INTERRUPTED])
def test_quit_that_we_did_not_wait_for_is_not_missed(kind: FailureKind) -> None:
    report = findings(talk(endpoint(), GREETING, PLAIN_EHLO, failed(Phase.QUIT, kind)))
    assert "quit-unanswered" not in ids(report)


@pytest.mark.parametrize("line", ["421 4.4.2 bye", "250 ok", "500 what"])
def test_quit_with_another_answer_is_a_note(line: str) -> None:
    report = findings(talk(endpoint(), GREETING, EHLO, STARTTLS, tls(), EHLO_INSIDE, said(Phase.QUIT, line)))
    assert found("quit-unusual-reply", report).severity is Severity.INFO
    report = findings(talk(endpoint(), GREETING, EHLO, STARTTLS, tls(), EHLO_INSIDE, QUIT))
    assert "quit-unusual-reply" not in ids(report)
