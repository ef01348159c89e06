"""How phrases are put together in each language, alone and in whole reports."""

from __future__ import annotations

import re

import pytest

from smtpprobe import texts
from smtpprobe.checks import KINDS
from smtpprobe.reference.asked import recognise
from smtpprobe.render import explanation_text, renderer, writing
from smtpprobe.render.explanation import explain
from smtpprobe.render.layout import Terminal, cell_width
from smtpprobe.render.style import Style
from tests.render import reports

FULL_WIDTH = ("ja", "zh-Hans")
_HAN = "[\u3040-\u30ff\u4e00-\u9fff]"
HALF_WIDTH_MARK = re.compile(rf"{_HAN}[*]*[,:;.!?]|{_HAN} ?\(")
"""A mark of English right behind Chinese or Japanese."""
COLON_OF_ENGLISH = re.compile(r"[a-zà-ÿ)][*]*: ")


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en", "Reason: likely (1.4; MAIL, RCPT)."),
        ("de", "Reason: likely (1,4; MAIL, RCPT)."),
        ("fr", "Reason\u00a0: likely (1,4\u00a0; MAIL, RCPT)."),
        ("zh-Hans", "Reason：likely（1.4；MAIL、RCPT）。"),
        ("ja", "Reason：likely（1.4／MAIL、RCPT）。"),
    ],
)
def test_phrases_are_joined_by_the_marks_of_the_language(language: str, told: str) -> None:
    more = writing.clauses((writing.decimal("1.4", language), writing.listed(("MAIL", "RCPT"), language)), language)
    likely = writing.closed(writing.aside("likely", more, language), language)
    assert writing.named("Reason", likely, language) == told


@pytest.mark.parametrize(
    ("language", "written"), [("en", "1,234,567"), ("de", "1.234.567"), ("fr", "1\u00a0234\u00a0567")]
)
def test_long_numbers_are_written_in_groups(language: str, written: str) -> None:
    assert (writing.number(1234567, language), writing.number(999, language)) == (written, "999")


def test_what_is_empty_leaves_no_mark_behind() -> None:
    assert writing.together(("TLS 1.3", "", "trusted"), "en") == "TLS 1.3, trusted"
    assert writing.sentences(("", "One.", ""), "en") == "One."
    assert writing.way(("delivers", ""), "en") == "delivers"
    assert writing.aside("likely", "", "en") == "likely"


@pytest.mark.parametrize("language", texts.languages())
def test_a_brace_in_what_is_joined_is_no_placeholder(language: str) -> None:
    assert "{x}" in writing.named("{x}", "{0}", language)
    assert "{x}" in writing.aside("{x}", "{0}", language)
    assert "{x}" in writing.closed("{x}", language)


def everything_said(language: str) -> str:
    """What people read of some reports and some explanations."""
    every = [make() for name, make in reports.ALL.items() if name != "hostile"]
    shown = [
        "".join(renderer(name).render(every, Style(language=language, verbosity=1)))
        for name in ("text", "markdown", "html")
    ]
    for question in (
        "421",
        "5.7.1",
        "STARTTLS",
        "starttls-missing",
        "550 5.7.1 Relaying denied",
        "451 4.7.1 Greylisted",
    ):
        what = recognise(question, KINDS.__contains__)
        assert what is not None
        block = explain(what, None, language)
        shown.append("\n".join(explanation_text.markdown(block, language)))
        shown.extend(f"{line.head}\n{line.text}" for line in block.lines)
    return "\n".join(shown)


@pytest.mark.parametrize("language", FULL_WIDTH)
def test_no_mark_of_english_stands_behind_han_or_kana(language: str) -> None:
    said = everything_said(language)
    assert [found[0] for found in HALF_WIDTH_MARK.finditer(said)] == []


def test_a_colon_has_a_blank_before_it_in_french() -> None:
    said = [line for line in everything_said("fr").splitlines() if "RFC" not in line and not is_of_machines(line)]
    assert [line for line in said if COLON_OF_ENGLISH.search(line)] == []


def is_of_machines(line: str) -> bool:
    """Style sheets, settings, what systems say, and our own name before targets."""
    return bool(re.search(r"smtpprobe: |mode: |[{;}]|E[A-Z]{4,}:|sha256", line))


@pytest.mark.parametrize("language", texts.languages())
@pytest.mark.parametrize("width", [40, 80])
def test_no_line_is_wider_than_the_terminal_in_any_language(language: str, width: int) -> None:
    style = Style(language=language, terminal=Terminal(width), verbosity=1)
    said = "".join(renderer("text").render([reports.mixed(), reports.host()], style))
    assert [line for line in said.splitlines() if cell_width(line) > width] == []
