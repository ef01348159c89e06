"""Replies that were pasted: whatever was lost or added on the way."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpprobe.reference.reading import MAX_CHARACTERS, is_log_without_reply, read_reply


@pytest.mark.parametrize(
    ("text", "code", "enhanced", "lines"),
    [
        ("550 5.1.1 User unknown", 550, "5.1.1", ("5.1.1 User unknown",)),
        ("  550  User unknown \r\n", 550, None, ("User unknown",)),
        ("550-5.7.1 one\r\n550 5.7.1 two", 550, "5.7.1", ("5.7.1 one", "5.7.1 two")),
        ("550-5.7.1 one\\n550 5.7.1 two", 550, "5.7.1", ("5.7.1 one", "5.7.1 two")),
        ("550-5.7.1 one\\r\\n550 5.7.1 two", 550, "5.7.1", ("5.7.1 one", "5.7.1 two")),
        ("550-5.7.1 one 550-5.7.1 two 550 5.7.1 three", 550, "5.7.1", ("5.7.1 one", "5.7.1 two", "5.7.1 three")),
        ("550-one 550-two", 550, None, ("one", "two")),
        ("550 call 550-1234 now", 550, None, ("call 550-1234 now",)),
        ("550", 550, None, ("",)),
        ("550-", 550, None, ("",)),
        ("421", 421, None, ("",)),
        ("smtp; 550 5.1.1 User unknown", 550, "5.1.1", ("5.1.1 User unknown",)),
        ("Diagnostic-Code: smtp; 550 no", 550, None, ("no",)),
        ("X-Postfix; 550 no", 550, None, ("no",)),
        ("host mx.dest.example[192.0.2.1] said: 550 5.1.1 no", 550, "5.1.1", ("5.1.1 no",)),
        ("Another server gave back '550 5.1.1 no", 550, "5.1.1", ("5.1.1 no",)),
        ("it is 550-5.1.1 no", 550, "5.1.1", ("5.1.1 no",)),
        ("it is 550 4.1.1 no", None, "4.1.1", ("it is 550 4.1.1 no",)),
        ("room 550 is full", None, None, ("room 550 is full",)),
        ("550 5.7.1 see 554 5.7.9 no", 550, "5.7.1", ("5.7.1 see 554 5.7.9 no",)),
        ("554 sorry, no mailbox (#5.1.1)", 554, "5.1.1", ("sorry, no mailbox (#5.1.1)",)),
        ("554 #5.1.0 Address rejected", 554, "5.1.0", ("#5.1.0 Address rejected",)),
        ("554 refused, 5.7.1 see above", 554, "5.7.1", ("refused, 5.7.1 see above",)),
        ("554 version 4.9.1 is too old", 554, None, ("version 4.9.1 is too old",)),
        ("554 host 5.7.1.2 refused", 554, None, ("host 5.7.1.2 refused",)),
        ("554 4.7.1x", 554, None, ("4.7.1x",)),
        ("Mailbox full", None, None, ("Mailbox full",)),
        ("5.2.2 Mailbox full", None, "5.2.2", ("5.2.2 Mailbox full",)),
        ("5501 is no code", None, None, ("5501 is no code",)),
        ("", None, None, ("",)),
        ("The server answered:\n550-5.1.1 no\n550 5.1.1 such", 550, "5.1.1", ("5.1.1 no", "5.1.1 such")),
        (
            "Status: 5.2.2\nDiagnostic-Code: smtp; 552-5.2.2 The mailbox\n 552 5.2.2 is full\nRemote-MTA: dns; mx",
            *(552, "5.2.2", ("5.2.2 The mailbox", "5.2.2 is full")),
        ),
        (
            "Nov 28 mx postfix/smtp[1]: 4A: relay=none, dsn=4.4.1, status=deferred (connect to mx[192.0.2.1]:25: no)",
            *(None, "4.4.1", ("connect to mx[192.0.2.1]:25: no",)),
        ),
        ("Nov 28 mx sendmail[1]: 4A: relay=mx, dsn=5.1.1, stat=User unknown", None, "5.1.1", ("User unknown",)),
        ("{'a@dest.example': (550, b'5.1.1 no\\nsuch user')}", 550, "5.1.1", ("5.1.1 no", "such user")),
    ],
)
def test_code_enhanced_code_and_lines_are_found(
    text: str, code: int | None, enhanced: str | None, lines: tuple[str, ...]
) -> None:
    read = read_reply(text)
    assert (read.code, read.enhanced, read.lines) == (code, enhanced, lines)
    assert not read.has_mixed_codes
    assert read.phase is None


def test_of_the_lines_of_a_log_the_first_with_a_reply_counts_alone() -> None:
    """So are the lines that a log has of one message; what the others say of it is no part of the reply."""
    log = """\
Nov 29 01:00:00 mx postfix/qmgr[1]: 4A: from=<ben@from.example>, size=1234, nrcpt=1 (queue active)
Nov 29 01:00:01 mx postfix/smtp[1]: 4A: dsn=5.0.0, status=bounced (host mx said: 550 no
    (in reply to end of DATA command))
Nov 29 01:00:01 mx postfix/bounce[1]: 4A: sender non-delivery notification: 5B
Nov 29 01:00:01 mx postfix/smtp[1]: 4A: dsn=4.0.0, status=deferred (host mx said: 450 later)
"""
    for text in (log, re.sub("^Nov 29 ([0-9:]+)", r"2026-11-29T\1.123+01:00", log, flags=re.MULTILINE)):
        read = read_reply(text)
        assert (read.code, read.enhanced, read.lines, read.phase) == (550, "5.0.0", ("no",), "message")


def test_lines_with_different_codes_are_told() -> None:
    read = read_reply("550-no\n450 later")
    assert (read.code, read.has_mixed_codes) == (550, True)


@pytest.mark.parametrize(
    ("behind", "phase"),
    [
        ("RCPT TO command", "rcpt"),
        ("MAIL FROM command", "mail"),
        ("end of DATA command", "message"),
        ("DATA command", "data"),
        ("EHLO command", "ehlo"),
        ("XYZ command", None),
        ("\n    RCPT TO command", "rcpt"),
    ],
)
def test_the_step_that_postfix_names_behind_a_reply_is_taken_off_and_kept(behind: str, phase: str | None) -> None:
    read = read_reply(f"host mx[192.0.2.1] said: 550 5.7.1 no (in reply to {behind})")
    assert (read.lines, read.phase) == (("5.7.1 no",), phase)


@pytest.mark.parametrize(
    ("before", "phase"),
    [
        ("after RCPT TO:<a@dest.example>: host mx.dest.example [192.0.2.1]", "rcpt"),
        ("after pipelined MAIL FROM:<a@src.example>", "mail"),
        ("after end of data", "message"),
        ("after sending data block", "message"),
        ("after initial connection", "greeting"),
        ("for a@dest.example", None),
    ],
)
def test_the_step_that_exim_names_before_a_reply_is_taken_off_and_kept(before: str, phase: str | None) -> None:
    read = read_reply(f"SMTP error from remote mail server {before}: 550 no")
    assert (read.code, read.lines, read.phase) == (550, ("no",), phase)


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        ("<a@dest.example>: mx[192.0.2.1] refused to talk to me: 421 busy", "greeting"),
        ("dsn=5.1.1, status=bounced (host mx[192.0.2.1] said: 550 no (in reply to RCPT TO command))", "rcpt"),
        ("mx postfix/smtpd[1]: NOQUEUE: reject: MAIL from mx[192.0.2.1]: 550 5.7.1 no", "mail"),
        ("mx postfix/smtpd[1]: NOQUEUE: reject: CONNECT from mx[192.0.2.1]: 550 5.7.1 no", "greeting"),
        ("mx postfix/smtpd[1]: 4A: reject: END-OF-MESSAGE from mx[192.0.2.1]: 550 5.7.1 no", "message"),
        ("smtplib.SMTPAuthenticationError: (535, b'5.7.8 no')", "auth"),
        ("smtplib.SMTPRecipientsRefused: {'a@dest.example': (550, b'5.1.1 no')}", "rcpt"),
    ],
)
def test_the_step_that_a_log_or_an_exception_names_is_kept(text: str, phase: str) -> None:
    read = read_reply(text)
    assert (read.code in (421, 535, 550), read.phase) == (True, phase)
    assert "(" not in " ".join(read.lines)


def test_a_long_text_is_cut() -> None:
    assert sum(map(len, read_reply("550 " + "x" * 100_000).lines)) == MAX_CHARACTERS - len("550 ")


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    read = read_reply(text)
    assert read.lines
    assert read.code is None or 0 <= read.code <= 999


@given(st.integers(200, 599), st.lists(st.text("abcXYZ ()<>@:;", max_size=30), min_size=1))
def test_code_and_lines_of_a_whole_reply_survive(code: int, texts: list[str]) -> None:
    *first, last = texts
    read = read_reply("\n".join((*(f"{code}-{text}" for text in first), f"{code} {last}")))
    assert read.code == code
    assert read.lines == tuple(text.strip() for text in texts)


@pytest.mark.parametrize(
    ("line", "is_without"),
    [
        ("Nov  9 01:00:00 mx postfix/qmgr[8]: 4F1ABC1234: removed", True),
        ("2026-11-29T01:00:00.123456+00:00 mx postfix/smtpd[9]: connect from unknown[192.0.2.7]", True),
        ("2026-11-29 01:00:02 1abcde-000000-00 Completed", True),
        ("Nov 29 01:00:00 mx postfix/smtpd[9]: NOQUEUE: reject: RCPT from x[192.0.2.7]: 554 5.7.1 Denied", False),
        (
            "Nov 29 01:00:00 mx postfix/smtp[9]: dsn=4.4.1, status=deferred (connect to x: Connection refused)",
            False,
        ),
        ("2026-11-29 01:00:02 1abcde-000000-00 == a@example.net T=remote_smtp defer (111): Connection refused", False),
        ("550 User unknown", False),
        ("User unknown", False),
    ],
)
def test_the_line_of_a_log_is_told_from_a_reply(line: str, is_without: bool) -> None:
    assert is_log_without_reply(line) is is_without


def test_the_reply_in_a_bounce_ends_at_an_empty_line() -> None:
    bounce = (
        "Your message could not be delivered.\n\n"
        "<a@example.net>: host mx.example.net[192.0.2.1] said: 550 5.1.1\n"
        "    Recipient address rejected: User unknown (in reply to\n    RCPT TO command)\n\n"
        "Reporting-MTA: dns; mx.example.org\nFinal-Recipient: rfc822; a@example.net\n"
    )
    read = read_reply(bounce)
    assert (read.code, read.enhanced, read.phase) == (550, "5.1.1", "rcpt")
    assert read.lines == ("5.1.1", "Recipient address rejected: User unknown")
