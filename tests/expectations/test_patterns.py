"""No regular expression of a file lets a server hold up the judgement."""

from __future__ import annotations

import pytest

from smtpprobe.expectations.patterns import MAX_TEXT, check_pattern, find

GOOD = (
    "^mx[12]",
    "ESMTP",
    r"^mx\d\.example\.(org|net) ESMTP (Postfix|Exim)",
    r"^(?P<host>[a-z0-9.-]+) ESMTP .*$",
    "(?i)postfix|exim|(?:open)?smtpd",
    "Postfix.*Debian.*",
    r"\bready\b(?! to go)",
    r"(\d)\1",
    r"(a)?(?(1)b|c)",
    "(?:ab|cd){0,3}",
    "^(?:[0-9]{1,3}[.]){3}[0-9]{1,3}",
    "",
)
ENDLESS = (
    "(a+)+b",
    "(a*)*b",
    "(a|a)*b",
    "(?:a?){40}b",
    "a?" * 40 + "b",
    "(?=(a+)+b)",
    "(?:(?i:a+))+b",
    ".*.*.*b",
    r"(\w*)(\w*)\1b",
    "a*a*a*b",
    r"(?P<x>(?:\w|\d\d)+)!",
    "(a)?(?(1)(a+)+|b)",
)


@pytest.mark.parametrize("pattern", GOOD)
def test_an_expression_as_people_write_it_is_taken(pattern: str) -> None:
    check_pattern(pattern)


@pytest.mark.parametrize("pattern", ENDLESS)
def test_one_that_a_text_can_keep_busy_for_ever_is_none(pattern: str) -> None:
    with pytest.raises(ValueError, match="could take for ever on what a server may say"):
        check_pattern(pattern)


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "(?<=a*)b", "a{99999999999}", "(" * 5000 + ")" * 5000])
def test_what_is_no_expression_is_said_so(pattern: str) -> None:
    with pytest.raises(ValueError, match="is no regular expression"):
        check_pattern(pattern)


def test_the_beginning_of_a_text_is_looked_at() -> None:
    text = "x" * (MAX_TEXT - 1) + "yz"
    assert find("x+y", text)
    assert not find("z", text)
