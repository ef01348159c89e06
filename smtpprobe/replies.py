"""Bytes -> `Reply`: where a reply ends, what it says, and how it departs from RFC 5321 4.2.

A reply is one or more lines. Each begins with the same three digits; a hyphen after them announces another line, a
space or nothing ends the reply::

    250-mail.example.org greets you
    250-SIZE 52428800
    250 8BITMIME

Servers also send what no grammar allows, so two questions are kept apart. *Where does the reply end?* is answered by
`reply_end` as mail servers answer it, by the character behind the digits and nothing else, so that client and server
stay in step. *What does it say, and what is wrong with it?* is answered by `parse_reply`, which takes any bytes at
all, keeps every one of them, and lists the irregularities instead of raising.

Pure. Time is linear in the bytes, whatever they are.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from smtpprobe.evidence import MAX_REPLY_BYTES, Fact, Irregularity, Reply

MAX_LINE_BYTES: Final = 512
"""RFC 5321 4.5.3.1.5: the longest reply line, with code and line end."""

_MAX_COMMON_BYTES: Final = 1024
"""Longer replies are nobody else's, and not worth keeping."""

_HYPHEN: Final = 0x2D
_CR: Final = 0x0D

# RFC 5321 4.2: Reply-code = %x32-35 %x30-35 %x30-39, textstring = 1*(%d09 / %d32-126). Nearly all replies match.
_REGULAR: Final = re.compile(rb"([2-5][0-5][0-9])(?:-[\t -~]*\r\n\1)* [\t -~]*\r\n")
_GRAMMATICAL_CODE: Final = re.compile(rb"[2-5][0-5][0-9]")

# RFC 2034 3, RFC 3463 2: class "." subject "." detail, then a blank. Some servers put "#" before or punctuation behind.
_ENHANCED: Final = re.compile(r"#?([245]\.[0-9]{1,3}\.[0-9]{1,3})(?!\.?\w|-)", re.ASCII)

_CONTROL: Final = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")

# RFC 5321 4.1.2: Domain, of sub-domains that begin and end with a letter or digit; and address-literal. The underscore
# is no part of it but of real host names.
_DOMAIN: Final = re.compile(
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?"
)
_ADDRESS_LITERAL: Final = re.compile(r"\[[A-Za-z0-9:.-]+\]")


class Capability(Fact, frozen=True, kw_only=True):
    """One service extension that the reply to EHLO lists (RFC 5321 4.1.1.1)."""

    keyword: str
    """As sent; compare without regard to case. It is ``AUTH=`` where an equals sign follows, as some old servers
    write."""
    parameters: tuple[str, ...] = ()


class _Line(NamedTuple):
    """One line of a reply, taken apart."""

    code: int | None
    """None where the line does not begin with exactly three digits."""
    is_announcing: bool
    """A hyphen after the code: another line is to come."""
    text: bytes
    """What stands after code and separator; the whole line where there is no code. Without line end."""


def reply_end(buffer: bytes | bytearray, start: int = 0, resume: int | None = None) -> int | None:
    """Find the end of the first reply that is complete in a buffer.

    The reply ends with its first line that has a code and no hyphen after it. An empty line ends nothing. A line
    without a code ends the reply if it is its first, since nothing in it speaks SMTP; inside a reply, where the line
    before announced another one, it is passed over (as Postfix does).

    Args:
        start: where the reply begins.
        resume: where to go on after an earlier call on less of the same stream found no end: the start of the first
            line that was not complete then, which is one past the last LF. None: begin at `start`.

    Returns:
        The index just after the last line of the reply; None while that line is not complete.
    """
    line = start if resume is None else resume
    while (newline := buffer.find(b"\n", line)) >= 0:
        content = newline - 1 if newline > line and buffer[newline - 1] == _CR else newline
        if _has_code(buffer, line, content):
            if content == line + 3 or buffer[line + 3] != _HYPHEN:
                return newline + 1
        elif line == start and content > line:
            return newline + 1
        line = newline + 1
    return None


def parse_reply(raw: bytes) -> Reply:
    """Read one reply as it came off the wire; any bytes will do.

    Args:
        raw: the reply with its line ends. Beyond `MAX_REPLY_BYTES` it is cut, and `Irregularity.TOO_LONG` says so.
    """
    if len(raw) > MAX_REPLY_BYTES:
        return _parse_irregular(raw[:MAX_REPLY_BYTES], is_cut=True)
    return parse_regular(raw) or _parse_irregular(raw, is_cut=False)


def parse_regular(raw: bytes) -> Reply | None:
    """Read bytes that are one reply by the grammar, no more and no less, as most segments of most servers are.

    Spares looking for the end first, and reading again what many servers say in the same words. None for everything
    else, also beyond `MAX_REPLY_BYTES`.
    """
    return _read_common(raw) if len(raw) <= _MAX_COMMON_BYTES else _read_regular(raw)


@lru_cache(maxsize=1024)
def _read_common(raw: bytes) -> Reply | None:
    return _read_regular(raw)


def _read_regular(raw: bytes) -> Reply | None:
    regular = _REGULAR.fullmatch(raw)
    if regular is None or len(raw) > MAX_REPLY_BYTES:
        return None
    lines = raw.decode("ascii").split("\r\n")
    lines.pop()
    texts = tuple([line[4:] for line in lines])
    is_long = len(raw) > MAX_LINE_BYTES and max(map(len, lines)) + 2 > MAX_LINE_BYTES
    return Reply(
        raw=raw,
        code=int(regular[1]),
        enhanced=_enhanced(texts),
        lines=texts,
        irregularities=(Irregularity.LONG_LINE,) if is_long else (),
    )


def capabilities(reply: Reply) -> tuple[Capability, ...]:
    """List the service extensions of a reply to EHLO, in its order; none unless the code is 2yz.

    RFC 5321 4.1.1.1: the first line greets, each other holds one keyword with its parameters.
    """
    if reply.code is None or not 200 <= reply.code <= 299:
        return ()
    texts = reply.lines[1:]
    if Irregularity.NOT_A_REPLY in reply.irregularities:
        lines = [_take_apart(line.removesuffix(b"\r")) for line in _split(reply.raw)]
        texts = tuple(_text(line.text) for line in lines if line.code is not None)[1:]
    found = []
    for text in texts:
        keyword, *parameters = text.split() or ("",)
        name, equals, first = keyword.partition("=")
        if equals and name:
            keyword = name + equals
            parameters = [first, *parameters] if first else parameters
        if keyword:
            found.append(Capability(keyword=keyword, parameters=tuple(parameters)))
    return tuple(found)


def greeting_domain(reply: Reply) -> str | None:
    """The name by which a server introduces itself: the first word of a 220 greeting.

    RFC 5321 4.2: the greeting begins with a domain or an address literal.

    Returns:
        The word as sent; None where the code is not 220 or the word can be neither.
    """
    if reply.code != 220 or not reply.lines:
        return None
    word = (reply.lines[0].split(maxsplit=1) or [""])[0]
    return word if _DOMAIN.fullmatch(word) or _ADDRESS_LITERAL.fullmatch(word) else None


# --- reading --------------------------------------------------------------------------------------------------------


def _has_code(buffer: bytes | bytearray, line: int, end: int) -> bool:
    """Tell whether a line begins with three digits and no fourth."""
    if end - line < 3:
        return False
    digits = buffer[line : min(line + 4, end)]
    return digits[:3].isdigit() and not digits[3:].isdigit()


def _parse_irregular(raw: bytes, *, is_cut: bool) -> Reply:
    found = {Irregularity.TOO_LONG} if is_cut else set()
    found |= _odd_characters(raw, is_cut=is_cut)
    contents = [line.removesuffix(b"\r") for line in _split(raw)]
    lines = [_take_apart(content) for content in contents]
    for content, line in zip(contents, lines, strict=True):
        if len(content) + 2 > MAX_LINE_BYTES:
            found.add(Irregularity.LONG_LINE)
        if not (is_cut and line is lines[-1]):  # where the cut fell is not the server's doing
            found |= _flaws(line, content)
    codes = [line.code for line in lines if line.code is not None]
    if len(set(codes)) > 1:
        found.add(Irregularity.MIXED_CODES)
    if not is_cut:
        found |= _flaws_of_the_end(raw, lines)
    texts = tuple([_text(line.text) for line in lines])
    return Reply(
        raw=raw,
        code=codes[0] if codes else None,
        enhanced=_enhanced(texts),
        lines=texts,
        irregularities=tuple(each for each in Irregularity if each in found),
    )


def _split(raw: bytes) -> list[bytes]:
    """Split at LF, which ends each line and separates nothing: without an empty line behind the last LF."""
    lines = raw.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _take_apart(content: bytes) -> _Line:
    if not _has_code(content, 0, len(content)):
        return _Line(None, False, content)
    separator = content[3:4]
    text = content[4:] if separator in (b" ", b"-") else content[3:]
    return _Line(int(content[:3]), separator == b"-", text)


def _flaws(line: _Line, content: bytes) -> set[Irregularity]:
    """What is wrong with a line by itself."""
    if line.code is None:
        return {Irregularity.NOT_A_REPLY if content else Irregularity.EMPTY_LINE}
    found = set()
    if not _GRAMMATICAL_CODE.match(content):
        found.add(Irregularity.CODE_OUT_OF_RANGE)
    if len(content) == 3:
        found.add(Irregularity.NO_TEXT)
    elif content[3:4] not in (b" ", b"-"):
        found.add(Irregularity.NO_SEPARATOR)
    return found


def _flaws_of_the_end(raw: bytes, lines: list[_Line]) -> set[Irregularity]:
    """What is wrong with how the reply stops."""
    found = set()
    if not raw.endswith(b"\n"):
        found.add(Irregularity.NO_TERMINATOR)
    coded = [line for line in lines if line.code is not None]
    if coded and coded[-1].is_announcing:
        found.add(Irregularity.INCOMPLETE)
    return found


def _odd_characters(raw: bytes, *, is_cut: bool) -> set[Irregularity]:
    """What is wrong with the bytes, wherever they stand."""
    found = set()
    if raw.count(b"\n") != raw.count(b"\r\n"):
        found.add(Irregularity.BARE_LF)
    # A CR as the very last byte may be half of a line end.
    if raw.count(b"\r") != raw.count(b"\r\n") + raw.endswith(b"\r"):
        found.add(Irregularity.BARE_CR)
    if b"\0" in raw:
        found.add(Irregularity.NUL)
    if _CONTROL.search(raw):
        found.add(Irregularity.CONTROL)
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            is_cut_character = is_cut and error.end == len(raw) and error.reason == "unexpected end of data"
            found.add(Irregularity.NOT_ASCII if is_cut_character else Irregularity.INVALID_UTF8)
        else:
            found.add(Irregularity.NOT_ASCII)
    return found


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _enhanced(texts: tuple[str, ...]) -> str | None:
    for text in texts:
        if text[1:2] == "." or text[:1] == "#":  # spares the search in most lines
            match = _ENHANCED.match(text)
            if match is not None:
                return match[1]
    return None
