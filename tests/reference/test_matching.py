"""What a reply means: the most specific knowledge decides, and how sure it is follows from what agrees."""

from __future__ import annotations

import pytest

from smtpprobe.evidence import Irregularity, Phase, Reply
from smtpprobe.reference import explain
from smtpprobe.reference.matching import Match, match
from smtpprobe.reference.model import Actor, Confidence, Retry
from smtpprobe.replies import parse_reply


def matched(code: int | None, enhanced: str | None = None, phase: str | None = None, *lines: str) -> Match:
    return match(code, enhanced, phase, lines)


# --- what decides ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "rule", "diagnosis", "confidence"),
    [
        (matched(421, None, "greeting"), "code:421.greeting", "service-unavailable", "possible"),
        (matched(421, None, "idle"), "code:421.idle", "connection-timeout", "possible"),
        (matched(421), "code:421", "service-unavailable", "generic"),
        (matched(550, None, "rcpt"), "code:550.rcpt", "mailbox-unknown", "possible"),
        (matched(550, None, "mail"), "code:550.mail", "sender-rejected", "possible"),
        (matched(550, "5.2.2", "rcpt"), "enhanced:5.2.2", "mailbox-full", "likely"),
        (matched(550, "5.7.1", "rcpt"), "enhanced:5.7.1", "policy-rejected", "possible"),
        (matched(554, "5.7.1", "greeting"), "code:554.greeting", "ip-blocked-local", "possible"),
        (matched(554, "5.7.1", "connect"), "code:554.greeting", "ip-blocked-local", "possible"),
        (matched(535, "5.7.0", "auth"), "code:535", "auth-failed", "generic"),
        (matched(535, "5.7.3", "auth"), "code:535", "auth-failed", "generic"),
        (matched(554, "5.7.3", "auth"), "enhanced:5.7.3", "tls-failed", "likely"),
        (matched(421, "4.7.0", "rcpt"), "code:421.transaction", "service-unavailable", "possible"),
        (matched(421, "4.3.0", "rcpt"), "enhanced:4.3.0", "server-busy", "possible"),
        (matched(530, "5.7.0", "mail"), "code:530.auth", "auth-required", "possible"),
        (matched(503, "5.7.0"), "code:503", "protocol-error", "generic"),
        (matched(535, "5.7.9", "auth"), "enhanced:5.7.9", "auth-mechanism-unsupported", "likely"),
        (matched(550, "5.7.606", "rcpt"), "enhanced:5.7.606", "ip-blocked-local", "likely"),
        (matched(478), "class:4", None, "generic"),
        (matched(None), "class:?", None, "generic"),
        (matched(None, "5.1.1"), "enhanced:5.1.1", "mailbox-unknown", "likely"),
    ],
)
def test_without_words_the_codes_and_the_place_decide(
    found: Match, rule: str, diagnosis: str | None, confidence: str
) -> None:
    assert (found.rule, found.diagnosis, found.confidence) == (rule, diagnosis, confidence)


@pytest.mark.parametrize(
    ("found", "rule", "confidence"),
    [
        (matched(550, "5.1.1", "rcpt", "User unknown"), "wording:unknown-rcpt", "certain"),
        (matched(550, None, "rcpt", "User unknown"), "wording:unknown-rcpt", "likely"),
        (matched(550, "5.1.2", "rcpt", "Rejected"), "enhanced:5.1.2", "possible"),
        (matched(550, "5.2.2", "rcpt", "User unknown"), "wording:unknown-rcpt", "likely"),
        (matched(554, "5.7.1", "rcpt", "<a@b.example>: Relay access denied"), "pattern:pfx-relay", "likely"),
        (matched(550, "5.1.1", "rcpt", "没有这个"), "enhanced:5.1.1", "likely"),
        (matched(550, "4.2.1", "rcpt"), "enhanced:4.2.1", "possible"),
        (matched(554, "5.4.6", "message", "it came by here already"), "enhanced:5.4.6", "possible"),
        (matched(504, "5.7.4", "auth", "TLS is on already"), "wording:sequence", "likely"),
        (matched(501, "5.1.8", None, "the domain does not exist"), "enhanced:5.1.8", "likely"),
    ],
)
def test_words_and_enhanced_code_confirm_each_other_or_the_more_specific_one_wins(
    found: Match, rule: str, confidence: str
) -> None:
    assert (found.rule, found.confidence) == (rule, confidence)


@pytest.mark.parametrize(
    ("enhanced", "words", "diagnosis"),
    [
        ("5.1.7", "no such domain", "sender-domain-unresolvable"),
        ("5.1.7", "no such user", "sender-rejected"),
        ("5.1.8", "no such domain", "sender-domain-unresolvable"),
        ("5.7.27", "this domain has a null MX", "sender-domain-null-mx"),
        ("5.1.2", "no such domain", "domain-unknown"),
    ],
)
def test_an_enhanced_code_of_the_sender_tells_whose_address_the_words_mean(
    enhanced: str, words: str, diagnosis: str
) -> None:
    assert matched(550, enhanced, None, words).diagnosis == diagnosis


def test_success_has_no_cause_and_nobody_acts() -> None:
    found = matched(250, None, "ehlo", "mx.dest.example at your service, no spam")
    assert (found.category, found.diagnosis, found.actor, found.retry) == ("none", None, "none", "n.a.")
    assert (found.rule, found.confidence, found.code_key) == ("code:250.ehlo", "certain", "250.ehlo")


def test_421_after_quit_is_a_goodbye() -> None:
    found = matched(421, None, "quit")
    assert (found.code_key, found.category, found.actor, found.retry) == ("421.quit", "none", "none", "n.a.")


def test_221_that_nobody_asked_for_is_no_success() -> None:
    found = matched(221, None, "mail", "Bye")
    assert (found.code_key, found.diagnosis, found.retry) == ("221.unasked", "service-unavailable", "yes")


def test_a_success_code_with_the_words_of_a_refusal_is_told_by_its_words() -> None:
    assert matched(221, "2.7.0", "data", "Error: I can break rules, too. Goodbye.").pattern == "pfx-not-smtp"


# --- what follows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "actor", "retry", "after_s"),
    [
        (matched(450, "4.2.0", "rcpt", "Greylisted"), "sender", "yes", 900),
        (matched(552, "5.2.2", "rcpt", "Mailbox full"), "receiver", "yes", 14400),
        (matched(450, "4.2.1", "rcpt", "mailbox temporarily locked"), "receiver", "yes", None),
        (matched(450, "4.2.1", "rcpt", "mailbox locked"), "receiver", "no", None),
        (matched(454, "4.7.0", "auth", "too many failed logins, locked for 15 minutes"), "sender", "yes", None),
        (matched(454, "4.7.0", "starttls", "TLS not available"), "receiver", "yes", 900),
        (matched(502, "5.5.1", "starttls", "STARTTLS not supported"), "receiver", "no", None),
        (matched(550, "5.2.1", "rcpt", "mailbox temporarily locked"), "receiver", "no", None),
        (matched(421, "4.7.0", "message", "no DKIM signature"), "sender", "no", None),
        (matched(478), "either", "yes", None),
        (matched(578), "either", "no", None),
        (matched(421, None, "greeting"), "either", "yes", 1800),
        (matched(550, None, "rcpt"), "sender", "no", None),
    ],
)
def test_who_acts_and_whether_waiting_helps(found: Match, actor: str, retry: str, after_s: int | None) -> None:
    assert (found.actor, found.retry, found.retry_after_s) == (actor, retry, after_s)


def test_a_cause_chooses_the_story_of_its_code() -> None:
    assert matched(452, "4.5.3", "rcpt", "Too many recipients").code_key == "452.recipients"
    assert matched(421, None, "rcpt", "Too many connections").code_key == "421.transaction"


def test_an_unknown_code_is_told_by_its_class() -> None:
    assert [matched(code).code_key for code in (478, 599, 199, 999, 42)] == ["4xx", "5xx", "1xx", "xxx", "xxx"]


def test_references_are_those_of_the_code_and_of_the_enhanced_code() -> None:
    assert matched(550, "5.1.1").references == ("RFC 5321 4.2.3", "RFC 3463 3.2")


@pytest.mark.parametrize(
    ("found", "contradictions"),
    [
        (matched(550, "4.2.1", "rcpt", "x"), ("class-mismatch",)),
        (matched(450, "4.1.1", "rcpt", "User unknown"), ("worded-permanent",)),
        (matched(450, "4.2.1", "rcpt", "mailbox temporarily locked"), ()),
        (matched(450, "4.7.1", "rcpt", "permanently refused"), ("worded-permanent",)),
        (matched(550, "5.7.1", "rcpt", "try again later"), ("worded-temporary",)),
        (matched(550, "4.7.1", "rcpt", "try again later"), ("class-mismatch", "worded-temporary")),
        (matched(450, "4.2.2", "rcpt", "Mailbox full"), ()),
        (matched(550, "5.1.1", "rcpt", "User unknown"), ()),
        (matched(550, "5.1.1", "rcpt", "Mailbox full"), ("enhanced-mismatch",)),
        (matched(550, "5.2.2", "rcpt", "User unknown"), ("enhanced-mismatch",)),
        (matched(554, "5.1.1", "message", "this is spam"), ("enhanced-mismatch",)),
        (matched(550, "5.2.1", "rcpt", "User unknown"), ()),
        (matched(550, "5.7.1", "rcpt", "User unknown"), ()),
        (matched(550, "5.1.1", "rcpt", "Rejected"), ()),
        (matched(250, "2.1.5", "rcpt", "never mind, later"), ()),
        (match(550, None, "rcpt", ["a", "b"], has_mixed_codes=True), ("mixed-codes",)),
    ],
)
def test_what_does_not_fit_together_is_named(found: Match, contradictions: tuple[str, ...]) -> None:
    assert found.contradictions == contradictions


# --- replies off the wire -------------------------------------------------------------------------------------------


def test_a_reply_is_explained_where_it_stands() -> None:
    found = explain(parse_reply(b"550-5.1.1 No such\r\n550 5.1.1 user here\r\n"), Phase.RCPT)
    assert (found.code, found.enhanced, found.phase) == (550, "5.1.1", Phase.RCPT)
    assert (found.diagnosis, found.category) == ("mailbox-unknown", "user_unknown")
    assert (found.actor, found.retry, found.confidence) == (Actor.SENDER, Retry.NO, Confidence.CERTAIN)
    assert (found.code_key, found.enhanced_key, found.pattern) == ("550.rcpt", "x.1.1", None)


def test_mixed_codes_of_a_reply_are_a_contradiction() -> None:
    reply = parse_reply(b"550-no\r\n450 yes\r\n")
    assert Irregularity.MIXED_CODES in reply.irregularities
    assert explain(reply, None).contradictions == ("mixed-codes",)


def test_the_name_of_the_host_proves_the_provider() -> None:
    reply = parse_reply(b"421 4.7.0 Try again later, closing connection. (EHLO)\r\n")
    assert explain(reply, Phase.EHLO).provider is None
    assert explain(reply, Phase.EHLO, provider_hint="aspmx.l.google.com").provider == "Google"


def test_a_reply_of_nothing_is_explained_as_not_known() -> None:
    found = explain(Reply(raw=b"", code=None), None)
    assert (found.rule, found.category, found.confidence) == ("class:?", "unknown", Confidence.GENERIC)
