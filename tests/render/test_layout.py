"""Width, wrapping and colour."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpprobe.render import layout
from smtpprobe.render.layout import Column, Terminal, cell_width, cut, describe_terminal, pad, table_widths, wrap


class Stream(io.StringIO):
    def __init__(self, *, is_terminal: bool = False, encoding: str = "utf-8") -> None:
        super().__init__()
        self.is_terminal = is_terminal
        self._encoding = encoding

    def isatty(self) -> bool:
        return self.is_terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


@pytest.mark.parametrize(
    ("text", "cells"), [("abc", 3), ("邮件", 4), ("é", 1), ("e\u0301", 1), ("ｱ", 1), ("메일", 4), ("", 0)]
)
def test_wide_characters_take_two_cells_and_marks_none(text: str, cells: int) -> None:
    assert cell_width(text) == cells
    assert cell_width(pad(text, 10)) == 10
    assert pad(text, 10, to_right=True).strip() == text


@pytest.mark.parametrize(
    ("text", "cells", "short"), [("mx1.example.org", 9, "mx1.exam…"), ("邮件服务器", 6, "邮件…"), ("abc", 3, "abc")]
)
def test_a_cut_text_fits_and_says_that_it_is_cut(text: str, cells: int, short: str) -> None:
    assert cut(text, cells) == short


def test_running_text_breaks_at_blanks_and_keeps_its_own_line_ends() -> None:
    assert wrap("one two three\nfour", 9, first="- ") == ["- one two", "  three", "  four"]


def test_chinese_breaks_anywhere_but_not_before_a_full_stop() -> None:
    assert wrap("服务器正常。", 10) == ["服务器正", "常。"]


def test_what_does_not_fit_beside_a_wide_label_goes_below_it_unbroken() -> None:
    label = "  ✔ Any sender     "
    lines = wrap("mx2.two-troubles.example, later", 32, first=label, rest="      ")
    assert lines == [label.rstrip(), "      mx2.two-troubles.example,", "      later"]


def test_a_number_and_its_unit_stay_together() -> None:
    assert wrap("可信，耗时 181\u00a0毫秒。", 16) == ["可信，耗时", "181\u00a0毫秒。"]
    assert wrap("trusted, 181\u00a0ms", 12) == ["trusted,", "181\u00a0ms"]


def test_a_word_longer_than_the_line_is_broken() -> None:
    assert wrap("see https://example.org/aaaaaaaaaaaa", 12, first="  ") == [
        "  see",
        "  https://ex",
        "  ample.org/",
        "  aaaaaaaaaa",
        "  aa",
    ]


@given(st.text(max_size=200), st.integers(min_value=4, max_value=60))
def test_wrapped_text_fits_and_loses_only_blanks(text: str, cells: int) -> None:
    lines = wrap(text, cells)
    assert all(cell_width(line) <= cells for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_a_table_shrinks_where_it_may_and_gives_up_where_it_cannot() -> None:
    columns = [Column("Address"), Column("Software", shrinks=True)]
    rows = [("192.0.2.1", "ESMTP Postfix 3.7.11 (Debian/GNU)")]
    assert table_widths(columns, rows, 80) == [9, 33]
    assert table_widths(columns, rows, 30) == [9, 19]
    assert table_widths(columns, rows, 15) is None


@pytest.mark.parametrize(
    ("stream", "environ", "terminal"),
    [
        (Stream(is_terminal=True), {"COLUMNS": "100"}, Terminal(100, True, True)),
        (Stream(is_terminal=True), {"COLUMNS": "100", "NO_COLOR": "1"}, Terminal(100, False, True)),
        (Stream(is_terminal=True), {"COLUMNS": "100", "TERM": "dumb"}, Terminal(100, False, True)),
        (Stream(), {}, Terminal(80, False, True)),
        (Stream(), {"FORCE_COLOR": "1", "COLUMNS": "9"}, Terminal(40, True, True)),
        (Stream(encoding="ascii"), {"COLUMNS": "1000"}, Terminal(200, False, False)),
        (Stream(encoding="iso-8859-1"), {}, Terminal(80, False, False)),
    ],
)
def test_a_terminal_is_described_by_its_stream_and_environment(
    stream: Stream, environ: dict[str, str], terminal: Terminal
) -> None:
    assert describe_terminal(stream, environ) == terminal


def test_a_plain_terminal_is_sent_no_escape_sequence() -> None:
    assert Terminal(80, False, True).paint("text", "error") == "text"
    assert Terminal(80, True, True).paint("text", "error") == "\x1b[1;31mtext\x1b[0m"


def test_text_without_wide_characters_needs_no_rules_for_them() -> None:
    layout._piece.cache_clear()
    assert layout.wrap("Mail – “can” come  in…", 12) == ["Mail – “can”", "come  in…"]
    assert layout._piece.cache_info().misses == 0
