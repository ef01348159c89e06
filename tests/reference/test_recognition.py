"""Each wording of a provider is found by its example, and none can be made slow by what a server sends."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from smtpprobe.reference import banners, patterns, providers
from smtpprobe.reference.matching import match
from smtpprobe.reference.reading import read_reply
from smtpprobe.reference.recognition import (
    MAX_TEXT,
    expression,
    find_pattern,
    provider_of_host,
    provider_of_text,
    required_literals,
)
from smtpprobe.reference.wordtables import PatternRow

MARKERS = {row.id: row.marker for row in patterns().values()} | {
    row.id: row.marker for row in banners().values() if row.where != "host"
}


def texts_of(key: str) -> list[str]:
    """The texts of the examples of a row."""
    row = patterns().get(key) or banners().get(key)
    assert row is not None
    return [" ".join(read_reply(example).lines) for example in row.examples]


def hint(row: PatternRow) -> str | None:
    """What proves the provider, for rows that need it."""
    if row.proof != "host-only" or row.provider is None:
        return None
    known = providers().get(row.provider)
    if known is not None and known.hosts:
        return known.hosts[0]
    return next(
        each.examples[0][4:].replace("\n", " ")
        for each in banners().values()
        if each.provider == row.provider and each.where == "greeting"
    )


def test_each_example_selects_its_own_row_first() -> None:
    wrong = []
    for row in patterns().values():
        for example in row.examples:
            reply = read_reply(example)
            found = match(reply.code, reply.enhanced, None, reply.lines, provider_hint=hint(row))
            if found.pattern != row.id:
                wrong.append(f"{row.id}: {example!r} selects {found.rule}")
    assert not wrong, "\n".join(wrong)


def test_an_example_is_matched_only_with_its_codes() -> None:
    for row in patterns().values():
        if "*" in row.codes or any(each.endswith("*") for each in row.codes):
            continue
        reply = read_reply(row.examples[0])
        found = match(399, reply.enhanced, None, reply.lines, provider_hint=hint(row))
        assert found.pattern != row.id, row.id


def test_a_row_that_needs_its_provider_known_holds_only_then() -> None:
    row = patterns()["haraka-denied"]
    reply = read_reply(row.examples[0])
    assert match(reply.code, reply.enhanced, None, reply.lines).pattern is None
    found = match(reply.code, reply.enhanced, None, reply.lines, provider_hint="mx.dest.example ESMTP Haraka ready")
    assert (found.pattern, found.provider, found.confidence) == ("haraka-denied", "Haraka", "certain")


# --- how they are found ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("marker", "literals"),
    [
        (r"too many errors", ("too many errors",)),
        (r"\bRP-00[12]\b", ("rp-00",)),
        (r"(?:OFR|LPN)\w{0,20}_104|Trop de connexions", ("_104", "trop de connexions")),
        (r"\b(?:OFR|LPN)\w{0,20}_(?:103|105)\b", ("ofr", "lpn")),
        (r"blocke?d by (?:us|them)", ("block",)),
        (r"\(G1F\)", ("(g1f)",)),
        (r"[0-9]{3}", ()),
        (r"(?:abc)?d", ()),
        (r"abc|[0-9]", ()),
        (r"a.{0,9}bcd", ("bcd",)),
    ],
)
def test_a_literal_that_every_match_contains_is_read_from_an_expression(marker: str, literals: tuple[str, ...]) -> None:
    assert required_literals(marker) == literals


def test_whatever_a_marker_matches_contains_one_of_its_literals() -> None:
    for key, marker in MARKERS.items():
        literals = required_literals(marker)
        for text in texts_of(key):
            found = expression(marker).search(text)
            if found is not None and literals:
                assert any(literal in found[0].lower() for literal in literals), key


def test_a_reply_without_a_code_is_looked_up_among_all_rows() -> None:
    row = find_pattern(None, None, "Greylisted, see http://postgrey.schweikert.ch/help/dest.example.html")
    assert row is not None
    assert row.id == "postgrey"


# --- hostile text ---------------------------------------------------------------------------------------------------

PIECES = (
    *("user ", "not ", "n't ", "spam user sender relay ", "用户不", "é", "☃", "a", " ", "\t", "\n", "\\n"),
    *("<", "a@", "a.", "1.", "a=", "ab:", "https://", "[192.0.2.7", "said: ", "smtp;", "(in reply to "),
    *("5.7.1 ", "550-5.7.1 ", "(#5.7.1"),
)

_REPEAT = re.compile(r"(?<!\\)(?:[*+]|\{[0-9]*,([0-9]*)\})")


def test_repetitions_of_a_marker_are_bounded() -> None:
    for key, marker in MARKERS.items():
        bounds = [found[1] or "" for found in _REPEAT.finditer(re.sub(r"\[[^\]]*\]", "x", marker))]
        assert all(bound.isdigit() and int(bound) <= 600 for bound in bounds), key


def hostile(key: str) -> Iterator[str]:
    """Texts that begin a match again and again and never finish it."""
    for text in texts_of(key):
        found = expression(MARKERS[key]).search(text)
        core = found[0] if found is not None else text
        for size in sorted({1, 3, len(core) // 2, len(core) - 1} - {0}):
            yield (core[:size] * (MAX_TEXT // size + 1))[:MAX_TEXT]
            yield ((core[:size] + " ") * (MAX_TEXT // size + 1))[:MAX_TEXT]


@pytest.mark.timeout(20)  # each takes well under a millisecond; an expression that explodes takes minutes
def test_no_marker_explodes_on_text_that_almost_matches_again_and_again() -> None:
    for key, marker in MARKERS.items():
        for text in hostile(key):
            expression(marker).search(text)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("beginning", ["550 ", "421-", "550 5.7.1 ", ""])
def test_a_line_of_64_kib_is_read_and_matched_whatever_it_repeats(piece: str, beginning: str) -> None:
    reply = read_reply(beginning + piece * (64 * 1024 // len(piece)))
    found = match(reply.code, reply.enhanced, None, reply.lines)
    assert found.rule


@pytest.mark.timeout(20)
def test_lines_off_the_wire_are_matched_too_however_long_and_many() -> None:
    for lines in (("user " * 13_000,), ("x",) * 20_000, ("",) * 60_000, (" " * 65_000,)):
        assert match(550, None, "rcpt", lines).code_key == "550.rcpt"


# --- providers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("alt1.gmail-smtp-in.l.google.com", "Google"),
        ("DEST-EXAMPLE.mail.protection.outlook.com.", "Microsoft Exchange Online"),
        ("outlook-com.olc.protection.outlook.com", "Microsoft Outlook.com"),
        ("mta5.am0.yahoodns.net", "Yahoo"),
        ("mx.dest.example", None),
        ("notgoogle.com", None),
        ("com", None),
        ("", None),
    ],
)
def test_a_host_name_proves_its_provider(host: str, provider: str | None) -> None:
    assert provider_of_host(host) == provider


@pytest.mark.parametrize(
    ("text", "provider"),
    [
        ("No. ab1si2 - gsmtp", "Google"),
        ("refused [X1.eur01.prod.protection.outlook.com]", "Microsoft Exchange Online"),
        ("see https://postmaster.gmx.net/en/error", "GMX / WEB.DE / IONOS"),
        ("mta1.mail.ne1.yahoo.com not now", "Yahoo"),
        ("Client host rejected: mail1.google.com", None),
        ("<anna@icloud.com> refused", None),
    ],
)
def test_the_text_proves_a_provider_only_where_nobody_else_would_write_it(text: str, provider: str | None) -> None:
    assert provider_of_text(text, of_mailbox=False) == provider


def test_the_domain_of_a_mailbox_proves_the_provider_where_the_mailbox_is_meant() -> None:
    unknown = match(550, "5.1.1", "rcpt", ["<anna@icloud.com>: user unknown"])
    relaying = match(554, "5.7.1", "rcpt", ["<anna@icloud.com>: Relay access denied"])
    assert (unknown.provider, relaying.provider) == ("Apple iCloud", None)


def test_a_link_to_a_providers_page_is_given_only_where_the_provider_is_proved() -> None:
    lines = ["From: header isn't aligned with the domain of SPF or DKIM"]
    unproved = match(550, "5.7.32", "message", lines)
    proved = match(550, "5.7.32", "message", lines, provider_hint="aspmx.l.google.com")
    assert unproved.pattern == proved.pattern == "gmail-alignment"
    assert (unproved.provider, unproved.links) == (None, ())
    assert proved.provider == "Google"
    assert proved.links
