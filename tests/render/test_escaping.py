"""What a hostile server may write on the screen: nothing but what can be seen."""

from __future__ import annotations

import ast
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpprobe.render.escaping import escape, show_bytes


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("220 mx1.example.org ESMTP", "220 mx1.example.org ESMTP"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("bell\x07, NUL\x00, DEL\x7f", "bell\\x07, NUL\\x00, DEL\\x7f"),
        ("C1 CSI \x9b2J", "C1 CSI \\x9b2J"),
        ("a\tb\r\nc", "a\\tb\\r\\nc"),
        ("abc\u202egnp.exe", "abc\\u202egnp.exe"),
        ("\u2066isolate\u2069", "\\u2066isolate\\u2069"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("line\u2028separator", "line\\u2028separator"),
        ("surrogate \udcff", "surrogate \\udcff"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("filler \u3164, selector \ufe0f", "filler \\u3164, selector \\ufe0f"),
        ("private \ue000", "private \\ue000"),
        ("Grüße, 邮件服务器\u3000就绪, 메일, почта", "Grüße, 邮件服务器\u3000就绪, 메일, почта"),
        ("back\\slash", "back\\slash"),
        ("::error::owned", "\\x3a:error::owned"),
        ("a :::Set-Output name=x::y", "a :\\x3a:Set-Output name=x::y"),
        (
            "##[add-mask]a ##vso[task.setvariable]b ##teamcity[c",
            "\\x23#[add-mask]a \\x23#vso[task.setvariable]b \\x23#teamcity[c",
        ),
        (
            "[IPv6:2001:db8::1] ::1 ::ffff:192.0.2.1 C++::std #1 ## 2",
            "[IPv6:2001:db8::1] ::1 ::ffff:192.0.2.1 C++::std #1 ## 2",
        ),
        ("", ""),
    ],
)
def test_what_can_be_seen_is_kept_and_the_rest_is_spelled_out(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_that_acts_on_a_terminal_survives(text: str) -> None:
    shown = escape(text)
    assert all(unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in shown)
    assert escape(shown) == shown


@given(st.binary() | st.sampled_from([b"::error::owned", b"\\::add-mask::a##[group]"]))
def test_shown_bytes_can_be_read_back(raw: bytes) -> None:
    shown = show_bytes(raw)
    assert shown.isascii()
    assert shown.isprintable()
    quoted = shown.replace('"', '\\"')
    assert ast.literal_eval(f'b"{quoted}"') == raw
