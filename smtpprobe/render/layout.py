"""How text fits a terminal: how wide it is, where it breaks, what stands under what, and in which colour.

Lines are counted in cells, not in characters, so that Chinese, Japanese and Korean text lines up. The module is small
and imports nothing, because `explain` must start as fast as click itself; a table library would cost twice that.
Colour is decided in one place and only ever repeats what a word or a sign says already.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import IO, Final, NamedTuple

MIN_WIDTH: Final = 40
"""Cells. Narrower terminals wrap by themselves."""
MAX_WIDTH: Final = 200
"""Cells. Wider lines are hard to follow."""
PROSE_WIDTH: Final = 100
"""Cells. The longest line of running text that the eye follows with ease."""
DEFAULT_WIDTH: Final = 80

_SIGNS: Final = {
    "ok": ("✔", "+"),
    "info": ("•", "-"),
    "warning": ("▲", "!"),
    "error": ("✖", "x"),
    "inconclusive": ("?", "?"),
    "none": (" ", " "),
    "arrow": ("→", "->"),
    "dash": ("–", "-"),
    "dot": ("·", "-"),
    "more": ("…", "..."),
    "rule": ("─", "-"),
}
"""Name -> the sign where Unicode can be shown, and where only ASCII can."""

_SGR: Final = {
    "ok": "32",
    "info": "36",
    "warning": "33",
    "error": "1;31",
    "inconclusive": "35",
    "bold": "1",
    "dim": "2",
}
"""Name -> SGR parameters of ECMA-48: the eight colours that each terminal's owner has chosen to be readable."""


class Terminal(NamedTuple):
    """What the output is shown on."""

    width: int = DEFAULT_WIDTH
    """Cells in a line."""
    is_coloured: bool = False
    is_unicode: bool = True
    """False where the encoding of the stream lacks the signs: then they are ASCII."""

    def sign(self, name: str) -> str:
        """The sign of that name."""
        return _SIGNS[name][0 if self.is_unicode else 1]

    def paint(self, text: str, style: str | None) -> str:
        """Colour text; text without a style, or on a plain terminal, stays as it is."""
        if not self.is_coloured or style is None or style not in _SGR or not text:
            return text
        return f"\x1b[{_SGR[style]}m{text}\x1b[0m"

    @property
    def prose(self) -> int:
        """Cells in a line of running text."""
        return min(self.width, PROSE_WIDTH)


def describe_terminal(stream: IO[str], environ: Mapping[str, str] = os.environ) -> Terminal:
    """Tell what a stream can show.

    ``COLUMNS`` sets the width. ``NO_COLOR`` and ``TERM=dumb`` turn colours off; ``FORCE_COLOR`` turns them on where
    the stream is no terminal. The width is kept between `MIN_WIDTH` and `MAX_WIDTH`.
    """
    is_terminal = stream.isatty()
    columns = environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        width = int(columns)
    elif is_terminal:
        import shutil  # brings three compressors along, which a pipe need not wait for

        width = shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns
    else:
        width = DEFAULT_WIDTH
    is_coloured = (is_terminal and environ.get("TERM") != "dumb") or bool(environ.get("FORCE_COLOR"))
    return Terminal(
        width=max(MIN_WIDTH, min(MAX_WIDTH, width)),
        is_coloured=is_coloured and not environ.get("NO_COLOR"),
        is_unicode=_can_encode(stream),
    )


def _can_encode(stream: IO[str]) -> bool:
    try:
        "".join(sign for sign, _ in _SIGNS.values()).encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def cell_width(text: str) -> int:
    """Count the cells that text takes: 2 for wide and full-width characters (UAX #11), 0 for combining marks."""
    if text.isascii():
        return len(text)
    return sum(map(_cells, text))


def _cells(character: str) -> int:
    if character < "\u0300":
        return 1
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def pad(text: str, cells: int, *, to_right: bool = False) -> str:
    """Fill text with blanks to a width; longer text stays as it is."""
    blanks = " " * (cells - cell_width(text))
    return blanks + text if to_right else text + blanks


def cut(text: str, cells: int, more: str = "…") -> str:
    """Shorten text to a width, never inside a character; what is cut ends in `more`."""
    if cell_width(text) <= cells:
        return text
    head, _ = _split_at(text, max(0, cells - cell_width(more)))
    return head.rstrip() + more


def _split_at(text: str, cells: int) -> tuple[str, str]:
    """Split text after as many characters as fit; combining marks stay with their letter."""
    used = 0
    for index, character in enumerate(text):
        used += _cells(character)
        if used > cells:
            return text[:index], text[index:]
    return text, ""


_WIDE = (
    "\u2e80-\u303f\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003fffd"
)
_FIRST_WIDE = "\u2e80"
_OPENING = "（「『【《〈〔［｛"
_CLOSING = "）」』】》〉〕］｝、。，．：；！？ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ…"


@cache
def _piece() -> re.Pattern[str]:
    """What stays together in a word: Chinese and Japanese break between any two characters, but not before a closing
    and not after an opening mark (JIS X 4051), nor between a number and its unit (U+00A0). Korean breaks at blanks, as
    Latin does.

    Compiling it takes as long as importing the rest of this module, and few outputs need it.
    """
    number = f"[^{_WIDE}]*\u00a0[{_WIDE}]{{1,3}}"
    return re.compile(f"[{_OPENING}]*(?:{number}|[{_WIDE}]|[^{_WIDE}]+)[{_CLOSING}]*|[{_OPENING}]+")


def wrap(text: str, cells: int, *, first: str = "", rest: str | None = None) -> list[str]:
    """Break text into lines of at most `cells`, counting what is put before them; its own line ends are kept.

    Args:
        first: put before the first line.
        rest: put before the others; None: blanks as wide as `first`.
    """
    following = " " * cell_width(first) if rest is None else rest
    lines: list[str] = []
    for paragraph in text.split("\n"):
        lines.extend(_wrap_paragraph(paragraph, cells, following if lines else first, following))
    return lines


def _wrap_paragraph(text: str, cells: int, first: str, rest: str) -> list[str]:
    lines: list[str] = []
    line, used, is_empty = first, cell_width(first), True
    may_leave = used > cell_width(rest)  # more fits into the lines that follow
    for blanks, piece in _pieces(text, max(2, cells - cell_width(rest))):
        width = cell_width(piece)
        if used + len(blanks) + width > cells and (not is_empty or (may_leave and not lines)):
            lines.append(line.rstrip())
            line, used, is_empty = rest, cell_width(rest), True
        # A broken line begins with its word; the text itself may begin with blanks.
        between = "" if is_empty and (lines or used + len(blanks) + width > cells) else blanks
        line += between + piece
        used += len(between) + width
        is_empty = False
    return [*lines, line.rstrip()]


def _pieces(text: str, room: int) -> Iterator[tuple[str, str]]:
    """Cut text into what must not be broken, each with the blanks before it; what is wider than `room` is broken."""
    blanks = ""
    for index, word in enumerate(text.split(" ")):
        blanks += " " if index else ""
        for piece in _piece().findall(word) if max(word, default="") >= _FIRST_WIDE else filter(None, (word,)):
            rest = piece
            while cell_width(rest) > room:
                head, rest = _split_at(rest, room)
                yield blanks, head
                blanks = ""
            yield blanks, rest
            blanks = ""


def painted(
    terminal: Terminal, lines: Iterable[str], first: str, style: str | None, rest: str | None = None
) -> Iterator[str]:
    """Paint wrapped lines: what was put before the first one in one style, the text itself in another."""
    for index, line in enumerate(lines):
        start = len(first) if index == 0 else len(line) - len(line.lstrip())
        yield terminal.paint(line[:start], style if index == 0 else None) + terminal.paint(line[start:], rest)


class Column(NamedTuple):
    """One column of a table."""

    head: str
    to_right: bool = False
    """Aligned to the right, as numbers are."""
    shrinks: bool = False
    """May be cut to make the table fit."""


def table_widths(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], cells: int, gap: int = 2
) -> list[int] | None:
    """Find the width of each column, so that the table fits into `cells`; None where it cannot.

    Columns that may shrink give way in equal measure, none below the width of its head or 8 cells.
    """
    widths = [cell_width(column.head) for column in columns]
    for row in rows:
        widths = [max(width, cell_width(text)) for width, text in zip(widths, row, strict=True)]
    # What shrinks is never wider than the table, however much a server says.
    widths = [min(width, cells) if column.shrinks else width for column, width in zip(columns, widths, strict=True)]
    excess = sum(widths) + gap * (len(columns) - 1) - cells
    least = [
        max(8, cell_width(column.head)) if column.shrinks else width
        for column, width in zip(columns, widths, strict=True)
    ]
    while excess > 0:
        widest = max(range(len(widths)), key=lambda index: (widths[index] - least[index], index))
        if widths[widest] <= least[widest]:
            return None
        widths[widest] -= 1
        excess -= 1
    return widths
