"""What two codes have in common and what not, in facts."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from smtpprobe.errors import OptionError
from smtpprobe.reference.compare import Difference, Side, differences, expectation, ordered, pair_key, sending, side
from smtpprobe.reference.tables import codes, enhanced_codes


def kinds(a: str, b: str) -> list[str]:
    return [each.kind for each in differences(side(a), side(b))]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("220", "421", ["2-4", "category-same", "closes"]),
        ("450", "550", ["4-5", "category-same"]),
        ("451", "432", ["same-4", "phases", "actor"]),
        ("550", "571", ["same-5", "status"]),
        ("221", "250", ["same-2", "category-differs", "phases", "closes"]),
        ("334", "354", ["same-3", "phases"]),
        ("454", "459", ["same-4", "category-same", "retry"]),
        ("421.greeting", "421.quit", ["same-number", "phases"]),
        ("599", "571", ["same-5", "unknown"]),
        ("599", "520", ["same-5", "unknown", "actor"]),
        ("442", "450", ["same-4", "client-side", "actor"]),
        ("111", "421", ["not-smtp", "client-side"]),
        ("700", "250", ["not-smtp"]),
        ("4.7.1", "5.7.1", ["4-5", "category-same"]),
        ("5.1.1", "5.7.1", ["same-5", "category-differs", "actor"]),
        ("x.7.1", "5.7.1", ["open", "category-same"]),
        ("x.7.1", "x.1.1", ["same-x", "category-differs", "actor"]),
        ("450", "4.2.0", ["levels"]),
        ("250", "4.2.0", ["levels", "levels-class"]),
        ("1.1.1", "2.0.0", ["not-smtp"]),
    ],
)
def test_two_codes_differ_in_what_their_rows_say(a: str, b: str, expected: list[str]) -> None:
    assert kinds(a, b) == expected
    assert kinds(b, a) == expected


def test_the_smaller_code_is_named_first_whatever_was_asked() -> None:
    assert differences(side("550"), side("450"))[0] == Difference("4-5", {"a": "450", "b": "550"})
    assert [each.code for each in ordered(side("5.7.10"), side("5.7.9"))] == ["5.7.9", "5.7.10"]
    assert [each.code for each in ordered(side("4.2.0"), side("550"))] == ["550", "4.2.0"]


@pytest.mark.parametrize(
    ("a", "b", "key"),
    [
        ("550", "450", "450-550"),
        ("421.greeting", "220.starttls", "220-421"),
        ("5.7.1", "4.7.1", "4.7.1-5.7.1"),
        ("421", "421.greeting", None),
        ("450", "4.2.0", None),
    ],
)
def test_a_pair_has_one_key(a: str, b: str, key: str | None) -> None:
    assert pair_key(side(a), side(b)) == key


@pytest.mark.parametrize(
    "text", ["", "42", "4500", "abc", "421.nowhere", "4.7", "4.7.1.2", "4.1234.1", "４５０", "450 4.7.1"]
)
def test_what_is_no_code_is_refused_with_what_one_looks_like(text: str) -> None:
    with pytest.raises(OptionError, match=re.escape(f"{text!r} is no code to compare; write a code as 421")):
        side(text)


@pytest.mark.parametrize(
    ("text", "phase", "key"),
    [
        ("421", None, "421"),
        ("421", "greeting", "421.greeting"),
        ("421", "noop", "421"),
        ("421.quit", "greeting", "421.quit"),
        ("599", "rcpt", "5xx"),
        ("199", None, "1xx"),
        ("999", None, "xxx"),
        ("4.7.1", None, "x.7.1"),
        ("4.7.650", None, "x.7.650-651"),
        ("4.7.99", None, "x.7.x"),
        ("4.x.x", None, "4.x.x"),
        ("X.7.X", None, "x.7.x"),
        ("4yz", "rcpt", "4xx"),
        ("55x", None, "5xx"),
        ("6xx", None, "xxx"),
        ("5.9.9", None, "5.x.x"),
        ("9.9.9", None, None),
    ],
)
def test_a_code_finds_its_words_or_those_of_its_class(text: str, phase: str | None, key: str | None) -> None:
    assert side(text, phase).key == key


def test_what_is_in_no_table_says_so_and_is_judged_by_its_digits() -> None:
    unknown = side("479")
    assert (unknown.is_known, unknown.status, unknown.digit, unknown.retry) == (False, "unknown", "4", "yes")
    assert not side("4.7.99").is_known
    assert side("4.7.1").is_known


def test_classes_are_compared_as_codes_are() -> None:
    one, other = side("5yz"), side("4xx")
    assert [each.kind for each in differences(one, other)] == ["4-5"]
    assert (one.code, one.is_known, one.retry, side("6xx").is_known) == ("5xx", True, "no", False)
    assert sending(side("450"), side("4xx")) == ()


def test_a_code_may_be_written_in_each_way_in_which_it_can_be_explained() -> None:
    assert [side(text).code for text in ("[421]", "4**", "#5.7.1", "5.x", "5.7.*")] == [
        "421",
        "4xx",
        "5.7.1",
        "5.x.x",
        "5.7.x",
    ]


def test_what_a_class_leaves_open_is_no_group_of_its_own() -> None:
    assert [side(code).group for code in ("4xx", "45x", "46x", "4.x.x", "4.7.x")] == ["x", "5", "other", "x", "7"]


def test_the_class_decides_about_another_try_whatever_the_registry_hints() -> None:
    assert [side(code).retry for code in ("4.1.1", "5.2.2", "2.1.5", "x.7.1")] == ["yes", "no", "n.a.", None]


def test_only_basic_codes_of_the_same_class_go_with_an_enhanced_one() -> None:
    assert side("4.7.1").basic_codes == ("451", "454")
    assert "550" in side("5.7.1").basic_codes


@pytest.mark.parametrize(
    ("code", "connection"),
    [("221", "closes"), ("421.quit", "closes"), ("521", "may-close"), ("554", "stays"), ("101", None)],
)
def test_what_becomes_of_the_connection(code: str, connection: str | None) -> None:
    assert side(code).connection == connection


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ("450", "550", [("4-5", {"a": "450", "b": "550"})]),
        ("450", "451", [("same", {})]),
        ("235", "221", [("phases", {"a": "221", "b": "235", "phases_a": "quit", "phases_b": "auth"})]),
        ("571", "550", [("standard", {"code": "550", "other": "571"})]),
        ("571", "572", [("neither", {"example": "550 5.7.1"})]),
        ("101", "421", [("never", {"code": "101"})]),
        ("450", "4.2.0", [("levels", {"a": "450", "b": "4.2.0"})]),
        ("250", "4.2.0", [("levels-class", {"a": "250", "b": "4.2.0"})]),
        ("421.greeting", "421.quit", []),
    ],
)
def test_a_server_is_told_which_to_send(a: str, b: str, said: list[tuple[str, dict[str, str]]]) -> None:
    assert [tuple(each) for each in sending(side(a), side(b))] == said


def test_a_pair_in_which_a_class_is_open_expects_nothing_in_particular() -> None:
    assert expectation(side("x.7.1"), side("5.1.1")) is None
    assert expectation(side("450"), side("4.2.0")) == Difference("levels", {"a": "450", "b": "4.2.0"})


def test_any_two_codes_can_be_compared() -> None:
    everything: list[Side] = [side(key) for key in (*codes(), "199", "299", "599", "999")]
    everything += [side(key) for key in enhanced_codes() if "-" not in key]
    for a, b in combinations(everything, 2):
        assert differences(a, b), (a.code, b.code)
