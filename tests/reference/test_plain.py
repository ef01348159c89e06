"""The text that is left of a reply without its codes."""

from __future__ import annotations

import pytest

from smtpprobe.reference.plain import plain_text

LIMIT = 2048


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["5.7.1 one", "5.7.1  two "], "one two"),
        (["5.7.1: one"], "one"),
        (["#5.1.0 one"], "#5.1.0 one"),
        (["5.7.1.2 one"], "5.7.1.2 one"),
        (["", " "], ""),
        ([], ""),
    ],
)
def test_lines_become_one_text_without_their_leading_codes(lines: list[str], text: str) -> None:
    assert plain_text(lines, LIMIT) == text


def test_the_text_is_no_longer_than_asked_for() -> None:
    assert len(plain_text(["x" * 5000, "y"], LIMIT)) == LIMIT
    assert len(plain_text(["x"] * 5000, LIMIT)) == LIMIT
