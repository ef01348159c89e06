"""What somebody asks about, told by its form."""

from __future__ import annotations

import pytest

from smtpprobe.reference.asked import MAX_REPLY_LINES, Asked, Kind, recognise, recognise_all, replies_of


def is_finding(word: str) -> bool:
    return word == "starttls-missing"


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("421", Kind.CODE, "421"),
        (" 421 ", Kind.CODE, "421"),
        ("999", Kind.CODE, "999"),
        ("421-", Kind.CODE, "421"),
        ("(421)", Kind.CODE, "421"),
        ("421.greeting", Kind.CODE, "421.greeting"),
        ("421.Greeting", Kind.CODE, "421.greeting"),
        ("4.7.0", Kind.ENHANCED, "4.7.0"),
        ("#5.1.1", Kind.ENHANCED, "5.1.1"),
        ("X.7.1", Kind.ENHANCED, "x.7.1"),
        ("(#5.1.1)", Kind.ENHANCED, "5.1.1"),
        ("5.1.1:", Kind.ENHANCED, "5.1.1"),
        ("5.7.X", Kind.ENHANCED, "5.7.x"),
        ("5.7.z", Kind.ENHANCED, "5.7.x"),
        ("4.y.z", Kind.ENHANCED, "4.x.x"),
        ("5.X.X", Kind.ENHANCED, "5.x.x"),
        ("5.*", Kind.ENHANCED, "5.x.x"),
        ("5xx", Kind.CLASS, "5xx"),
        ("4YZ", Kind.CLASS, "4xx"),
        ("2**", Kind.CLASS, "2xx"),
        ("55x", Kind.CLASS, "55x"),
        ("45z", Kind.CLASS, "45x"),
        ("6xx", Kind.CLASS, "6xx"),
        ("chunking", Kind.KEYWORD, "CHUNKING"),
        ("SIZE 35882577", Kind.KEYWORD, "SIZE"),
        ("AUTH PLAIN LOGIN", Kind.KEYWORD, "AUTH"),
        ("AUTH=LOGIN", Kind.KEYWORD, "AUTH="),
        ("XFOO", Kind.KEYWORD, "XFOO"),
        ("greylisted", Kind.DIAGNOSIS, "greylisted"),
        ("STARTTLS-missing", Kind.FINDING, "starttls-missing"),
        ("550 no", Kind.REPLY, "550 no"),
        ("550-no", Kind.REPLY, "550-no"),
        ("Mailbox full", Kind.REPLY, "Mailbox full"),
        ("邮箱已满", Kind.REPLY, "邮箱已满"),
        ("421.nowhere and more", Kind.REPLY, "421.nowhere and more"),
    ],
)
def test_a_text_is_told_by_its_form(text: str, kind: Kind, value: str) -> None:
    assert recognise(text, is_finding) == Asked(kind, value, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "foo",
        "42",
        "4217",
        "421.nowhere",
        "4.7",
        "9.1.1",
        "x.y.z",
        "5x",
        "5xxx",
        "5x5",
        "/etc/passwd",
        "-v",
    ],
)
def test_what_has_no_form_is_not_guessed_at(text: str) -> None:
    assert recognise(text, is_finding) is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["421", "450"], [(Kind.CODE, "421"), (Kind.CODE, "450")]),
        (["421", "CHUNKING"], [(Kind.CODE, "421"), (Kind.KEYWORD, "CHUNKING")]),
        (["550", "5.7.1"], [(Kind.REPLY, "550 5.7.1")]),
        (["550", "5.7.1", "Relay", "denied"], [(Kind.REPLY, "550 5.7.1 Relay denied")]),
        (["550", "Relay", "denied"], [(Kind.REPLY, "550 Relay denied")]),
        (["550-5.7.1", "Relay", "denied"], [(Kind.REPLY, "550-5.7.1 Relay denied")]),
        (["550-", "Relay", "denied"], [(Kind.REPLY, "550- Relay denied")]),
        (["5.7.1", "Relay", "denied"], [(Kind.REPLY, "5.7.1 Relay denied")]),
        (["mailbox", "isn't", "there!"], [(Kind.REPLY, "mailbox isn't there!")]),
        (["4xx", "5xx"], [(Kind.CLASS, "4xx"), (Kind.CLASS, "5xx")]),
        (["550", "550 no"], [(Kind.CODE, "550"), (Kind.REPLY, "550 no")]),
        (["4.7.1", "421"], [(Kind.ENHANCED, "4.7.1"), (Kind.CODE, "421")]),
    ],
)
def test_a_reply_whose_quotes_were_forgotten_is_put_together(
    words: list[str], expected: list[tuple[Kind, str]]
) -> None:
    found = recognise_all(words, is_finding)
    assert not isinstance(found, str)
    assert [(each.kind, each.value) for each in found] == expected


@pytest.mark.parametrize(
    "words",
    [["a.txt", "b.txt"], ["x.7.1", "denied"], ["foo", "-v"], ["foo"], ["RCPT", "TO"], ["greylistd", "tarpitted"]],
)
def test_what_cannot_be_the_words_of_a_reply_is_not_put_together(words: list[str]) -> None:
    assert isinstance(recognise_all(words, is_finding), str)


def test_the_first_word_that_is_not_understood_is_given_back() -> None:
    assert recognise_all(["CHUNKING", "foo", "bar"], is_finding) == "foo"


def test_lines_of_a_file_are_put_together_to_replies() -> None:
    lines = [
        "250-one\r\n",
        "250 two\n",
        "\n",
        "550 no\n",
        "Mailbox full\n",
        "450-a\n",
        "451-b\n",
        "451 c\n",
        "220-open",
    ]
    assert list(replies_of(lines)) == [
        "250-one\n250 two",
        "550 no",
        "Mailbox full",
        "450-a",
        "451-b\n451 c",
        "220-open",
    ]


def test_an_empty_line_ends_a_reply_that_announced_more() -> None:
    assert list(replies_of(["250-one\n", "\n", "250-two\n"])) == ["250-one", "250-two"]


def test_a_reply_that_never_ends_comes_in_pieces() -> None:
    pieces = [reply.count("\n") + 1 for reply in replies_of("250-x\n" for _ in range(2 * MAX_REPLY_LINES + 1))]
    assert pieces == [MAX_REPLY_LINES, MAX_REPLY_LINES, 1]
