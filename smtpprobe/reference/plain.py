"""The one text that patterns and wordings are sought in: the lines of a reply without the codes. Pure, linear, never
raises."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

ENHANCED: Final = r"[245]\.[0-9]{1,3}\.[0-9]{1,3}"
LEADING: Final = re.compile(rf"\s*(?P<mark>#?)(?P<enhanced>{ENHANCED})(?![\w]|\.[0-9])[:,]?\s*")
"""The enhanced code at the beginning of a line, and what some put before and behind it."""


def plain_text(lines: Sequence[str], limit: int) -> str:
    """Join lines with single blanks, their leading enhanced codes left off, up to a number of characters."""
    pieces: list[str] = []
    length = 0
    for line in lines:
        leading = LEADING.match(line)
        start = leading.end() if leading is not None and not leading["mark"] else 0
        piece = " ".join(line[start : start + limit].split())
        if piece:
            pieces.append(piece)
            length += len(piece) + 1
        if length > limit:
            break
    return " ".join(pieces)[:limit]
