"""Make text of servers and of the DNS fit to be seen: what could move a cursor, hide, or turn letters round is shown.

Nothing of such text may reach a person by another way. A format with a syntax of its own (XML, HTML, Prometheus)
encodes after this step, never instead of it. The module imports nothing heavy, since `explain` starts with it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

_BACKQUOTES = re.compile("`+")

MAX_QUOTED_LINES = 20
"""Lines of a reply that a finding quotes; all of them stand in the transcript."""
MAX_QUOTED_CHARACTERS = 600
"""Of one line."""

_INVISIBLE = frozenset(
    [
        0x034F,  # combining grapheme joiner
        *range(0x115F, 0x1161),  # Hangul fillers
        *range(0x17B4, 0x17B6),
        *range(0x180B, 0x1810),
        0x2800,  # blank Braille pattern
        0x3164,
        *range(0xFE00, 0xFE10),  # variation selectors
        0xFFA0,
        *range(0xE0100, 0xE01F0),
    ]
)
"""Code points that show nothing although their category says letter, mark or symbol (Default_Ignorable_Code_Point)."""

_HARMLESS = frozenset(["Zs"])
"""Categories that `str.isprintable` refuses without need: the blanks, of which CJK text has a wide one."""

_COMMAND = re.compile(
    "(?:"
    ":(?=:(?:error|warning|notice|debug|group|endgroup|echo|add-mask|add-matcher|remove-matcher|set-output|save-state"
    "|set-env|add-path|stop-commands|internal-set-repo-path))"
    "|#(?=#[a-z]*\\[)"
    ")",
    re.IGNORECASE,
)
"""Where a command begins to which a CI server listens in the log of a job: GitHub Actions also behind blanks, and Azure
Pipelines (``##vso[``), TeamCity (``##teamcity[``) and the older form of GitHub's (``##[``) even within a line."""

_NAMED = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
_BYTE_NAMES = {
    point: _NAMED.get(chr(point), "\\\\" if point == 0x5C else f"\\x{point:02x}")
    for point in range(0x100)
    if not 0x20 <= point < 0x7F or point == 0x5C
}


def escape(text: str) -> str:
    """Show what cannot be printed as ``\\x1b``, ``\\u202e`` or ``\\U000e0001``; keep printable text of any script.

    Shown that way are control characters (C0 with TAB and line ends, DEL, C1), format characters (bidi controls,
    zero-width characters, BOM), line and paragraph separators, lone surrogates, private and unassigned code points,
    and letters and marks that have no shape; and the first character of what would be a command in the log of a CI job.
    The result has one line; a backslash stays as it is.
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(character if _is_visible(character) else _escaped(character) for character in text)
    return _without_commands(text)


def show_bytes(raw: bytes) -> str:
    """Show bytes without loss: printable ASCII, backslashes doubled, else ``\\r``, ``\\n``, ``\\t``, ``\\xNN``."""
    return _without_commands(raw.decode("latin-1").translate(_BYTE_NAMES))


def show_lines(raw: bytes) -> tuple[str, ...]:
    """Show what a server sent line by line as a person reads it: UTF-8 where it is, line ends left out.

    Nothing else is left out, so a lone CR is seen; what comes after the last LF is a line too.
    """
    *lines, rest = raw.split(b"\n")
    if rest:
        lines.append(rest)
    return tuple(escape(line.removesuffix(b"\r").decode("utf-8", "backslashreplace")) for line in lines)


def quoted(lines: Sequence[str]) -> tuple[str, ...]:
    """Shorten the lines of `show_lines` for a finding that rests on them to their beginning."""
    shown = [
        line if len(line) <= MAX_QUOTED_CHARACTERS else f"{line[:MAX_QUOTED_CHARACTERS]}…"
        for line in lines[:MAX_QUOTED_LINES]
    ]
    return (*shown, f"… ({len(lines) - len(shown)})") if len(lines) > len(shown) else tuple(shown)


def fenced(lines: Sequence[str]) -> Iterator[str]:
    """Somebody else's lines as a block of code in Markdown, whatever they say.

    Indentation would not do in a list: how deep code is depends on the items before it (CommonMark 5.2).
    """
    longest = max((len(run) for line in lines for run in _BACKQUOTES.findall(line)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (fence, *lines, fence)


def _without_commands(text: str) -> str:
    if "::" not in text and "##" not in text:
        return text
    return _COMMAND.sub(lambda found: _escaped(found[0]), text)


def _is_visible(character: str) -> bool:
    if ord(character) in _INVISIBLE:
        return False
    return character.isprintable() or unicodedata.category(character) in _HARMLESS


def _escaped(character: str) -> str:
    point = ord(character)
    if point < 0x100:
        return _NAMED.get(character, f"\\x{point:02x}")
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
